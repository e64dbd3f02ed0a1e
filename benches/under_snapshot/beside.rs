//! What reads the table while others write it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use cdc_core::offset_store::MemoryOffsetStore;
use cdc_core::status::Phase;
use cdc_core::{Ack, Batch, Delivery, Handle, Operation, Pipeline, Request, Sink, TableId};
use cdc_postgres::{PostgresSource, SnapshotMode};
use tokio_postgres::{Client, NoTls};

use crate::Outcome;

pub(crate) const TABLE: &str = "public.t";
const NAME: &str = "under_snapshot";

/// What reads the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beside {
    Nobody,
    /// The changes alone.
    Stream,
    /// The changes, and all rows again and again.
    OnDemand,
    /// First copies, one after another.
    FirstCopy,
}

impl Beside {
    pub(crate) const ALL: [Beside; 4] =
        [Beside::Nobody, Beside::Stream, Beside::OnDemand, Beside::FirstCopy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Beside::Nobody => "nobody",
            Beside::Stream => "the stream",
            Beside::OnDemand => "on demand",
            Beside::FirstCopy => "first copies",
        }
    }

    /// Begins to read, and comes back when the stream is followed or, of a first copy, rows come.
    pub(crate) async fn start(self, url: &str) -> Outcome<Reader> {
        let seen = Arc::new(Seen::default());
        let mut reader = Reader { beside: self, url: url.to_owned(), seen, running: None };
        if self != Beside::Nobody {
            reader.running = Some(reader.spawn()?);
            let wanted = if self == Beside::FirstCopy { Phase::Snapshot } else { Phase::Streaming };
            while reader.running.as_ref().is_some_and(|handle| handle.status().phase != wanted) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(reader)
    }
}

pub(crate) async fn connect(url: &str) -> Outcome<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// What the sink has seen.
#[derive(Default)]
struct Seen {
    rows: AtomicU64,
    lags: Mutex<Vec<i64>>,
}

/// A sink that keeps nothing but counts.
struct Counting(Arc<Seen>);

#[async_trait]
impl Sink for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    async fn write(&mut self, batch: Arc<Batch>) -> cdc_core::Result<Ack> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        let mut lags = self.0.lags.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = 0;
        for event in &batch.events {
            match event.operation() {
                Some(Operation::Read) => rows += 1,
                Some(Operation::Update) => {
                    let committed = event.origin().transaction.commit_time_us;
                    lags.extend(committed.map(|committed| now - committed));
                }
                _ => {}
            }
        }
        self.0.rows.fetch_add(rows, Ordering::Relaxed);
        Ok(Ack::durable())
    }

    async fn close(&mut self) -> cdc_core::Result<()> {
        Ok(())
    }
}

/// A pipeline that reads the table.
pub(crate) struct Reader {
    beside: Beside,
    url: String,
    seen: Arc<Seen>,
    running: Option<Handle>,
}

impl Reader {
    fn spawn(&self) -> Outcome<Handle> {
        let mode = match self.beside {
            Beside::FirstCopy => SnapshotMode::Initial,
            _ => SnapshotMode::NoData,
        };
        let source = PostgresSource::builder(&self.url)
            .tables([TABLE])
            .slot_name(NAME)
            .publication_name(NAME)
            .snapshot(mode)
            .build()?;
        let sink = Counting(Arc::clone(&self.seen));
        let pipeline =
            Pipeline::builder(NAME, source).sink(sink).offsets(MemoryOffsetStore::new()).build()?;
        Ok(pipeline.spawn())
    }

    /// How many rows of snapshots have come.
    pub(crate) fn rows(&self) -> u64 {
        self.seen.rows.load(Ordering::Relaxed)
    }

    /// Begins a snapshot whenever the last one has ended, until it is told that it is enough.
    pub(crate) async fn go_on(&mut self, enough: &AtomicBool) -> Outcome<()> {
        const MOMENT: Duration = Duration::from_millis(2);
        let is_enough = || enough.load(Ordering::Relaxed);
        while !is_enough() {
            match (self.beside, &self.running) {
                (Beside::OnDemand, Some(handle)) => {
                    let asked = self.rows();
                    handle.request(Request::snapshot([TableId::new("public", "t")])).await?;
                    while !is_enough()
                        && (self.rows() == asked || !handle.status().snapshots.is_empty())
                    {
                        tokio::time::sleep(MOMENT).await;
                    }
                }
                (Beside::FirstCopy, Some(handle)) if handle.status().phase == Phase::Streaming => {
                    end(self.running.take(), &self.url).await?;
                    self.running = Some(self.spawn()?);
                }
                _ => tokio::time::sleep(MOMENT).await,
            }
        }
        Ok(())
    }

    /// Ends, and gives what each change took from its commit to the sink.
    pub(crate) async fn stop(self) -> Outcome<Vec<i64>> {
        end(self.running, &self.url).await?;
        Ok(std::mem::take(&mut *self.seen.lags.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// Stops a pipeline and removes what it made in the database.
async fn end(handle: Option<Handle>, url: &str) -> Outcome<()> {
    let Some(handle) = handle else { return Ok(()) };
    handle.stop();
    handle.join().await?;
    let client = connect(url).await?;
    client
        .batch_execute(&format!(
            "DROP PUBLICATION IF EXISTS {NAME}; DROP PUBLICATION IF EXISTS {NAME}_append;
             SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{NAME}'"
        ))
        .await?;
    Ok(())
}
