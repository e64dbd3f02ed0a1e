//! Transaction metadata is right when a transaction is read in parts: across a stop inside it, and a lost connection.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::status::Phase;
use cdc_core::{
    Ack, Batch, ChangeEvent, Delivery, Handle, Operation, Payload, Pipeline, Properties, Result,
    Sink, TransactionStatus,
};
use cdc_postgres::PostgresSource;
use tokio::sync::watch;

use crate::connector::Connector;
use crate::contract::shop;
use crate::database::eventually;

/// A sink that writes down what comes: `B`, `E21`, `c1.1` (operation, number in all, number in its table). It stands still
/// once it has so many notes as it may.
#[derive(Clone)]
struct Noted {
    notes: Arc<Mutex<Vec<String>>>,
    limit: watch::Sender<usize>,
}

impl Noted {
    fn new() -> Self {
        Noted { notes: Arc::default(), limit: watch::Sender::new(usize::MAX) }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }
}

fn note(event: &ChangeEvent) -> Option<String> {
    match &event.value {
        Payload::Transaction(marker) if marker.status == TransactionStatus::Begin => {
            Some("B".to_owned())
        }
        Payload::Transaction(marker) => Some(format!("E{}", marker.event_count.unwrap())),
        Payload::Change(change) if change.operation != Operation::Table => {
            let place = change.transaction.unwrap();
            let code = change.operation.code().unwrap();
            Some(format!("{code}{}.{}", place.total_order, place.collection_order))
        }
        _ => None,
    }
}

#[async_trait]
impl Sink for Noted {
    fn name(&self) -> &str {
        "notes"
    }
    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }
    async fn write(&mut self, batch: Arc<Batch>) -> Result<Ack> {
        self.notes.lock().unwrap().extend(batch.events.iter().filter_map(note));
        let count = self.notes().len();
        let mut limit = self.limit.subscribe();
        let _ = limit.wait_for(|limit| count < *limit).await;
        Ok(Ack::durable())
    }
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Reads in batches of two, and ends with a row in `public.done`.
fn start(connector: &Connector, sink: &Noted, store: &Arc<MemoryOffsetStore>) -> Handle {
    let mut properties: Properties = crate::contract::SHOP.parse().unwrap();
    let names =
        ["hostname", "port", "user", "password", "dbname"].map(|name| format!("database.{name}"));
    for name in names.iter().map(String::as_str).chain(["slot.name"]) {
        properties.set(name, connector.property(name));
    }
    properties.set("slot.drop.on.stop", "false");
    properties.set("provide.transaction.metadata", "true");
    properties.set("max.batch.size", "2");
    properties.set("max.queue.size.in.bytes", "2000");
    Pipeline::from_properties::<PostgresSource>(&properties, cdc_smt::from_properties)
        .unwrap()
        .pipeline
        .sink(sink.clone())
        .offsets(Arc::clone(store))
        .queue_bytes(2_000)
        .until(|event| {
            let table = event.origin().table.as_ref();
            event.operation() == Some(Operation::Create)
                && table.is_some_and(|table| &*table.table == "done")
        })
        .build()
        .unwrap()
        .spawn()
}

/// More than sockets hold: twenty inserts of a megabyte each, the fifth of which gets another key: 21 events with an update before them, `done` after them.
async fn one_transaction(connector: &Connector) {
    let mut statements = String::from("BEGIN;");
    for id in 1..=20 {
        statements.push_str(&format!("INSERT INTO orders VALUES ({id}, repeat('x', 1000000));"));
        if id == 5 {
            statements.push_str("UPDATE orders SET id = 105 WHERE id = 5;");
        }
    }
    connector.database.run(&format!("{statements} COMMIT; INSERT INTO done VALUES (1)")).await;
}

fn expected() -> Vec<String> {
    let change = |number: usize| match number {
        6 => "d6.6".to_owned(),
        _ => format!("c{number}.{number}"),
    };
    let mut all = vec!["B".to_owned()];
    all.extend((1..=22).map(change));
    all.extend(["E22", "B", "c1.1", "E1"].map(str::to_owned));
    all
}

/// Lets the sink stand still inside the transaction.
async fn stand_inside(connector: &Connector, handle: &Handle, sink: &Noted) {
    let patience = Duration::from_secs(30);
    let streaming = || async { handle.status().phase == Phase::Streaming };
    eventually("streaming", patience, streaming).await;
    sink.limit.send_replace(5);
    one_transaction(connector).await;
    eventually("a part", patience, || async { sink.notes().len() >= 5 }).await;
}

/// A database whose transactions are sent as a whole, or while they are in progress (from PostgreSQL 14 on).
async fn database(purpose: &str, in_progress: bool) -> Connector {
    let connector = shop(purpose).await;
    let version = connector.database.one("SHOW server_version_num").await.unwrap();
    if in_progress && version.parse::<u32>().unwrap() >= 140_000 {
        let name = &connector.database.name;
        let bound = format!("ALTER DATABASE \"{name}\" SET logical_decoding_work_mem = '64kB'");
        connector.database.run(&bound).await;
    }
    connector
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_inside_a_transaction_changes_no_number() {
    stopped_inside(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_inside_a_transaction_that_was_sent_in_progress_changes_no_number() {
    stopped_inside(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_inside_a_transaction_changes_no_number() {
    connection_lost_inside(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_inside_a_transaction_that_was_sent_in_progress_changes_no_number() {
    connection_lost_inside(true).await;
}

async fn stopped_inside(in_progress: bool) {
    let connector = database("parts", in_progress).await;
    let store = Arc::new(MemoryOffsetStore::new());
    let first = Noted::new();
    let mut handle = start(&connector, &first, &store);
    stand_inside(&connector, &handle, &first).await;
    handle.stop();
    first.limit.send_replace(usize::MAX);
    handle.wait().await.unwrap();
    let second = Noted::new();
    start(&connector, &second, &store).wait().await.unwrap();
    let (first, second) = (first.notes(), second.notes());
    assert!(first.len() < 20, "it was stopped inside: {first:?}");
    assert_eq!([first, second].concat(), expected());
    connector.database.drop_now().await;
}

async fn connection_lost_inside(in_progress: bool) {
    let connector = database("lost", in_progress).await;
    let sink = Noted::new();
    let mut handle = start(&connector, &sink, &Arc::new(MemoryOffsetStore::new()));
    stand_inside(&connector, &handle, &sink).await;
    let name = &connector.database.name;
    let reader = format!("FROM pg_replication_slots WHERE slot_name = '{name}' AND active");
    connector.database.one(&format!("SELECT pg_terminate_backend(active_pid) {reader}")).await;
    sink.limit.send_replace(usize::MAX);
    handle.wait().await.unwrap();
    assert_eq!(sink.notes(), expected());
    // What was sent in progress may be here already when the connection is cut.
    assert!(in_progress || handle.status().retries > 0, "the connection was lost");
    connector.database.drop_now().await;
}
