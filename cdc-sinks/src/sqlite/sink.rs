//! The sink: one file, one thread at a time, one transaction a batch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cdc_core::{Ack, Batch, Delivery, Error, Offset, Outcome, Result, Sink, TransactionalSink};

use super::writer::Writer;
use crate::error::SinkError;
use crate::sql::naming::{NameBook, TableName, TableNames};
use crate::sql::offsets::{Claim, OFFSET_TABLE};

/// Writes rows into a SQLite file, exactly once.
///
/// Every batch is one transaction that also holds the pipeline's offset, on the disk when it is committed
/// (`journal_mode=WAL`, `synchronous=FULL`). Readers are not disturbed. The WAL grows to 32 MiB before its pages are copied into
/// the file, and 8 MiB of pages are kept in memory. How values are stored:
///
/// | source type | column | stored as |
/// |---|---|---|
/// | boolean, integers | INTEGER | the number; unsigned 64 bit integers as TEXT |
/// | floats | REAL | the number; NaN, which SQLite lacks, as the text `NaN`; -0.0 as 0.0 |
/// | numeric | TEXT | its digits with its scale |
/// | bytes | BLOB | the bytes |
/// | date, time, timestamp | TEXT | `2024-02-29 23:59:59.5`, an instant with `+00:00`; `infinity` |
/// | interval | TEXT | ISO 8601: `P1M2DT3S` |
/// | array, map, struct | TEXT | JSON; decimals and what JSON lacks as strings |
/// | text, json, uuid, bits, enum and all others | TEXT | the text |
///
/// ```no_run
/// use cdc_sinks::SqliteSink;
///
/// let sink = SqliteSink::open("shop.db")?;
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SqliteSink {
    name: String,
    options: SqliteSinkBuilder,
    /// Away while a call runs on another thread; a call that was given up does not bring it back.
    writer: Option<Writer>,
    /// What is remembered of the fence beyond one connection.
    claim: Option<Claim>,
}

/// Sets up a [`SqliteSink`].
///
/// ```no_run
/// use cdc_sinks::{SqliteSink, TableNames};
///
/// let sink = SqliteSink::builder("shop.db")
///     .table_names(TableNames::format("${source.schema}_${source.table}")?)
///     .build()?;
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SqliteSinkBuilder {
    path: PathBuf,
    names: TableNames,
    offset_table: String,
    busy_timeout: Duration,
    max_pages: Option<u32>,
}

impl SqliteSinkBuilder {
    /// How tables are named in the file; the default is `table` for the schema `public`, else `schema_table`.
    #[must_use]
    pub fn table_names(mut self, names: TableNames) -> Self {
        self.names = names;
        self
    }

    /// The table of the offsets; the default is `cdc_offsets`.
    #[must_use]
    pub fn offset_table(mut self, table: impl Into<String>) -> Self {
        self.offset_table = table.into();
        self
    }

    /// How long a write waits for another process that writes to the file, before it is tried again from the start; the
    /// default is 10 s.
    #[must_use]
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// The most pages that the file may have (`max_page_count`), as on a disk of that size; the default is none.
    #[must_use]
    pub fn max_pages(mut self, pages: u32) -> Self {
        self.max_pages = Some(pages);
        self
    }

    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when the path cannot be written or the file is no SQLite
    /// database.
    pub fn build(self) -> Result<SqliteSink> {
        let name = format!("sqlite:{}", self.path.display());
        let writer = self.writer(&name)?;
        Ok(SqliteSink { name, options: self, writer: Some(writer), claim: None })
    }

    fn writer(&self, name: &str) -> Result<Writer, SinkError> {
        let names = NameBook::new(self.names.clone(), false);
        let offsets = TableName::new(self.offset_table.clone());
        Writer::open(name, &self.path, names, offsets, self.busy_timeout, self.max_pages)
    }
}

impl SqliteSink {
    /// Opens a file, or makes it, with all defaults.
    ///
    /// # Errors
    /// As [`SqliteSinkBuilder::build`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::builder(path).build()
    }

    /// Starts to set up a sink.
    pub fn builder(path: impl AsRef<Path>) -> SqliteSinkBuilder {
        SqliteSinkBuilder {
            path: path.as_ref().to_owned(),
            names: TableNames::default(),
            offset_table: OFFSET_TABLE.to_owned(),
            busy_timeout: Duration::from_secs(10),
            max_pages: None,
        }
    }

    /// Runs what may block on a thread that may.
    async fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Writer) -> Result<T, SinkError> + Send + 'static,
    ) -> Result<T> {
        let (name, options) = (self.name.clone(), self.options.clone());
        let writer = self.writer.take();
        let task = tokio::task::spawn_blocking(move || {
            let mut writer = match writer {
                Some(writer) => writer,
                None => options.writer(&name)?,
            };
            let done = work(&mut writer);
            Ok::<_, SinkError>((writer, done))
        });
        let (writer, done) = task.await.map_err(|error| {
            Error::transient(format!("{}: the writing thread ended", self.name)).with_source(error)
        })??;
        self.writer = Some(writer);
        done.map_err(Error::from)
    }
}

#[async_trait]
impl Sink for SqliteSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn delivery(&self) -> Delivery {
        Delivery::Transactional
    }

    async fn open(&mut self) -> Result<()> {
        self.run(|_| Ok(())).await
    }

    async fn write(&mut self, _: Arc<Batch>) -> Result<Ack> {
        Err(Error::configuration(format!("{}: a transactional sink commits", self.name))
            .remedy("call commit of its transactional() side"))
    }

    fn transactional(&mut self) -> Option<&mut dyn TransactionalSink> {
        Some(self)
    }

    async fn close(&mut self) -> Result<()> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let closed = tokio::task::spawn_blocking(move || writer.close()).await;
        match closed {
            Ok(closed) => closed.map_err(Error::from),
            Err(error) => Err(Error::transient(format!("{}: the writing thread ended", self.name))
                .with_source(error)),
        }
    }
}

#[async_trait]
impl TransactionalSink for SqliteSink {
    async fn peek(&mut self, pipeline: &str) -> Result<Option<Offset>> {
        let pipeline = pipeline.to_owned();
        self.run(move |writer| writer.peek(&pipeline)).await
    }

    async fn load(&mut self, pipeline: &str) -> Result<Option<Offset>> {
        if self.claim.as_ref().is_none_or(|claim| claim.pipeline != pipeline) {
            self.claim = None;
        }
        let claim = self.claim.get_or_insert_with(|| Claim::new(pipeline));
        let before = claim.clone();
        let epoch = claim.ask();
        let offset = self.run(move |writer| writer.load(&before, epoch)).await?;
        if let Some(claim) = &mut self.claim {
            claim.answered(epoch);
        }
        Ok(offset)
    }

    async fn commit(&mut self, batch: Arc<Batch>) -> Result<Outcome> {
        self.run(move |writer| writer.commit(&batch)).await?;
        Ok(Outcome::default())
    }

    async fn find_rejected(&mut self, batch: Arc<Batch>) -> Result<Vec<(usize, Error)>> {
        self.run(move |writer| writer.find_rejected(&batch)).await
    }

    async fn forget(&mut self, pipeline: &str) -> Result<()> {
        self.claim = None;
        let pipeline = pipeline.to_owned();
        self.run(move |writer| writer.forget(&pipeline)).await
    }
}
