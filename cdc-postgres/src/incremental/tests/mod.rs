//! The readers on a real server, driven by a merge whose stream stands still.

#[path = "../../../../cdc-pgconn/tests/server/database.rs"]
mod database;
mod key_types;
mod locks;
mod questions;
mod regions;
mod speed;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cdc_core::snapshot::{
    ChunkTarget, FirstReads, Merge, MergeOptions, ReadId, Region, SnapshotState, Stamp,
};
use cdc_core::{BatchLimits, ErrorKind, Operation, Row, TableId, TransactionOrigin};
use database::{PATIENCE, TestDatabase};

use super::plan::{TableReadPlan, plan};
use super::readers::{Answer, Ask, Readers};
use super::visible::PgVisible;
use crate::builder::PostgresSourceBuilder;
use crate::catalog::publications::PublishedTable;
use crate::catalog::tables::tables;
use crate::lsn::Lsn;
use crate::options::Options;

/// Chunks of some rows.
fn small_chunks() -> ChunkTarget {
    ChunkTarget { bytes: 1_000, time: Duration::from_secs(1), first_rows: 7 }
}

/// A copy of tables, as a worker would make it that has nothing to stream.
struct Copy {
    options: Arc<Options>,
    merge: Merge<PgVisible>,
    readers: Readers,
    plans: HashMap<TableId, Arc<TableReadPlan>>,
    /// As the last table's plan has it.
    text_in_byte_order: bool,
    rows: Vec<Row>,
    keeps_rows: bool,
    count: usize,
    /// The regions that were read.
    regions: Vec<Region>,
}

fn options(database: &TestDatabase) -> Arc<Options> {
    Arc::new(PostgresSourceBuilder::new(database.config.clone().into()).options().unwrap())
}

async fn whole(database: &TestDatabase, name: &str) -> PublishedTable {
    let all = tables(&database.sql).await.unwrap();
    PublishedTable::whole(all.iter().find(|table| *table.id.table == *name).unwrap())
}

impl Copy {
    fn new(database: &TestDatabase, connections: usize, chunk: ChunkTarget) -> Self {
        let options = options(database);
        let merge_options =
            MergeOptions { max_reads: connections, chunk, ..MergeOptions::default() };
        Copy {
            readers: Readers::start(&options, connections),
            options,
            merge: Merge::new(merge_options, Lsn(0), SnapshotState::default()),
            plans: HashMap::new(),
            text_in_byte_order: false,
            rows: Vec::new(),
            keeps_rows: true,
            count: 0,
            regions: Vec::new(),
        }
    }

    async fn want(&mut self, database: &TestDatabase, table: &PublishedTable, readers: usize) {
        let plans =
            plan(&database.sql, &self.options, std::slice::from_ref(table), readers).await.unwrap();
        for (plan, read) in plans {
            self.text_in_byte_order = plan.text_in_byte_order;
            self.plans.insert(plan.table.clone(), Arc::new(read));
            self.merge.request([plan], FirstReads::Own);
        }
    }

    async fn ask(&self, ask: Ask) {
        self.readers.asks.send(ask).await.unwrap();
    }

    /// Asks for what the merge wants.
    async fn ask_all(&mut self) {
        if let Some(ticket) = self.merge.wants_barrier() {
            self.ask(Ask::Barrier(ticket)).await;
        }
        while let Some(read) = self.merge.next_read() {
            let plan = Arc::clone(&self.plans[&*read.table]);
            self.regions.push(read.region.clone());
            self.ask(Ask::Read { read, plan }).await;
        }
    }

    async fn answer(&mut self) -> Answer {
        let answer = tokio::time::timeout(PATIENCE, self.readers.answers.recv()).await;
        answer.expect("an answer in time").expect("tasks that live")
    }

    /// The first answer that is not of what is visible.
    async fn first_of_a_read(&mut self) -> Answer {
        self.ask_all().await;
        loop {
            match self.answer().await {
                Answer::Barrier(ticket, barrier) => self.merge.barrier(ticket, &barrier),
                Answer::Visible(visible) => self.merge.observed(visible),
                other => return other,
            }
            if self.merge.wants_visible() {
                self.ask(Ask::Visible).await;
            }
            self.ask_all().await;
        }
    }

    /// Takes an answer.
    async fn step(&mut self) {
        match self.answer().await {
            Answer::Barrier(ticket, barrier) => {
                self.merge.barrier(ticket, &barrier);
                if self.merge.wants_visible() {
                    self.ask(Ask::Visible).await;
                }
            }
            Answer::NoBarrier(ticket, error) => {
                println!("{error}");
                self.merge.no_barrier(ticket);
            }
            Answer::Visible(visible) => {
                self.merge.observed(visible);
                if self.merge.wants_visible() {
                    self.ask(Ask::Visible).await;
                }
            }
            Answer::Began(read, began) => {
                let horizon = began.horizon;
                self.merge.read_began(read, began);
                // Nothing is streamed.
                self.merge.reached(horizon).unwrap();
                self.ask(Ask::More(read)).await;
            }
            Answer::Rows(read, rows, bytes) => {
                self.merge.read_rows(read, rows, bytes);
                self.take();
                if self.merge.takes_rows(read) {
                    self.ask(Ask::More(read)).await;
                }
            }
            Answer::Ended(read, at_end, time) => {
                self.merge.read_ended(read, at_end, time).unwrap();
            }
            Answer::Failed(read, error) => {
                assert_eq!(error.kind(), ErrorKind::Transient, "{error}");
                self.merge.read_failed(read);
            }
        }
        self.take();
    }

    fn take(&mut self) {
        let origin = TransactionOrigin {
            connector: "postgresql",
            database: "shop".into(),
            id: None,
            commit_time_us: None,
            position: [0, 0],
            previous_commit: None,
            replicated_from: None,
        };
        let stamp = Stamp { transaction: Arc::new(origin), log_position: 0 };
        while self.merge.has_events() {
            let mut events = Vec::new();
            self.merge.take(&BatchLimits::default(), &stamp, |event, _| events.push(event));
            let reads = events.iter().filter(|event| event.operation() == Some(Operation::Read));
            self.count += reads.clone().count();
            if self.keeps_rows {
                self.rows.extend(reads.filter_map(|event| event.after().cloned()));
            }
        }
    }

    /// Copies to the end; the rows as they came.
    async fn run(mut self) -> Copy {
        self.ask_all().await;
        while !self.merge.is_idle() {
            self.step().await;
            self.ask_all().await;
        }
        self
    }

    /// One column of all rows, as Rust shows it.
    fn column(&self, name: &str) -> Vec<String> {
        self.rows.iter().map(|row| format!("{:?}", row.by_name(name).unwrap())).collect()
    }
}
