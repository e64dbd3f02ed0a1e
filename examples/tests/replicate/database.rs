//! Databases of the tests: made, filled, compared, dropped.

use std::time::{Duration, Instant};

use cdc_pgconn::{ConnectConfig, Session, SqlClient, connect_sql};

/// A database of one test on a server. It is dropped by [`Database::drop_now`], or with its server.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) name: String,
    pub(crate) sql: SqlClient,
}

/// Opens an SQL session.
pub(crate) async fn connect(url: &str) -> SqlClient {
    let config = ConnectConfig::from_url(url).unwrap();
    connect_sql(&config, &Session::default().with_application_name("oracle")).await.unwrap()
}

/// The URL with another database in it.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let base = address.rsplit_once('/').unwrap().0;
    let query = if query.is_empty() { String::new() } else { format!("?{query}") };
    format!("{base}/{database}{query}")
}

impl Database {
    /// A fresh database on the server of a URL.
    pub(crate) async fn create(server: &str, purpose: &str) -> Self {
        let name = format!("{purpose}_{}_{:x}", std::process::id(), fastrand::u32(..));
        let admin = connect(server).await;
        admin
            .batch_execute(&format!("CREATE DATABASE \"{name}\" TEMPLATE template0"))
            .await
            .unwrap();
        let url = with_database(server, &name);
        let sql = connect(&url).await;
        Database { url, name, sql }
    }

    /// A fresh database on the server that all tests share.
    pub(crate) async fn shared(purpose: &str) -> Self {
        let server = cdc_testservers::shared_postgres_url().unwrap();
        Self::create(&server, purpose).await
    }

    /// The same database after its server was away.
    pub(crate) async fn reconnected(self) -> Self {
        Database { sql: connect(&self.url).await, ..self }
    }

    /// Runs statements.
    pub(crate) async fn run(&self, statements: &str) {
        if let Err(error) = self.sql.batch_execute(statements).await {
            panic!("{statements}: {error:?}");
        }
    }

    /// The first column of the first row as text; `None` without a row or for NULL.
    pub(crate) async fn one(&self, query: &str) -> Option<String> {
        let rows = self.sql.simple_query(query).await.unwrap_or_else(|e| panic!("{query}: {e:?}"));
        rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
    }

    /// The user tables, quoted, without the sink's own.
    pub(crate) async fn tables(&self) -> Vec<String> {
        let rows = self
            .sql
            .query(
                "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
                 WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema' \
                 AND relname NOT LIKE 'cdc\\_%' AND relname NOT LIKE 'oracle\\_%' ORDER BY 1",
                &[],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The columns of a table, quoted, in the order of their names.
    pub(crate) async fn columns(&self, table: &str) -> Vec<String> {
        let rows = self
            .sql
            .query(
                "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = $1::text::regclass \
                 AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attname",
                &[&table],
            )
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// How many rows a table has and a digest of all of them as text, in any order.
    pub(crate) async fn digest(&self, table: &str, columns: &[String]) -> String {
        let row = columns.iter().map(|c| format!("{c}::text")).collect::<Vec<_>>().join(", ");
        self.one(&format!(
            "SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(md5(r), '' ORDER BY md5(r))), '-') \
             FROM (SELECT ROW({row})::text AS r FROM {table}) AS rows"
        ))
        .await
        .unwrap()
    }

    /// All rows of a table as text.
    async fn rows(&self, table: &str, columns: &[String]) -> Vec<String> {
        let row = columns.iter().map(|c| format!("{c}::text")).collect::<Vec<_>>().join(", ");
        let query = format!("SELECT ROW({row})::text FROM {table}");
        let rows = self.sql.query(&query, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Panics where this database's tables and rows are not those of the other.
    pub(crate) async fn assert_copied_to(&self, target: &Database) {
        let tables = self.tables().await;
        assert_eq!(
            tables,
            target.tables().await,
            "the same tables in {} and {}",
            self.name,
            target.name
        );
        for table in tables {
            let columns = self.columns(&table).await;
            assert_eq!(columns, target.columns(&table).await, "columns of {table}");
            if self.digest(&table, &columns).await != target.digest(&table, &columns).await {
                let (ours, theirs) =
                    (self.rows(&table, &columns).await, target.rows(&table, &columns).await);
                let only = |here: &[String], there: &[String]| -> Vec<String> {
                    here.iter().filter(|row| !there.contains(row)).take(5).cloned().collect()
                };
                panic!(
                    "rows of {table} ({columns:?}) differ; only in {}: {:#?}, only in {}: {:#?}",
                    self.name,
                    only(&ours, &theirs),
                    target.name,
                    only(&theirs, &ours)
                );
            }
        }
    }

    /// Drops the database; slots and sessions in it are ended.
    pub(crate) async fn drop_now(self) {
        let (name, server) = (self.name.clone(), with_database(&self.url, "postgres"));
        drop(self.sql);
        let admin = connect(&server).await;
        let _ = admin
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
                &[&name],
            )
            .await;
        let _ = admin
            .execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active",
                &[&name],
            )
            .await;
        let _ = admin.batch_execute(&format!("DROP DATABASE IF EXISTS \"{name}\"")).await;
    }
}

/// Asks again and again until a condition holds.
pub(crate) async fn eventually<F>(what: &str, patience: Duration, mut condition: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let deadline = Instant::now() + patience;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in {patience:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
