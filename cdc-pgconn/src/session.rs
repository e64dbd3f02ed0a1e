//! SQL sessions whose text formats do not depend on anybody's settings.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, Statement};

use crate::config::ConnectConfig;
use crate::copy_rows::Copies;
use crate::copy_tap::{CopyTap, NextCopy};
use crate::error::{ConnectError, NO_PASSWORD};
use crate::stream::{Stream, establish, open};

/// The settings that every session of this project has, whatever `postgresql.conf`, `ALTER DATABASE ... SET`,
/// `ALTER ROLE ... SET` or the connection's `options` say. Name and value; all exist since PostgreSQL 9.6.
///
/// A value's text depends on the first group, quoting in statements on the second; the third is
/// time-outs that would end a long snapshot or an idle stream. `idle_session_timeout` (PostgreSQL 14) is turned off besides.
pub const PINNED_SETTINGS: [(&str, &str); 11] = [
    ("client_encoding", "UTF8"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    // From PostgreSQL 12 on any positive value means the shortest text that is exact.
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// How long the server may take to tell a session that it is cancelled.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// What a session is for.
///
/// ```
/// use cdc_pgconn::Session;
///
/// let sink = Session::default().with_application_name("shop copy").with_synchronous_commit();
/// # let _ = sink;
/// ```
#[derive(Debug, Clone)]
pub struct Session {
    application_name: String,
    synchronous_commit: bool,
}

impl Default for Session {
    /// A session named `cdc` that leaves `synchronous_commit` as it is.
    fn default() -> Self {
        Self { application_name: "cdc".to_owned(), synchronous_commit: false }
    }
}

impl Session {
    /// Sets the name in `pg_stat_activity`, for a connection whose configuration has none.
    #[must_use]
    pub fn with_application_name(mut self, name: impl Into<String>) -> Self {
        self.application_name = name.into();
        self
    }

    /// Pins `synchronous_commit = on`: a commit that returned is durable. For sinks.
    #[must_use]
    pub fn with_synchronous_commit(mut self) -> Self {
        self.synchronous_commit = true;
        self
    }

    /// One statement batch that pins everything and asks for the server's version.
    fn pin(&self) -> String {
        let mut sql = String::new();
        let commit = self.synchronous_commit.then_some(("synchronous_commit", "on"));
        for (name, value) in PINNED_SETTINGS.into_iter().chain(commit) {
            sql.push_str(&format!("SET SESSION {name} = '{value}';"));
        }
        sql.push_str(
            "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings \
             WHERE name OPERATOR(pg_catalog.=) 'idle_session_timeout';\
             SHOW server_version_num",
        );
        sql
    }
}

/// A `tokio_postgres` client whose session is pinned and whose connection ends with it.
///
/// Dereferences to [`tokio_postgres::Client`]. When it is dropped the connection is closed at once; a
/// statement that runs then is rolled back by the server when it notices.
pub struct SqlClient {
    client: Client,
    server_version: u32,
    target: String,
    task: JoinHandle<()>,
    failure: Arc<Mutex<Option<tokio_postgres::Error>>>,
    prepared: Mutex<HashMap<String, Statement>>,
    pub(crate) copies: Copies,
}

impl SqlClient {
    /// The server's version as in `server_version_num`: 150018 is 15.18.
    pub fn server_version(&self) -> u32 {
        self.server_version
    }

    /// The server without the password: `postgres://app@db:5432/shop`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Turns the error of a statement into one that names the server and says whether waiting helps.
    ///
    /// After "connection closed" the reason is with the connection and not with the statement (a shutdown,
    /// a broken network): then that is what is told.
    pub fn error(&self, error: tokio_postgres::Error) -> ConnectError {
        let failure = if error.is_closed() {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
        } else {
            None
        };
        ConnectError::from_sql(self.target.as_str(), failure.unwrap_or(error))
    }

    /// A statement that is prepared when it is asked for first, and stays prepared as long as the session: for texts of which there
    /// are few.
    ///
    /// # Errors
    /// That of the server, for which the statement is wrong.
    pub async fn prepare_once(&self, sql: &str) -> Result<Statement, tokio_postgres::Error> {
        let known = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known().get(sql).cloned();
        if let Some(statement) = found {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        known().insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    /// Asks the server to stop the statement that the session runs, over a connection of its own to the server that
    /// `config` names.
    ///
    /// The server answers nothing; the statement fails with SQLSTATE 57014 if it still ran. What is sent after this
    /// returned is not cancelled.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn cancel(&self, config: &ConnectConfig) -> Result<(), ConnectError> {
        let failed = |error| ConnectError::from_sql(self.target.as_str(), error);
        let mut stream = open(config).await?;
        // The stream is encrypted already, or is not to be.
        let token = self.client.cancel_token();
        token.cancel_query_raw(&mut stream, NoTls).await.map_err(failed)?;
        // The server closes the connection once it has told the session: what that runs next is not meant any more.
        let _ = tokio::time::timeout(CANCEL_PATIENCE, stream.read(&mut [0; 1])).await;
        Ok(())
    }
}

impl Deref for SqlClient {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl std::ops::DerefMut for SqlClient {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Drop for SqlClient {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for SqlClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlClient")
            .field("target", &self.target)
            .field("server_version", &self.server_version)
            .finish_non_exhaustive()
    }
}

/// Connects, logs in and pins the session.
///
/// Must be called in a tokio runtime: the connection runs as a task of it.
///
/// # Errors
/// See [`ConnectError`].
///
/// ```no_run
/// # async fn example() -> Result<(), cdc_pgconn::ConnectError> {
/// use cdc_pgconn::{ConnectConfig, Session, connect_sql};
///
/// let config = ConnectConfig::new("/var/run/postgresql", "app").with_database("shop");
/// let client = connect_sql(&config, &Session::default()).await?;
/// let rows = client.query("SELECT 1", &[]).await.map_err(|error| client.error(error))?;
/// # let _ = rows;
/// # Ok(())
/// # }
/// ```
pub async fn connect_sql(
    config: &ConnectConfig,
    session: &Session,
) -> Result<SqlClient, ConnectError> {
    let password = config.password();
    let mut sql = tokio_postgres::Config::new();
    sql.user(config.user())
        .dbname(config.database())
        .ssl_mode(tokio_postgres::config::SslMode::Disable)
        .application_name(config.application_name().unwrap_or(&session.application_name));
    if let Some(password) = &password {
        sql.password(password.reveal());
    }
    if let Some(options) = config.options() {
        sql.options(options);
    }
    let pin = session.pin();
    let (sql, pin) = (&sql, pin.as_str());
    establish(config, |stream| log_in(config, sql, pin, stream)).await.map_err(
        |error| match error {
            // Only here the password file is known, and why it was not read.
            ConnectError::Authentication { reason, .. } if reason == NO_PASSWORD => {
                config.missing_password()
            }
            error => error,
        },
    )
}

async fn log_in(
    config: &ConnectConfig,
    sql: &tokio_postgres::Config,
    pin: &str,
    stream: Stream,
) -> Result<SqlClient, ConnectError> {
    let target = config.display();
    let failed = |error| ConnectError::from_sql(target.as_str(), error);
    let next = NextCopy::default();
    let stream = CopyTap::new(stream, next.clone());
    // The stream is encrypted already, or is not to be.
    let (client, connection) = sql.connect_raw(stream, NoTls).await.map_err(failed)?;
    let failure = Arc::new(Mutex::new(None));
    let report = Arc::clone(&failure);
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            *report.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    });
    let prepared = Mutex::default();
    let copies = Copies::new(next, Handle::current());
    let mut client =
        SqlClient { client, server_version: 0, target, task, failure, prepared, copies };
    let answers = client.simple_query(pin).await.map_err(|error| client.error(error))?;
    let version = answers.iter().rev().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    });
    client.server_version = version.ok_or_else(|| {
        ConnectError::protocol(client.target.as_str(), "no number in SHOW server_version_num")
    })?;
    Ok(client)
}
