//! A connection and what is done with it: the statements of a batch go out without waiting for each other's answers.

use std::collections::{HashMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use cdc_core::fold::{Folder, Step, TableFold};
use cdc_core::{Batch, ChangeEvent, Error, Schema, SystemIdentity};
use cdc_pgconn::{ConnectConfig, Session as SessionSettings, SqlClient, connect_sql};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error as SqlError, Statement as Prepared};

use super::catalog::{existing_table, has_xml, identity};
use super::dialect::Postgres;
use super::error::refused;
use super::fence::make_schema;
use super::parameter::{ArrayParameter, Bind};
use crate::error::{SinkError, fenced};
use crate::sql::actions::{self, Run};
use crate::sql::dialect::Dialect;
use crate::sql::naming::{DEFAULT_SCHEMA, NameBook, TableName};
use crate::sql::offsets::{Fence, OffsetStatements};
use crate::sql::plan::{Plans, TablePlan};
use crate::sql::rejected::RejectedSearch;
use crate::sql::table::{Column, check_names, layout};

/// So many statements are prepared at a time.
const KEPT_STATEMENTS: usize = 2_048;
/// So many rows go to the server at a time.
const ROWS_A_STATEMENT: usize = 2_048;
/// So many statements may wait for their answers.
const MOST_IN_FLIGHT: usize = 32;

/// What is known of the target's tables, beyond one connection.
#[derive(Debug)]
pub(super) struct Tables {
    pub(super) names: NameBook,
    pub(super) offset_table: TableName,
    pub(super) plans: Plans<Postgres>,
    pub(super) folder: Folder,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: SqlClient,
    pub(super) dialect: Postgres,
    pub(super) identity: Option<SystemIdentity>,
    prepared: HashMap<Arc<str>, Prepared>,
}

impl Session {
    pub(super) async fn connect(config: &ConnectConfig) -> Result<Self, SinkError> {
        let settings =
            SessionSettings::default().with_application_name("cdc sink").with_synchronous_commit();
        let client = connect_sql(config, &settings).await?;
        let dialect = Postgres { xml: has_xml(&client).await };
        let identity = identity(&client).await;
        Ok(Session { client, dialect, identity, prepared: HashMap::new() })
    }

    /// Commits a batch and its offset in one transaction, or nothing of it.
    pub(super) async fn commit(
        &mut self,
        tables: &mut Tables,
        offsets: &OffsetStatements,
        fence: &Fence,
        batch: &Batch,
    ) -> Result<(), SinkError> {
        let done = self.write(tables, offsets, fence, batch).await;
        if done.is_err() {
            tables.plans.clear();
            if !self.client.is_closed() {
                // Where this fails the connection is gone, and the transaction with it.
                let _ = self.client.batch_execute("ROLLBACK").await;
            }
        }
        done
    }

    async fn write(
        &mut self,
        tables: &mut Tables,
        offsets: &OffsetStatements,
        fence: &Fence,
        batch: &Batch,
    ) -> Result<(), SinkError> {
        let folded = tables.folder.fold(&batch.events)?;
        let save_offset = self.prepared_offset(&offsets.save).await?;
        let client = &self.client;
        let mut transaction = Transaction {
            client,
            dialect: self.dialect,
            prepared: &mut self.prepared,
            fence,
            in_flight: VecDeque::new(),
            scratch: String::new(),
        };
        if folded.is_empty() {
            transaction.save(save_offset, batch.offset.to_string()).await?;
            return transaction.settle().await.map(drop);
        }
        let begin = Box::pin(async { client.batch_execute("BEGIN").await.map(|()| 0) });
        transaction.send(Sent::Begin, begin).await?;
        transaction.save(save_offset, batch.offset.to_string()).await?;
        for table in &folded {
            transaction.apply(tables_parts(tables), table).await?;
        }
        transaction.settle().await?;
        let commit = client.batch_execute("COMMIT").await;
        commit.map_err(|error| refused(client, "the batch cannot be committed", error))
    }

