//! The conformance suite is kept by what this crate brings itself.
#![allow(clippy::unwrap_used)]

use async_trait::async_trait;
use cdc_core::offset_store::{FileOffsetStore, MemoryOffsetStore, OffsetStore};
use cdc_core::testkit::conformance::{offset_store, sink, source};
use cdc_core::testkit::{MemoryLog, MemoryTarget, shop};
use cdc_core::{Change, Delivery, Sink, Source};
use std::sync::{Arc, Mutex};

struct Target(MemoryTarget, Delivery);

#[async_trait]
impl sink::Fixture for Target {
    async fn instance(&self) -> Box<dyn Sink> {
        Box::new(self.0.idempotent("target").delivering(self.1))
    }
    async fn rows(&self, table: &str) -> Option<Vec<(i64, Option<String>)>> {
        let rows = self.0.has_table(table).then(|| self.0.rows(table))?;
        Some(rows.iter().map(|row| row.deserialize().unwrap()).collect())
    }
    async fn reset(&self) {
        self.0.wipe();
    }
}

#[tokio::test]
async fn the_transactional_memory_sink_conforms() {
    sink::all(&Target(MemoryTarget::new(), Delivery::Transactional)).await;
}

#[tokio::test]
async fn the_idempotent_memory_sink_conforms() {
    sink::all(&Target(MemoryTarget::new(), Delivery::Idempotent)).await;
}

struct Log(Mutex<MemoryLog>);

#[async_trait]
impl source::Fixture for Log {
    async fn instance(&self) -> Box<dyn Source> {
        Box::new(self.0.lock().unwrap().source())
    }
    async fn insert(&self, ids: &[i64]) {
        let changes = ids.iter().map(|id| Change::create(shop::order(*id, "note")));
        self.0.lock().unwrap().commit(changes);
    }
    async fn reset(&self) {
        *self.0.lock().unwrap() = MemoryLog::new([shop::orders()]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_log_conforms() {
    source::all(&Log(Mutex::new(MemoryLog::new([shop::orders()])))).await;
}

#[tokio::test]
async fn the_memory_store_conforms() {
    let store: Arc<dyn OffsetStore> = Arc::new(MemoryOffsetStore::new());
    offset_store::all(&|| Arc::clone(&store)).await;
}

#[tokio::test]
async fn the_file_store_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let instance = || FileOffsetStore::open(folder.path()).unwrap();
    offset_store::all(&instance).await;
    offset_store::only_one_instance_writes(&instance).await;
}
