//! One connection that reads chunks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cdc_core::snapshot::{Began, Key, Read, ReadId, Region};
use cdc_core::{Destination, Row, RowsBuilder, Schema, TableId};
use cdc_pgconn::SqlClient;
use tokio::sync::mpsc;

use super::courtesy::Courtesy;
use super::plan::TableReadPlan;
use super::readers::{Answer, Credit};
use super::select::{self, Limit, named};
use super::visible::PgVisible;
use crate::catalog::server::before_page_header;
use crate::catalog::types::TypeCatalog;
use crate::catalog::{self, both, failed, get, millis};
use crate::error::{LOCK_NOT_AVAILABLE, PostgresError};
use crate::lsn::Lsn;
use crate::options::Options;
use crate::snapshot::{
    self, PublishedColumns, TableRows, begin_with, published_columns, rewritten, row_of_line,
};

/// So many bytes of values are given together.
const BLOCK_SIZE: usize = 256 * 1024;
/// How long a lock is waited for at a time, where nothing else is configured.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement that was cancelled may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The schemas that rows were given with last, so that chunks of a table share one.
#[derive(Debug, Clone, Default)]
pub(super) struct Schemas(Arc<Mutex<HashMap<TableId, Arc<Schema>>>>);

impl Schemas {
    fn share(&self, table: &TableId, schema: Arc<Schema>) -> Arc<Schema> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(table) {
            Some(known) if *known == schema => Arc::clone(known),
            _ => {
                known.insert(table.clone(), Arc::clone(&schema));
                schema
            }
        }
    }
}

/// What the sessions share.
#[derive(Debug, Clone, Default)]
pub(super) struct Shared {
    pub(super) schemas: Schemas,
    /// The snapshot that all read, by the name under which it is exported.
    pub(super) exported: Option<Arc<str>>,
}

/// A session for reading.
#[derive(Debug)]
pub(super) struct Reader {
    options: Arc<Options>,
    client: SqlClient,
    segment_size: u64,
    schemas: Schemas,
    /// The snapshot that was exported under a name is read, rather than a new one for each chunk.
    exported: Option<Exported>,
    courtesy: Courtesy,
    /// How long to rest before the next read.
    rest: Duration,
}

/// A snapshot that is older than the reads.
#[derive(Debug)]
struct Exported {
    name: Arc<str>,
    /// Sees the catalog as it is now.
    now: SqlClient,
}

impl Reader {
    pub(super) async fn connect(
        options: &Arc<Options>,
        shared: &Shared,
    ) -> Result<Self, PostgresError> {
        let client = catalog::connect(&options.sql).await?;
        // A chunk is small: it is had from an index sooner than it is compiled or shared out.
        client
            .batch_execute("SET jit = off; SET max_parallel_workers_per_gather = 0")
            .await
            .map_err(failed(&client, "setting up the session"))?;
        let row = client
            .query_one(
                "SELECT setting::int8 AS size FROM pg_settings WHERE name = 'wal_segment_size'",
                &[],
            )
            .await
            .map_err(failed(&client, "setting up the session"))?;
        let segment_size = u64::try_from(get::<i64>(&client, &row, "size")?).unwrap_or(1 << 24);
        let exported = match &shared.exported {
            None => None,
            Some(name) => Some(Exported {
                name: Arc::clone(name),
                now: catalog::connect(&options.sql).await?,
            }),
        };
        Ok(Reader {
            options: Arc::clone(options),
            client,
            segment_size,
            schemas: shared.schemas.clone(),
            exported,
            courtesy: Courtesy::default(),
            rest: Duration::ZERO,
        })
    }