    /// Which events the server does not take. All of it is undone.
    pub(super) async fn find_rejected(
        &mut self,
        tables: &mut Tables,
        fence: &Fence,
        batch: &Batch,
    ) -> Result<Vec<(usize, Error)>, SinkError> {
        self.execute("BEGIN").await?;
        let found = self.try_parts(tables, fence, batch).await;
        tables.plans.clear();
        let undone = self.execute("ROLLBACK").await;
        let found = found?;
        undone?;
        Ok(found)
    }

    async fn try_parts(
        &mut self,
        tables: &mut Tables,
        fence: &Fence,
        batch: &Batch,
    ) -> Result<Vec<(usize, Error)>, SinkError> {
        let mut search = RejectedSearch::new(batch.events.len());
        while let Some(part) = search.next_part() {
            self.execute("SAVEPOINT part").await?;
            let events = batch.events.get(part.clone()).unwrap_or_default();
            match self.try_events(tables, fence, events).await {
                Ok(()) => {}
                Err(error) => {
                    search.failed(part, error)?;
                    self.execute("ROLLBACK TO part").await?;
                    tables.plans.clear();
                }
            }
            self.execute("RELEASE part").await?;
        }
        Ok(search.into_rejected())
    }

    async fn try_events(
        &mut self,
        tables: &mut Tables,
        fence: &Fence,
        events: &[ChangeEvent],
    ) -> Result<(), SinkError> {
        let folded = tables.folder.fold(events)?;
        let mut transaction = Transaction {
            client: &self.client,
            dialect: self.dialect,
            prepared: &mut self.prepared,
            fence,
            in_flight: VecDeque::new(),
            scratch: String::new(),
        };
        for table in &folded {
            transaction.apply(tables_parts(tables), table).await?;
        }
        transaction.settle().await.map(drop)
    }

    async fn execute(&self, sql: &str) -> Result<(), SinkError> {
        let done = self.client.batch_execute(sql).await;
        done.map_err(|error| refused(&self.client, "the batch cannot be tried", error))
    }

    async fn prepared_offset(&mut self, sql: &str) -> Result<Prepared, SinkError> {
        if let Some(prepared) = self.prepared.get(sql) {
            return Ok(prepared.clone());
        }
        let prepared = self
            .client
            .prepare(sql)
            .await
            .map_err(|error| refused(&self.client, "the offset cannot be saved", error))?;
        self.prepared.insert(sql.into(), prepared.clone());
        Ok(prepared)
    }
}

/// The parts of [`Tables`] that a transaction needs while the folder's rows are borrowed.
struct TableParts<'t> {
    names: &'t mut NameBook,
    offset_table: &'t TableName,
    plans: &'t mut Plans<Postgres>,
}

fn tables_parts(tables: &mut Tables) -> TableParts<'_> {
    TableParts {
        names: &mut tables.names,
        offset_table: &tables.offset_table,
        plans: &mut tables.plans,
    }
}

/// What was sent.
#[derive(Debug)]
enum Sent {
    Begin,
    /// The offset, which changes no row where another instance has the fence.
    Offset,
    Rows(TableName),
}

type Answer<'c> = Pin<Box<dyn Future<Output = Result<u64, SqlError>> + Send + 'c>>;

/// Statements that were sent in order, while the server works on those before: a commit is sent only when all are
/// answered. Answers come in the same order, and all of them must be taken before anything
/// else is waited for: the connection stops reading while an answer is not taken.
struct Transaction<'c> {
    client: &'c SqlClient,
    dialect: Postgres,
    prepared: &'c mut HashMap<Arc<str>, Prepared>,
    fence: &'c Fence,
    in_flight: VecDeque<(Sent, Answer<'c>)>,
    scratch: String,
}

