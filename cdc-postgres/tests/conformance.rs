//! The contracts of a source, on a real server.
#![allow(clippy::unwrap_used)]

use async_trait::async_trait;
use cdc_core::Source;
use cdc_core::testkit::conformance::source::{Fixture, all};
use cdc_pgconn::{ConnectConfig, Session, SqlClient, connect_sql};
use cdc_postgres::PostgresSource;
use cdc_testservers::{Options, PostgresServer, private_postgres};

struct Server {
    server: PostgresServer,
    sql: SqlClient,
}

#[async_trait]
impl Fixture for Server {
    async fn instance(&self) -> Box<dyn Source> {
        Box::new(PostgresSource::builder(self.server.url("postgres")).build().unwrap())
    }

    async fn insert(&self, ids: &[i64]) {
        self.sql.execute("INSERT INTO t SELECT unnest($1::bigint[])", &[&ids]).await.unwrap();
    }

    async fn reset(&self) {
        for statement in [
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots",
            "TRUNCATE t",
            "DO $$ DECLARE p text; BEGIN FOR p IN SELECT pubname FROM pg_publication LOOP \
             EXECUTE format('DROP PUBLICATION %I', p); END LOOP; END $$",
        ] {
            self.sql.batch_execute(statement).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_source_keeps_every_contract() {
    let server = private_postgres(Options::new()).unwrap();
    let config = ConnectConfig::from_url(&server.url("postgres")).unwrap();
    let sql = connect_sql(&config, &Session::default()).await.unwrap();
    sql.batch_execute("CREATE TABLE t (id bigint PRIMARY KEY)").await.unwrap();
    all(&Server { server, sql }).await;
}