    /// Carries out a read. After an error, or when this is dropped, the session has to be [freed](Self::free) before it is
    /// used again.
    pub(super) async fn read(
        &mut self,
        read: &Read,
        plan: &TableReadPlan,
        out: &mpsc::Sender<Answer>,
        credit: &Credit,
    ) -> Result<(), PostgresError> {
        let (visible, horizon) = self.begin(read, plan).await?;
        let begin = Instant::now();
        let mut types = TypeCatalog::default();
        let columns = published_columns(&self.client, &mut types, &plan.published, &self.options);
        let (horizon, columns, next_id) = match &self.exported {
            // The snapshot is no older than the lock, so that its catalog is the present one.
            None => {
                let horizon = before_page_header(horizon, self.segment_size);
                (horizon, columns.await?, visible.next_id())
            }
            Some(exported) => {
                let check = rewritten::check(&self.client, &exported.now, &plan.published);
                let now = snapshot::current(&exported.now);
                let (checked, columns, now) = tokio::join!(check, columns, now);
                let ((), columns) = both(checked, columns)?;
                // It shows nothing that the stream brings.
                (Lsn::ZERO, columns, now?.next_id())
            }
        };
        self.courtesy.note(next_id, begin);
        if !plan.fits(&columns) {
            return Err(PostgresError::TableRewritten { table: plan.published.id.clone() });
        }
        let schema = self.schemas.share(&plan.published.id, Arc::clone(&columns.schema));
        let destination = Destination::of_table(&plan.published.id);
        let began = Began { visible, horizon, schema: Arc::clone(&schema), destination };
        give(out, Answer::Began(read.id, began)).await?;

        let blocks = Blocks {
            read: read.id,
            schema,
            out,
            credit: matches!(read.region, Region::Whole).then_some(credit),
            rows: 0,
            bytes: 0,
            last: None,
        };
        let at_end = self.read_rows(read, plan, &columns, horizon, blocks).await?;
        give(out, Answer::Ended(read.id, at_end, begin.elapsed())).await
    }

    /// Reads the rows by the snapshot of the transaction, at once or while others write a piece after the other, and ends it.
    /// Whether the region has no more.
    async fn read_rows(
        &mut self,
        read: &Read,
        plan: &TableReadPlan,
        columns: &PublishedColumns,
        at: Lsn,
        mut blocks: Blocks<'_>,
    ) -> Result<bool, PostgresError> {
        let rewritten = || PostgresError::TableRewritten { table: plan.published.id.clone() };
        let list = self.select_list(plan, columns);
        let wanted = self.wanted(read, plan);
        let with_ties = plan.is_nullable();
        // Where rows that are equal belong together, no other bound may part them.
        let max_bytes = wanted.filter(|_| !with_ties).map(|_| read.max_bytes);
        let most = wanted.map(|wanted| self.courtesy.chunk(&read.table, wanted));
        let mut region = read.region.clone();
        let at_end = loop {
            let limit = most.map(|most| Limit {
                rows: self.courtesy.piece(&read.table, most.saturating_sub(blocks.rows)),
                with_ties,
            });
            let statement = select::statement(plan, &list, &region, limit).ok_or_else(rewritten)?;
            let begin = Instant::now();
            let (rows, bytes) = (blocks.rows, blocks.bytes);
            let lines = TableRows::open(&self.client, &statement, Arc::clone(&read.table)).await?;
            let is_cut = blocks.give_all(lines, columns, at, max_bytes).await?;
            let (rows, bytes) = (blocks.rows - rows, blocks.bytes - bytes);
            self.courtesy.read(&read.table, rows, bytes, begin.elapsed(), begin);
            self.rest = self.courtesy.rest(rows);
            if is_cut {
                self.free().await?;
                return Ok(false);
            }
            let at_end = limit.is_none_or(|limit| rows < limit.rows);
            let is_enough = most.is_none_or(|most| blocks.rows >= most)
                || max_bytes.is_some_and(|max| blocks.bytes >= max);
            let (Region::Range(range), Some(last), false) =
                (&mut region, &blocks.last, at_end || is_enough)
            else {
                break at_end;
            };
            range.after = Some(Key::of(last).map_err(|_| rewritten())?);
            self.rest().await;
        };
        self.client.batch_execute("COMMIT").await.map_err(failed(&self.client, "ending a read"))?;
        Ok(at_end)
    }

    /// How many rows of a range are wanted; `None` where all are.
    fn wanted(&self, read: &Read, plan: &TableReadPlan) -> Option<u64> {
        if !matches!(read.region, Region::Range(_)) || read.max_rows == u64::MAX {
            return None;
        }
        // Rows with NULL in the key can be equal in all of it.
        let can_be_parted = !plan.is_nullable() || self.client.server_version() >= 130_000;
        can_be_parted.then_some(read.max_rows.max(1))
    }

    /// Rests after a read, if others write.
    pub(super) async fn rest(&mut self) {
        let rest = std::mem::take(&mut self.rest);
        if rest > Duration::ZERO {
            tokio::time::sleep(rest).await;
        }
    }

