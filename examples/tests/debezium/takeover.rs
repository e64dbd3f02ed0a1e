//! A slot that a Debezium connector left is gone on with, from the offset that Kafka Connect shows.
//!
//! Publication, slot and offset are made as the connector makes them (`lsn_commit` is the end of its last whole transaction,
//! `lsn` the LSN of its last change, the slot is confirmed up to `lsn_commit` or less): no Java runs here.

use serde_json::json;

use crate::connector::Connector;
use crate::contract::{rows, shop};
use crate::json::{Node, parse};

/// A message of the log: its LSN, its transaction, and the letter of its kind.
#[derive(Debug)]
struct Logged {
    lsn: u64,
    xid: u32,
    kind: char,
}

/// What the slot still has.
async fn log_of(connector: &Connector) -> Vec<Logged> {
    let database = &connector.database;
    let logged = database
        .sql
        .query(
            "SELECT (lsn - '0/0')::int8, xid::text, chr(get_byte(data, 0)) \
             FROM pg_logical_slot_peek_binary_changes($1::text::name, NULL, NULL, 'proto_version', '1', 'publication_names', 'dbz_publication')",
            &[&database.name],
        )
        .await
        .unwrap();
    let logged = logged.iter().map(|row| Logged {
        lsn: u64::try_from(row.get::<_, i64>(0)).unwrap(),
        xid: row.get::<_, String>(1).parse().unwrap(),
        kind: row.get::<_, String>(2).chars().next().unwrap(),
    });
    // Relations and types are told where they are first needed.
    logged.filter(|message| "BCIUD".contains(message.kind)).collect()
}

/// A stopped Debezium connector: publication, slot, and three transactions that the slot still has.
async fn left_by_debezium(purpose: &str) -> (Connector, Vec<Logged>) {
    let mut connector = shop(purpose).await;
    connector.set("publication.name", "dbz_publication");
    let database = &connector.database;
    database.run("CREATE PUBLICATION dbz_publication FOR ALL TABLES").await;
    let slot =
        format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", database.name);
    database.one(&slot).await;
    database
        .run(
            "BEGIN; INSERT INTO orders VALUES (1, 'a'); INSERT INTO orders VALUES (2, 'b'); COMMIT",
        )
        .await;
    database.run("BEGIN; INSERT INTO orders VALUES (3, 'c'); INSERT INTO orders VALUES (4, 'd'); UPDATE orders SET id = 14 WHERE id = 4; INSERT INTO orders VALUES (5, 'e'); COMMIT").await;
    database
        .run(
            "BEGIN; INSERT INTO orders VALUES (6, 'f'); INSERT INTO orders VALUES (7, 'g'); COMMIT",
        )
        .await;
    let logged = log_of(&connector).await;
    let kinds: String = logged.iter().map(|message| message.kind).collect();
    assert_eq!(kinds, "BIICBIIUICBIIC", "three transactions");
    (connector, logged)
}

/// What Connect shows of a connector whose last change was this one.
fn shown(logged: &[Logged], last: usize) -> String {
    let message = &logged[last];
    let commit = logged[..=last].iter().rev().find(|message| message.kind == 'C');
    let mut offset = json!({
        "lsn_proc": message.lsn, "lsn": message.lsn, "txId": message.xid, "ts_usec": 1795260914813207u64,
        "messageType": match message.kind { 'I' => "INSERT", 'U' => "UPDATE", _ => "COMMIT" },
    });
    if let Some(commit) = commit {
        offset["lsn_commit"] = commit.lsn.into();
    }
    json!({"offsets": [{"partition": {"server": "shop"}, "offset": offset}]}).to_string()
}

/// Takes over after that change, and gives the lines up to a row that is inserted then.
async fn taken_over(connector: &Connector, offsets: &str, more: &[&str]) -> Vec<String> {
    let file = connector.folder.path().join("offsets.json");
    std::fs::write(&file, offsets).unwrap();
    let state = connector.state();
    let mut arguments = vec!["--until", "public.done", "--state", state.to_str().unwrap()];
    arguments.extend(["--offsets", file.to_str().unwrap(), "slot.drop.on.stop=false"]);
    arguments.extend(more);
    let mut program = connector.start(&arguments);
    program.streaming().await;
    connector.database.run("INSERT INTO done VALUES (1)").await;
    assert!(program.end().await.success(), "{}", program.errors());
    program.lines()
}

async fn confirm(connector: &Connector, lsn: u64) {
    let name = &connector.database.name;
    let (high, low) = (lsn >> 32, lsn & 0xffff_ffff);
    let statement = format!("SELECT pg_replication_slot_advance('{name}', '{high:X}/{low:X}')");
    connector.database.one(&statement).await;
}

