//! Making a backlog behind slots that exist.

use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use crate::Outcome;
use crate::rows::{COLUMNS, VALUES};

pub(crate) const PUBLICATION: &str = "bench";
pub(crate) const TABLE: &str = "public.bench";

/// What the transactions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rows are inserted.
    Inserts,
    /// Half inserts, 35 % updates and 15 % deletes among the newest 20 000 keys.
    Mix,
}

/// A backlog that waits to be read.
#[derive(Debug, Clone)]
pub(crate) struct Backlog {
    pub(crate) rows: u64,
    pub(crate) tx_rows: u64,
    /// Behind the last row.
    pub(crate) end: String,
}

pub(crate) async fn connect(url: &str) -> Outcome<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Makes table, publication and slots, then the rows.
pub(crate) async fn load(
    client: &Client,
    kind: Kind,
    rows: u64,
    tx_rows: u64,
    slots: &[String],
) -> Outcome<Backlog> {
    client
        .batch_execute(&format!(
            "DROP PUBLICATION IF EXISTS {PUBLICATION}; DROP TABLE IF EXISTS {TABLE}; \
             CREATE TABLE {TABLE} ({COLUMNS}); CREATE PUBLICATION {PUBLICATION} FOR TABLE {TABLE}"
        ))
        .await?;
    for slot in slots {
        client
            .execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[slot])
            .await?;
    }
    let body = match kind {
        Kind::Inserts => {
            format!("INSERT INTO {TABLE} SELECT {VALUES} FROM generate_series(first, last) AS i")
        }
        Kind::Mix => mix(),
    };
    // Transactions of one row: thousands of commits a second, none of them waits for a client.
    client
        .batch_execute(&format!(
            "CREATE OR REPLACE PROCEDURE public.load(rows bigint, size bigint) LANGUAGE plpgsql AS $load$ \
             DECLARE first bigint; last bigint; k bigint; dice integer; top bigint := 0; \
             BEGIN \
               FOR first IN SELECT generate_series(1, rows, size) LOOP \
                 last := least(first + size - 1, rows); {body}; COMMIT; \
               END LOOP; \
             END $load$"
        ))
        .await?;
    client.batch_execute(&format!("CALL public.load({rows}, {tx_rows})")).await?;
    let end: String =
        client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await?.get(0);
    // One more, so that a reader that ends at a position sees something behind it.
    client.batch_execute(&format!("INSERT INTO {TABLE} (id) VALUES (-1)")).await?;
    client.batch_execute(&format!("VACUUM {TABLE}")).await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(Backlog { rows, tx_rows, end })
}

fn mix() -> String {
    let insert = format!(
        "top := top + 1; INSERT INTO {TABLE} SELECT {VALUES} FROM (SELECT top AS i) AS one"
    );
    format!(
        "FOR n IN first..last LOOP \
           dice := (n * 2654435761 >> 7) % 100; \
           k := greatest(top - (n * 40503) % 20000, 1); \
           IF dice < 50 OR top = 0 THEN {insert}; \
           ELSIF dice < 85 THEN UPDATE {TABLE} SET quantity = quantity + 1, note = 'changed ' || n WHERE id = k; \
             IF NOT FOUND THEN {insert}; END IF; \
           ELSE DELETE FROM {TABLE} WHERE id = k; \
             IF NOT FOUND THEN {insert}; END IF; \
           END IF; \
         END LOOP"
    )
}

/// Drops a slot whose reader may have just gone.
pub(crate) async fn drop_slot(client: &Client, slot: &str) -> Outcome<()> {
    client
        .execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots \
             WHERE slot_name = $1 AND active",
            &[&slot],
        )
        .await?;
    loop {
        let found = client
            .query_opt("SELECT active FROM pg_replication_slots WHERE slot_name = $1", &[&slot])
            .await?;
        match found.map(|row| row.get(0)) {
            None => return Ok(()),
            Some(true) => tokio::time::sleep(Duration::from_millis(20)).await,
            Some(false) => {
                client.execute("SELECT pg_drop_replication_slot($1)", &[&slot]).await?;
            }
        }
    }
}