    /// Opens the transaction and locks the table, before anything takes a snapshot; then takes it, and asks where the log ends.
    async fn begin(
        &self,
        read: &Read,
        plan: &TableReadPlan,
    ) -> Result<(PgVisible, Lsn), PostgresError> {
        let timeout = self.options.settings.snapshot_lock_timeout.unwrap_or(LOCK_TIMEOUT);
        // Chunks in the order of the key are had from its index: anything else would go through the whole range for each.
        let plans = match read.region {
            Region::Range(_) => {
                "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; "
            }
            _ => "",
        };
        let import = match &self.exported {
            None => String::new(),
            Some(exported) => format!("SET TRANSACTION SNAPSHOT '{}'; ", exported.name),
        };
        let statements = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; {import}\
             SET LOCAL row_security = off; SET LOCAL statement_timeout = 0; {plans}\
             SET LOCAL lock_timeout = {}; LOCK TABLE {} IN ACCESS SHARE MODE; ",
            millis(timeout),
            select::table(plan)
        );
        let what = format!("locking {} to read it", read.table);
        let mut told = false;
        loop {
            let error = match begin_with(&self.client, &statements, &what).await {
                Ok(begun) => return Ok(begun),
                Err(error) => error,
            };
            if error.sqlstate() != Some(LOCK_NOT_AVAILABLE) {
                return Err(error);
            }
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(table = %read.table, "the table is being altered; its rows are read when that has ended");
            }
            self.client.batch_execute("ROLLBACK").await.map_err(failed(&self.client, &what))?;
        }
    }

    /// The columns to select: what nobody sees is not read.
    fn select_list(&self, plan: &TableReadPlan, columns: &PublishedColumns) -> Vec<String> {
        let is_read =
            |name: &str| self.options.shape.reads(&plan.published.id, &columns.schema, name);
        let names = columns.columns.iter().map(|column| column.name.as_str());
        names.map(|name| if is_read(name) { named(name) } else { "NULL".to_owned() }).collect()
    }

    /// Ends whatever the session does, and its transaction.
    pub(super) async fn free(&self) -> Result<(), PostgresError> {
        self.client.cancel(&self.options.sql.config).await?;
        let rolled_back = tokio::time::timeout(PATIENCE, self.client.batch_execute("ROLLBACK"));
        match rolled_back.await {
            Ok(result) => result.map_err(failed(&self.client, "ending a read")),
            Err(_) => Err(PostgresError::Stopped),
        }
    }
}

async fn give(out: &mpsc::Sender<Answer>, answer: Answer) -> Result<(), PostgresError> {
    out.send(answer).await.map_err(|_| PostgresError::Stopped)
}

/// Rows on their way out.
struct Blocks<'a> {
    read: ReadId,
    schema: Arc<Schema>,
    out: &'a mpsc::Sender<Answer>,
    /// Where each block has to be asked for.
    credit: Option<&'a Credit>,
    rows: u64,
    bytes: u64,
    /// The last that was given.
    last: Option<Row>,
}

impl Blocks<'_> {
    /// Gives all rows; true when it stopped before their end because so many bytes were given.
    async fn give_all(
        &mut self,
        mut lines: TableRows,
        columns: &PublishedColumns,
        at: Lsn,
        max_bytes: Option<u64>,
    ) -> Result<bool, PostgresError> {
        let mut values = RowsBuilder::new();
        let mut block = Vec::new();
        while lines.read().await? {
            while let Some(line) = lines.next_line() {
                let row = row_of_line(line, &self.schema, &columns.types, &mut values);
                let table = self.schema.table();
                block.push(row.map_err(|refused| match table {
                    Some(table) => refused.of(table, &self.schema, at),
                    None => PostgresError::Stopped,
                })?);
                self.rows += 1;
                if values.size() >= BLOCK_SIZE {
                    self.give(&mut values, &mut block).await?;
                    if max_bytes.is_some_and(|max| self.bytes >= max) {
                        return Ok(true);
                    }
                }
            }
        }
        self.give(&mut values, &mut block).await?;
        Ok(false)
    }

    async fn give(
        &mut self,
        values: &mut RowsBuilder,
        block: &mut Vec<Row>,
    ) -> Result<(), PostgresError> {
        if block.is_empty() {
            return Ok(());
        }
        let size = values.size();
        let bytes = size + block.len() * size_of::<Row>();
        values.seal();
        self.bytes = self.bytes.saturating_add(u64::try_from(size).unwrap_or(u64::MAX));
        self.last = block.last().cloned();
        // The next block mostly has as many.
        let rows = std::mem::replace(block, Vec::with_capacity(block.len()));
        if let Some(credit) = self.credit {
            credit.take().await;
        }
        give(self.out, Answer::Rows(self.read, rows, bytes)).await
    }
}
