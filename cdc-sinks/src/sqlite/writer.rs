//! The connection, and what is done with it on a thread that may block.

use std::path::Path;
use std::time::Duration;

use cdc_core::fold::{Folder, Step, TableFold};
use cdc_core::{Batch, Destination, Error, Offset, Schema};
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::catalog::existing_table;
use super::dialect::Sqlite;
use super::error::refused;
use super::value::stored;
use crate::error::{SinkError, fenced, not_loaded, read_offset};
use crate::sql::actions::{self, Run};
use crate::sql::dialect::Dialect;
use crate::sql::naming::{NameBook, TableName};
use crate::sql::offsets::{Claim, Fence, OffsetStatements};
use crate::sql::plan::{Plans, TablePlan};
use crate::sql::rejected::RejectedSearch;
use crate::sql::statement::Parameter;
use crate::sql::table::{check_names, layout};

/// So many prepared statements are kept: a few for each table.
const KEPT_STATEMENTS: usize = 2_048;
/// 8 MiB (SQLite takes a negative number for KiB): what a full batch changes fits, so that no page goes to the WAL twice.
const CACHE_KIB: i64 = -8_192;
/// 32 MiB of WAL: pages that many batches change are copied into the file once, with two syncs rather than two a batch.
const CHECKPOINT_PAGES: i64 = 8_192;

#[derive(Debug)]
pub(super) struct Writer {
    target: String,
    connection: Connection,
    names: NameBook,
    offset_table: TableName,
    offsets: OffsetStatements,
    fence: Option<Fence>,
    folder: Folder,
    plans: Plans<Sqlite>,
    scratch: String,
}

impl Writer {
    /// Opens the file, or makes it.
    pub(super) fn open(
        target: &str,
        path: &Path,
        names: NameBook,
        offset_table: TableName,
        busy: Duration,
        max_pages: Option<u32>,
    ) -> Result<Self, SinkError> {
        let what = || "the database cannot be opened".to_owned();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .and_then(|connection| {
                connection.busy_timeout(busy)?;
                connection.set_prepared_statement_cache_capacity(KEPT_STATEMENTS);
                // A commit is on the disk when it returns: with a WAL that takes FULL.
                connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
                connection.pragma_update(None, "synchronous", "FULL")?;
                connection.pragma_update(None, "cache_size", CACHE_KIB)?;
                connection.pragma_update_and_check(
                    None,
                    "wal_autocheckpoint",
                    CHECKPOINT_PAGES,
                    |_| Ok(()),
                )?;
                if let Some(pages) = max_pages {
                    connection.pragma_update_and_check(
                        None,
                        "max_page_count",
                        pages,
                        |_| Ok(()),
                    )?;
                }
                // Whether the file is a database shows when something is read.
                connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
                Ok(connection)
            })
            .map_err(|error| refused(target, what(), &error))?;
        if connection.is_readonly("main").unwrap_or(false) {
            return Err(SinkError::configuration(
                target,
                what(),
                "it can only be read",
                "check that the file and its folder can be written",
            ));
        }
        Ok(Writer {
            target: target.to_owned(),
            connection,
            names,
            offsets: OffsetStatements::new(&Sqlite, &offset_table),
            offset_table,
            fence: None,
            folder: Folder::default(),
            plans: Plans::new(),
            scratch: String::new(),
        })
    }

    /// Takes the fence with an epoch, where it is not another's, and reads the offset.
    pub(super) fn load(&mut self, claim: &Claim, epoch: i64) -> Result<Option<Offset>, SinkError> {
        self.fence = None;
        let what = "the offset cannot be loaded";
        let sql = self.offsets.load(claim);
        let pipeline = claim.pipeline.clone();
        let found = self.in_transaction(what, |writer| {
            let refused = |error| refused(&writer.target, what, &error);
            if !writer.has_offsets()? {
                writer.connection.execute_batch(&writer.offsets.create).map_err(refused)?;
            }
            let found = writer
                .connection
                .query_row(&sql, (&pipeline, epoch), |row| row.get::<_, Option<String>>(0))
                .optional()
                .map_err(refused)?;
            found.ok_or_else(|| fenced(&writer.target, &pipeline))
        })?;
        let offset = read_offset(&self.target, &self.offset_table, &pipeline, found)?;
        self.fence = Some(Fence { pipeline, epoch });
        Ok(offset)
    }

