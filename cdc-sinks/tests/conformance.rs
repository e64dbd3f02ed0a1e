//! The contracts that every sink keeps, for the sinks of this crate.
#![cfg(any(feature = "sqlite", feature = "postgres"))]
#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

#[cfg(feature = "postgres")]
#[path = "../../cdc-pgconn/tests/server/database.rs"]
mod database;

use async_trait::async_trait;
use cdc_core::Sink;
use cdc_core::testkit::conformance::sink;

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use cdc_sinks::SqliteSink;
    use rusqlite::Connection;

    struct File(tempfile::TempDir);

    impl File {
        fn path(&self) -> std::path::PathBuf {
            self.0.path().join("copy.db")
        }
    }

    #[async_trait]
    impl sink::Fixture for File {
        async fn instance(&self) -> Box<dyn Sink> {
            Box::new(SqliteSink::open(self.path()).unwrap())
        }

        async fn rows(&self, table: &str) -> Option<Vec<(i64, Option<String>)>> {
            let connection = Connection::open(self.path()).unwrap();
            let (_, table) = table.split_once('.').unwrap();
            let mut statement = connection
                .prepare(&format!("SELECT id, note FROM {table} ORDER BY id, note"))
                .ok()?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            Some(rows.collect::<Result<_, _>>().unwrap())
        }

        async fn reset(&self) {
            let sql = "DROP TABLE IF EXISTS orders; DROP TABLE IF EXISTS visits; DROP TABLE IF EXISTS cdc_offsets";
            Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
        }
    }

    #[tokio::test]
    async fn the_sqlite_sink_keeps_the_contracts_of_a_sink() {
        sink::all(&File(tempfile::tempdir().unwrap())).await;
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::{database::TestDatabase, *};
    use cdc_sinks::PostgresSink;

    #[async_trait]
    impl sink::Fixture for TestDatabase {
        async fn instance(&self) -> Box<dyn Sink> {
            Box::new(PostgresSink::builder(&self.url).build().unwrap())
        }

        async fn rows(&self, table: &str) -> Option<Vec<(i64, Option<String>)>> {
            let sql = format!("SELECT id, note FROM {table} ORDER BY id, note NULLS FIRST");
            let rows = self.sql.query(&sql, &[]).await.ok()?;
            Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
        }

        async fn reset(&self) {
            self.run("DROP TABLE IF EXISTS orders, visits, cdc_offsets").await;
        }
    }

    #[tokio::test]
    async fn the_postgres_sink_keeps_the_contracts_of_a_sink() {
        sink::all(&TestDatabase::create().await).await;
    }
}