#[tokio::test]
async fn an_offset_inside_a_transaction_is_gone_on_from_with_the_next_change() {
    let (connector, logged) = left_by_debezium("inside").await;
    // The last whole transaction is confirmed; 3 and 4 of the next one are done.
    confirm(&connector, logged[3].lsn).await;
    let lines = taken_over(&connector, &shown(&logged, 6), &[]).await;
    let orders = rows(&lines, "shop.public.orders");
    assert_eq!(orders, ["d4", "-4", "c14", "c5", "c6", "c7"]);
    connector.database.drop_now().await;
}

#[tokio::test]
async fn an_offset_inside_a_transaction_that_is_sent_in_progress_is_the_same() {
    let (connector, logged) = left_by_debezium("streamed").await;
    let name = &connector.database.name;
    let version = connector.database.one("SHOW server_version_num").await.unwrap();
    if version.parse::<u32>().unwrap() >= 140_000 {
        let bound = format!("ALTER DATABASE \"{name}\" SET logical_decoding_work_mem = '64kB'");
        connector.database.run(&bound).await;
    }
    let rows_of = |from: u32| {
        format!(
            "INSERT INTO orders SELECT id, repeat('x', 1000) FROM generate_series({from}, {from} + 499) AS id"
        )
    };
    connector.database.run(&format!("BEGIN; {}; {}; COMMIT", rows_of(1000), rows_of(2000))).await;
    let large = log_of(&connector).await;
    assert!(large.len() > logged.len() + 1000);
    // Of the last transaction 700 changes are done.
    let begin = large.iter().rposition(|message| message.kind == 'B').unwrap();
    let lines = taken_over(&connector, &shown(&large, begin + 700), &[]).await;
    let orders = rows(&lines, "shop.public.orders");
    assert_eq!(orders.len(), 300);
    assert_eq!((orders[0].as_str(), orders[299].as_str()), ("c2200", "c2499"));
    connector.database.drop_now().await;
}

#[tokio::test]
async fn an_offset_inside_the_first_transaction_of_the_stream_needs_no_commit_before_it() {
    let (connector, logged) = left_by_debezium("first").await;
    let lines = taken_over(&connector, &shown(&logged, 1), &[]).await;
    let orders = rows(&lines, "shop.public.orders");
    assert_eq!(orders, ["c2", "c3", "c4", "d4", "-4", "c14", "c5", "c6", "c7"]);
    connector.database.drop_now().await;
}

#[tokio::test]
async fn an_offset_at_the_last_change_of_a_transaction_leaves_that_transaction_out() {
    for (last, confirmed) in [(8, None), (8, Some(3)), (9, None), (9, Some(9))] {
        let (connector, logged) = left_by_debezium("whole").await;
        if let Some(confirmed) = confirmed {
            confirm(&connector, logged[confirmed].lsn).await;
        }
        let lines = taken_over(&connector, &shown(&logged, last), &[]).await;
        assert_eq!(rows(&lines, "shop.public.orders"), ["c6", "c7"], "{last} {confirmed:?}");
        connector.database.drop_now().await;
    }
}

#[tokio::test]
async fn numbers_of_transaction_metadata_go_on_where_the_connector_stopped() {
    let (connector, logged) = left_by_debezium("numbers").await;
    let metadata = "provide.transaction.metadata=true";
    let lines = taken_over(&connector, &shown(&logged, 6), &[metadata]).await;
    let numbers: Vec<String> = lines
        .iter()
        .map(|line| parse(line))
        .filter_map(|record| {
            let value = record.get("value").unwrap();
            if let Some(status) = value.get("status") {
                let count = value.get("event_count").unwrap();
                return Some(format!("{}{count}", status.text().unwrap()));
            }
            value.get("transaction")?.get("total_order").map(Node::to_string)
        })
        .collect();
    let expected = ["3", "4", "5", "END5", "BEGINnull", "1", "2", "END2", "BEGINnull", "1", "END1"];
    assert_eq!(numbers, expected);
    connector.database.drop_now().await;
}

#[tokio::test]
async fn later_starts_go_on_from_offsets_of_their_own() {
    let (connector, logged) = left_by_debezium("later").await;
    taken_over(&connector, &shown(&logged, 6), &[]).await;
    let state = connector.state();
    let arguments = ["--state", state.to_str().unwrap(), "slot.drop.on.stop=false"];
    connector.database.run("INSERT INTO orders VALUES (8, 'h')").await;
    let mut program = connector.start(&arguments);
    program.until("the row", |program| !program.lines().is_empty()).await;
    program.stop().await;
    assert_eq!(rows(&program.lines(), "shop.public.orders"), ["c8"]);
    let file = connector.folder.path().join("offsets.json");
    let again = [&arguments[..], &["--offsets", file.to_str().unwrap()]].concat();
    let mut refused = connector.start(&again);
    assert_eq!(refused.end().await.code(), Some(1));
    assert!(refused.errors().contains("offsets of its own already"), "{}", refused.errors());
    connector.database.drop_now().await;
}