    /// Reads the offset and leaves the fence alone.
    pub(super) fn peek(&mut self, pipeline: &str) -> Result<Option<Offset>, SinkError> {
        if !self.has_offsets()? {
            return Ok(None);
        }
        let found = self
            .connection
            .query_row(&self.offsets.peek, [pipeline], |row| row.get::<_, Option<String>>(0))
            .optional()
            .map_err(|error| refused(&self.target, "the offset cannot be read", &error))?;
        read_offset(&self.target, &self.offset_table, pipeline, found.flatten())
    }

    fn has_offsets(&self) -> Result<bool, SinkError> {
        existing_table(&self.connection, &self.offset_table.table)
            .map(|table| table.is_some())
            .map_err(|error| {
                refused(&self.target, "the table of the offsets cannot be looked up", &error)
            })
    }

    pub(super) fn commit(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let Some(fence) = self.fence.clone() else {
            return Err(not_loaded(&self.target));
        };
        self.in_transaction("the batch cannot be written", |writer| {
            let saved = writer
                .connection
                .prepare_cached(&writer.offsets.save)
                .and_then(|mut save| {
                    save.execute((batch.offset.to_string(), &fence.pipeline, fence.epoch))
                })
                .map_err(|error| refused(&writer.target, "the offset cannot be saved", &error))?;
            if saved == 0 {
                return Err(fenced(&writer.target, &fence.pipeline));
            }
            let tables = writer.folder.fold(&batch.events)?;
            tables.iter().try_for_each(|table| writer.apply(table))
        })
    }

    /// Which events the file does not take. All of it is undone.
    pub(super) fn find_rejected(
        &mut self,
        batch: &Batch,
    ) -> Result<Vec<(usize, Error)>, SinkError> {
        let what = "the batch cannot be tried";
        self.execute("BEGIN IMMEDIATE", what)?;
        let found = self.try_parts(batch);
        // Some errors have ended the transaction already.
        if !self.connection.is_autocommit() {
            let undone = self.execute("ROLLBACK", what);
            self.plans.clear();
            undone?;
        }
        self.plans.clear();
        found
    }

    fn try_parts(&mut self, batch: &Batch) -> Result<Vec<(usize, Error)>, SinkError> {
        let what = "a part of the batch cannot be tried";
        let mut search = RejectedSearch::new(batch.events.len());
        while let Some(part) = search.next_part() {
            self.execute("SAVEPOINT part", what)?;
            let events = batch.events.get(part.clone()).unwrap_or_default();
            let tables = self.folder.fold(events).map_err(SinkError::from);
            let tried =
                tables.and_then(|tables| tables.iter().try_for_each(|table| self.apply(table)));
            if let Err(error) = tried {
                search.failed(part, error)?;
                self.execute("ROLLBACK TO part", what)?;
                self.plans.clear();
            }
            self.execute("RELEASE part", what)?;
        }
        Ok(search.into_rejected())
    }

    fn execute(&self, sql: &str, what: &str) -> Result<(), SinkError> {
        self.connection.execute_batch(sql).map_err(|error| refused(&self.target, what, &error))
    }

    pub(super) fn forget(&mut self, pipeline: &str) -> Result<(), SinkError> {
        self.fence = None;
        self.in_transaction("the offset cannot be forgotten", |writer| {
            let refused = |error| refused(&writer.target, "the offset cannot be forgotten", &error);
            if writer.has_offsets()? {
                writer.connection.execute(&writer.offsets.forget, [pipeline]).map_err(refused)?;
            }
            Ok(())
        })
    }

