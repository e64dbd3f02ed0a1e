//! A database for each test, gone when the test ends, also when it fails.

// Each test program that has this file uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use cdc_pgconn::{ConnectConfig, Environment, Host, Session, SqlClient, connect_sql};
use cdc_testservers::{Options, PostgresServer, private_postgres, shared_postgres_url};
use tokio::task::JoinHandle;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The server that all tests share, as its superuser.
pub(crate) fn shared() -> ConnectConfig {
    config(&shared_postgres_url().unwrap_or_else(|error| panic!("{error}")))
}

/// A server of the test's own; it ends when the value is dropped.
pub(crate) fn own_server(options: Options) -> PostgresServer {
    private_postgres(options).unwrap_or_else(|error| panic!("{error}"))
}

/// What a URL says, and nothing of the environment.
pub(crate) fn config(url: &str) -> ConnectConfig {
    ConnectConfig::from_url_in(url, &Environment::empty()).unwrap()
}

/// The same server for another role.
pub(crate) fn as_role(config: &ConnectConfig, role: &str) -> ConnectConfig {
    let host = match config.host() {
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => folder.to_str().unwrap().to_owned(),
    };
    ConnectConfig::new(host, role)
        .with_port(config.port())
        .with_database(config.database())
        .with_ssl_mode(config.ssl_mode())
}

/// A database of a test's own. Dropping the value drops it, with its slots, the roles of
/// [`role`](Self::role) and the replication origin of its name, whoever still uses them.
pub(crate) struct TestDatabase {
    /// Of no other test, also of no earlier run: slots and roles are named after it.
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) config: ConnectConfig,
    pub(crate) sql: SqlClient,
    admin: ConnectConfig,
    /// The server, where it is the test's own too.
    server: Option<PostgresServer>,
}

impl TestDatabase {
    /// Makes a database on the shared server.
    pub(crate) async fn create() -> Self {
        Self::create_with("").await
    }

    /// Makes a database on the shared server, with options of CREATE DATABASE.
    pub(crate) async fn create_with(options: &str) -> Self {
        let url = shared_postgres_url().unwrap_or_else(|error| panic!("{error}"));
        Self::on(&url, None, options).await
    }

    /// Makes a database on a server of its own: for a test that fills the server, configures it,
    /// or holds up others by a transaction that stays open.
    pub(crate) async fn on_own_server(options: Options) -> Self {
        let server = own_server(options);
        Self::on(&server.url("postgres"), Some(server), "").await
    }

    /// Makes a database on a server of its own where [commits can be made to wait](Self::commit_that_waits).
    ///
    /// Not by a changed setting: the server takes up that standbys are named some time after it was told to.
    pub(crate) async fn where_commits_can_wait() -> Self {
        let options = Options::new()
            .setting("synchronous_standby_names", "nobody")
            .setting("synchronous_commit", "local");
        Self::on_own_server(options).await
    }