impl<'c> Transaction<'c> {
    async fn save(&mut self, statement: Prepared, offset: String) -> Result<(), SinkError> {
        let (client, fence) = (self.client, self.fence);
        let answer = async move {
            let parameters: [&(dyn ToSql + Sync); 3] = [&offset, &fence.pipeline, &fence.epoch];
            client.execute(&statement, &parameters).await
        };
        self.send(Sent::Offset, Box::pin(answer)).await
    }

    async fn apply(
        &mut self,
        tables: TableParts<'_>,
        table: &TableFold<'_>,
    ) -> Result<(), SinkError> {
        let destination = table.destination;
        let TableParts { names, offset_table, plans } = tables;
        for step in &table.steps {
            let schema: &Schema = match step {
                Step::Table { schema, .. } | Step::Truncate { schema, .. } => schema,
                Step::Rows(set) => &set.schema,
                Step::WithoutKey(rows) => &rows.schema,
                Step::Move(moved) => moved.row.schema(),
                step => {
                    return Err(SinkError::configuration(
                        self.client.target(),
                        format!("table {destination}"),
                        format!("a step that this sink does not know: {step:?}"),
                        "use versions of the crates that belong together",
                    ));
                }
            };
            // A table that announces itself is looked at again.
            if matches!(step, Step::Table { .. }) || !plans.contains(destination, schema) {
                let name = names.name(self.client.target(), offset_table, destination)?;
                let plan = self.bring_into_line(name, schema).await?;
                plans.insert(destination, schema, plan);
            }
            let Some(plan) = plans.get_mut(destination, schema) else { continue };
            match step {
                Step::Truncate { .. } => {
                    let (client, sql) = (self.client, self.dialect.truncate(&plan.table));
                    let answer = async move { client.batch_execute(&sql).await.map(|()| 0) };
                    self.send(Sent::Rows(plan.name.clone()), Box::pin(answer)).await?;
                }
                Step::Rows(set) => {
                    for run in actions::of_set(&self.dialect, plan, set) {
                        self.run(plan, &run).await?;
                    }
                }
                Step::WithoutKey(rows) => {
                    for run in actions::of_rows_without_key(&self.dialect, plan, rows) {
                        self.run(plan, &run).await?;
                    }
                }
                Step::Move(moved) => {
                    let runs = actions::of_move(&self.dialect, plan, moved);
                    self.run(plan, &runs.make_way).await?;
                    self.run(plan, &runs.relocate).await?;
                    // Whether there was a row decides what comes next.
                    if let (0, Some(put)) = (self.settle().await?, &runs.put) {
                        self.run(plan, put).await?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes or alters a table.
    async fn bring_into_line(
        &mut self,
        name: TableName,
        schema: &Schema,
    ) -> Result<TablePlan<Postgres>, SinkError> {
        self.settle().await?;
        let client = self.client;
        let failed =
            |error| refused(client, format!("table {name} cannot be made or altered"), error);
        check_names(&self.dialect, client.target(), &name, schema)?;
        let in_schema = name.schema.as_deref().unwrap_or(DEFAULT_SCHEMA);
        let existing = existing_table(client, in_schema, &name.table).await.map_err(failed)?;
        let layout = layout(&self.dialect, client.target(), &name, schema, existing.as_ref())?;
        if existing.is_none() {
            make_schema(client, &name).await.map_err(failed)?;
        }
        if !layout.statements.is_empty() {
            client.batch_execute(&layout.statements.join(";")).await.map_err(failed)?;
        }
        let table = self.dialect.table(&name);
        Ok(TablePlan::new(name, table, layout.columns, schema))
    }

    /// Sends a statement with all its rows, many of them in parts: the server works on one while the next is made.
    async fn run(&mut self, plan: &TablePlan<Postgres>, run: &Run<'_>) -> Result<(), SinkError> {
        let statement = &run.statement;
        let prepared = self.prepare(&plan.name, &statement.sql).await?;
        let columns: Vec<_> = statement
            .parameters
            .iter()
            .filter_map(|parameter| Some((*parameter, plan.column(*parameter)?)))
            .collect();
        for rows in run.rows.chunks(ROWS_A_STATEMENT) {
            let new = |column: &Column<Bind>| {
                ArrayParameter::new(column.bind, column.instant, rows.len())
            };
            let mut arrays: Vec<_> = columns.iter().map(|(_, column)| new(column)).collect();
            for args in rows {
                for ((parameter, column), array) in columns.iter().zip(&mut arrays) {
                    let value = args.value(*parameter);
                    array.push(&value, &mut self.scratch).map_err(|reason| SinkError::Value {
                        target: self.client.target().to_owned(),
                        table: plan.name.to_string(),
                        column: column.name.to_string(),
                        reason,
                    })?;
                }
            }
            let (client, prepared) = (self.client, prepared.clone());
            let answer = async move {
                let parameters: Vec<&(dyn ToSql + Sync)> =
                    arrays.iter().map(|array| array as &(dyn ToSql + Sync)).collect();
                client.execute(&prepared, &parameters).await
            };
            self.send(Sent::Rows(plan.name.clone()), Box::pin(answer)).await?;
        }
        Ok(())
    }

    async fn prepare(&mut self, table: &TableName, sql: &Arc<str>) -> Result<Prepared, SinkError> {
        if let Some(prepared) = self.prepared.get(sql) {
            return Ok(prepared.clone());
        }
        self.settle().await?;
        let prepared =
            self.client.prepare(sql).await.map_err(|error| failed(self.client, table, error))?;
        if self.prepared.len() >= KEPT_STATEMENTS {
            self.prepared.clear();
        }
        self.prepared.insert(Arc::clone(sql), prepared.clone());
        Ok(prepared)
    }

    /// Sends; the answer is taken later.
    async fn send(&mut self, sent: Sent, mut answer: Answer<'c>) -> Result<(), SinkError> {
        // The first poll hands the statement to the connection.
        match poll_fn(|context| Poll::Ready(answer.as_mut().poll(context))).await {
            Poll::Ready(Ok(changed)) => {
                self.in_flight.push_back((sent, Box::pin(std::future::ready(Ok(changed)))));
            }
            Poll::Ready(Err(error)) => {
                // A statement before it may have failed first.
                self.settle().await?;
                return Err(self.failed(&sent, error));
            }
            Poll::Pending => self.in_flight.push_back((sent, answer)),
        }
        // The connection is a task of its own, which may wait for this thread.
        tokio::task::yield_now().await;
        if self.in_flight.len() > MOST_IN_FLIGHT {
            self.take_answer().await?;
        }
        Ok(())
    }

    /// Takes all answers, and gives how many rows the last statement changed.
    async fn settle(&mut self) -> Result<u64, SinkError> {
        let mut last = 0;
        while let Some(changed) = self.take_answer().await? {
            last = changed;
        }
        Ok(last)
    }

    /// Takes the oldest answer: how many rows its statement changed.
    async fn take_answer(&mut self) -> Result<Option<u64>, SinkError> {
        let Some((sent, answer)) = self.in_flight.pop_front() else { return Ok(None) };
        let changed = answer.await.map_err(|error| self.failed(&sent, error))?;
        if changed == 0 && matches!(sent, Sent::Offset) {
            return Err(fenced(self.client.target(), &self.fence.pipeline));
        }
        Ok(Some(changed))
    }

    fn failed(&self, sent: &Sent, error: SqlError) -> SinkError {
        match sent {
            Sent::Begin | Sent::Offset => refused(self.client, "the offset cannot be saved", error),
            Sent::Rows(table) => failed(self.client, table, error),
        }
    }
}

fn failed(client: &SqlClient, table: &TableName, error: SqlError) -> SinkError {
    refused(client, format!("table {table} cannot be written"), error)
}