    /// Commits what `work` did, or undoes it.
    fn in_transaction<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut Self) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        self.connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(|error| refused(&self.target, what, &error))?;
        let done = work(self).and_then(|done| {
            self.connection
                .execute_batch("COMMIT")
                .map_err(|error| refused(&self.target, what, &error))?;
            Ok(done)
        });
        if done.is_err() {
            // Some errors have ended the transaction already.
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            self.plans.clear();
        }
        done
    }

    fn apply(&mut self, table: &TableFold<'_>) -> Result<(), SinkError> {
        for step in &table.steps {
            match step {
                // A table that announces itself is looked at again.
                Step::Table { schema, .. } => self.bring_into_line(table.destination, schema)?,
                Step::Truncate { schema, .. } => {
                    self.prepare(table.destination, schema)?;
                    if let Some(plan) = self.plans.get_mut(table.destination, schema) {
                        self.connection.execute(&Sqlite.truncate(&plan.table), []).map_err(
                            |error| {
                                refused(
                                    &self.target,
                                    format!("table {} cannot be emptied", plan.name),
                                    &error,
                                )
                            },
                        )?;
                    }
                }
                Step::Rows(set) => {
                    self.prepare(table.destination, &set.schema)?;
                    if let Some(plan) = self.plans.get_mut(table.destination, &set.schema) {
                        let runs = actions::of_set(&Sqlite, plan, set);
                        for run in &runs {
                            execute(&self.target, &self.connection, plan, run, &mut self.scratch)?;
                        }
                    }
                }
                Step::WithoutKey(rows) => {
                    self.prepare(table.destination, &rows.schema)?;
                    if let Some(plan) = self.plans.get_mut(table.destination, &rows.schema) {
                        let runs = actions::of_rows_without_key(&Sqlite, plan, rows);
                        for run in &runs {
                            execute(&self.target, &self.connection, plan, run, &mut self.scratch)?;
                        }
                    }
                }
                Step::Move(moved) => {
                    let schema = moved.row.schema();
                    self.prepare(table.destination, schema)?;
                    if let Some(plan) = self.plans.get_mut(table.destination, schema) {
                        let runs = actions::of_move(&Sqlite, plan, moved);
                        let (target, connection, scratch) =
                            (&self.target, &self.connection, &mut self.scratch);
                        execute(target, connection, plan, &runs.make_way, scratch)?;
                        let moved = execute(target, connection, plan, &runs.relocate, scratch)?;
                        if let (0, Some(put)) = (moved, &runs.put) {
                            execute(target, connection, plan, put, scratch)?;
                        }
                    }
                }
                step => {
                    return Err(SinkError::configuration(
                        &self.target,
                        format!("table {}", table.destination),
                        format!("a step that this sink does not know: {step:?}"),
                        "use versions of the crates that belong together",
                    ));
                }
            }
        }
        Ok(())
    }

    fn prepare(&mut self, destination: &Destination, schema: &Schema) -> Result<(), SinkError> {
        if self.plans.contains(destination, schema) {
            return Ok(());
        }
        self.bring_into_line(destination, schema)
    }

    /// Makes or alters a table.
    fn bring_into_line(
        &mut self,
        destination: &Destination,
        schema: &Schema,
    ) -> Result<(), SinkError> {
        let name = self.names.name(&self.target, &self.offset_table, destination)?;
        check_names(&Sqlite, &self.target, &name, schema)?;
        let refused = |error| {
            refused(&self.target, format!("table {name} cannot be made or altered"), &error)
        };
        let existing = existing_table(&self.connection, &name.table).map_err(refused)?;
        let layout = layout(&Sqlite, &self.target, &name, schema, existing.as_ref())?;
        for statement in &layout.statements {
            self.connection.execute_batch(statement).map_err(refused)?;
        }
        let table = Sqlite.table(&name);
        self.plans.insert(destination, schema, TablePlan::new(name, table, layout.columns, schema));
        Ok(())
    }

    /// Ends the connection; what is left of the WAL goes into the file.
    pub(super) fn close(self) -> Result<(), SinkError> {
        let target = self.target;
        self.connection
            .close()
            .map_err(|(_, error)| refused(&target, "the database cannot be closed", &error))
    }
}

/// Runs a statement for each of its rows, and says how many rows of the table changed.
fn execute(
    target: &str,
    connection: &Connection,
    plan: &TablePlan<Sqlite>,
    run: &Run<'_>,
    scratch: &mut String,
) -> Result<usize, SinkError> {
    let refused = |error| refused(target, format!("table {} cannot be written", plan.name), &error);
    let mut statement = connection.prepare_cached(&run.statement.sql).map_err(refused)?;
    let parameters: Vec<(usize, Parameter, bool)> = (1..)
        .zip(&run.statement.parameters)
        .map(|(place, parameter)| {
            let instant = plan.column(*parameter).is_some_and(|column| column.instant);
            (place, *parameter, instant)
        })
        .collect();
    let mut changed = 0;
    for args in &run.rows {
        for &(place, parameter, instant) in &parameters {
            let value = args.value(parameter);
            statement
                .raw_bind_parameter(place, stored(&value, instant, scratch))
                .map_err(refused)?;
        }
        changed += statement.raw_execute().map_err(refused)?;
    }
    Ok(changed)
}