    /// Begins a transaction, and is back when its commit is in the log and waits for a standby that there is not.
    pub(crate) async fn commit_that_waits(&self, statements: &'static str) -> JoinHandle<()> {
        let writer = self.session().await;
        writer.batch_execute("SET synchronous_commit = on").await.unwrap();
        let commit = tokio::spawn(async move { writer.batch_execute(statements).await.unwrap() });
        let waiting = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        tokio::time::timeout(PATIENCE, async {
            while self.text(waiting).await.as_deref() != Some("1") {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .expect("a commit that waits");
        commit
    }

    /// Lets the commits that wait end.
    pub(crate) async fn let_commits_end(&self) {
        self.run("ALTER SYSTEM SET synchronous_standby_names = ''").await;
        self.run("SELECT pg_reload_conf()").await;
    }

    /// Makes another database on the server of one, which has to live longer.
    pub(crate) async fn beside(other: &TestDatabase) -> Self {
        Self::on(&other.url, None, "").await
    }

    async fn on(server_url: &str, server: Option<PostgresServer>, options: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let name = format!("cdc_test_{now:x}_{}_{number}", std::process::id());
        let admin = config(server_url);
        let session = connect_sql(&admin, &Session::default()).await.unwrap();
        session.batch_execute(&format!("CREATE DATABASE {name} {options}")).await.unwrap();
        let url = with_database(server_url, &name);
        let config = config(&url);
        let sql = connect_sql(&config, &Session::default()).await.unwrap();
        TestDatabase { name, url, config, sql, admin, server }
    }

    /// Runs statements.
    pub(crate) async fn run(&self, statements: &str) {
        match tokio::time::timeout(PATIENCE, self.sql.batch_execute(statements)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => panic!("{}: {statements}", self.sql.error(error)),
            Err(_) => panic!("not within {PATIENCE:?}: {statements}"),
        }
    }

    /// One text of one row.
    pub(crate) async fn text(&self, query: &str) -> Option<String> {
        self.sql.query_one(query, &[]).await.unwrap().get(0)
    }

    /// Another session.
    pub(crate) async fn session(&self) -> SqlClient {
        connect_sql(&self.config, &Session::default()).await.unwrap()
    }

    /// Whether the server is too old for what the test is about, which it then says.
    pub(crate) fn lacks(&self, what: &str, since: u32) -> bool {
        let lacks = self.sql.server_version() / 10_000 < since;
        if lacks {
            println!("not tested: {what} came with PostgreSQL {since}");
        }
        lacks
    }

    /// A role that may log in, with options of CREATE ROLE; its password is `secret`.
    pub(crate) async fn role(&self, kind: &str, options: &str) -> ConnectConfig {
        let role = format!("{}_{kind}", self.name);
        self.run(&format!("CREATE ROLE {role} LOGIN PASSWORD 'secret' {options}")).await;
        as_role(&self.config, &role).with_password("secret")
    }

    /// A superuser whose settings change the text of nearly every value.
    pub(crate) async fn contrary_role(&self) -> ConnectConfig {
        let role = self.role("contrary", "SUPERUSER").await;
        for setting in [
            "DateStyle = 'German, DMY'",
            "IntervalStyle = 'iso_8601'",
            "TimeZone = 'Asia/Tokyo'",
            "bytea_output = 'escape'",
            "extra_float_digits = -15",
            "client_encoding = 'LATIN1'",
            "standard_conforming_strings = off",
            "synchronous_commit = off",
            "statement_timeout = '1h'",
        ] {
            self.run(&format!("ALTER ROLE {} SET {setting}", role.user())).await;
        }
        role.with_options("-c DateStyle=SQL -c extra_float_digits=-3 -c bytea_output=escape")
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if self.server.is_some() {
            return;
        }
        let (admin, name) = (self.admin.clone(), self.name.clone());
        // The test's own runtime is busy with this, or ends.
        let removed = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(remove(&admin, &name))
        });
        match removed.join().unwrap_or_else(|_| Err("it panicked".to_owned())) {
            Err(error) if thread::panicking() => println!("{} is left: {error}", self.name),
            result => result.unwrap(),
        }
    }
}

/// Ends all that uses a database and drops it. A session takes a moment to end, so all is tried again.
async fn remove(admin: &ConnectConfig, name: &str) -> Result<(), String> {
    let admin = connect_sql(admin, &Session::default()).await.map_err(|e| e.to_string())?;
    let steps = [
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"),
        format!(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
             WHERE database = '{name}' AND NOT active"
        ),
        format!("DROP DATABASE IF EXISTS {name}"),
        format!(
            "SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin
             WHERE roname = '{name}'"
        ),
        format!(
            "DO $$ DECLARE role text; BEGIN
               FOR role IN SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{name}_') LOOP
                 EXECUTE format('DROP ROLE %I', role);
               END LOOP;
             END $$"
        ),
    ];
    let begin = Instant::now();
    'again: loop {
        for step in &steps {
            match admin.batch_execute(step).await {
                Ok(()) => {}
                Err(_) if begin.elapsed() < PATIENCE => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue 'again;
                }
                Err(error) => return Err(admin.error(error).to_string()),
            }
        }
        return Ok(());
    }
}

/// A URL for another database of its server.
fn with_database(url: &str, database: &str) -> String {
    let (address, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let host = address.find("://").map_or(0, |at| at + 3);
    let end = address[host..].find('/').map_or(address.len(), |at| host + at);
    format!("{}/{database}{query}", &address[..end])
}
