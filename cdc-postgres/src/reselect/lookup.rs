//! The session in which columns are read again.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use cdc_core::{TableId, TransactionId, Value};
use cdc_pgconn::SqlClient;
use cdc_pgconn::tokio_postgres::{Row, Statement};
use futures_util::TryStreamExt as _;

use super::lacking::Lacking;
use super::statement::{Question, described, fits};
use crate::catalog::types::TypeCatalog;
use crate::catalog::{columns::columns, failed};
use crate::error::{PostgresError, UNDEFINED_OBJECT, UNDEFINED_TABLE};
use crate::snapshot::{Visible, current_snapshot, parse_visible};
use crate::types::{Kind, parse, resolve};

/// A session, and the statements that are prepared in it.
pub(super) struct Lookup {
    client: SqlClient,
    plans: HashMap<(u64, Vec<usize>), Plan>,
}

/// How the columns of a schema are read now.
#[derive(Clone)]
pub(super) struct Plan {
    /// `None` where there is nothing to ask.
    statement: Option<Statement>,
    /// The columns that the table has.
    described: String,
    /// The columns of the key.
    pub(super) key: Vec<String>,
    /// The columns that are wanted: how their text is read, or why they cannot be.
    columns: Vec<Result<Kind, String>>,
    /// The table has neither a primary key nor a unique index.
    pub(super) keyless: bool,
}

/// The key's texts of one row; `None` is NULL.
pub(super) type Key = Vec<Option<String>>;

/// What was found for a key: the values of the columns, or why there are none.
pub(super) type Found = Result<Vec<Result<Value, String>>, &'static str>;

/// How many statements are kept; more than that are not in use at once.
const KEPT_PLANS: usize = 256;

/// The most rows that one statement reads.
pub(super) const MOST_ROWS: usize = 1_000;

/// How long the next look waits at most whether a transaction can be seen.
const LONGEST_LOOK: Duration = Duration::from_millis(200);

/// After that long it is told that it is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

const WHAT: &str = "reading columns again";

impl Lookup {
    pub(super) fn new(client: SqlClient) -> Self {
        Lookup { client, plans: HashMap::new() }
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// How the columns are read. `event_key` are the columns of the events' key, where rows are found by it.
    pub(super) async fn plan(
        &mut self,
        lacking: &Lacking,
        event_key: Option<&[String]>,
    ) -> Result<Plan, PostgresError> {
        let name = (lacking.schema.id(), lacking.columns.clone());
        if let Some(plan) = self.plans.get(&name) {
            return Ok(plan.clone());
        }
        let plan = self.make_plan(lacking, event_key).await?;
        if self.plans.len() >= KEPT_PLANS {
            self.plans.clear();
        }
        // What a statement finds tells when the table has changed. That a table got a key its next schema tells.
        if plan.statement.is_some() || plan.keyless {
            self.plans.insert(name, plan.clone());
        }
        Ok(plan)
    }

    /// The table is not as it was: the next plan is made anew.
    pub(super) fn forget(&mut self, lacking: &Lacking) {
        self.plans.remove(&(lacking.schema.id(), lacking.columns.clone()));
    }

    async fn make_plan(
        &self,
        lacking: &Lacking,
        event_key: Option<&[String]>,
    ) -> Result<Plan, PostgresError> {
        let names: Vec<&str> = lacking
            .columns
            .iter()
            .filter_map(|&at| lacking.schema.field(at))
            .map(|field| &*field.name)
            .collect();
        let nothing = |reason: &str| Plan {
            statement: None,
            described: String::new(),
            key: event_key.unwrap_or_default().to_vec(),
            columns: names.iter().map(|_| Err(reason.to_owned())).collect(),
            keyless: false,
        };
        let Some((oid, partitioned)) = self.table(&lacking.table).await? else {
            return Ok(nothing("the table is gone"));
        };
        let Some(catalog) = columns(&self.client, oid).await? else {
            return Ok(nothing("the table is gone"));
        };
        let key = event_key.map_or_else(|| catalog.unique.clone(), <[String]>::to_vec);
        if let Some(gone) = key.iter().find(|name| catalog.column(name).is_none()) {
            return Ok(nothing(&format!("the table has no column {gone:?} any more")));
        }
        let mut types = TypeCatalog::default();
        types.load(&self.client, catalog.columns.iter().map(|column| column.type_oid)).await?;
        let mut wanted = Vec::with_capacity(names.len());
        let mut asked = Vec::with_capacity(names.len());
        for &at in &lacking.columns {
            let Some(field) = lacking.schema.field(at) else { continue };
            let Some(now) = catalog.column(&field.name) else {
                wanted.push(Err("the table has no such column any more".to_owned()));
                continue;
            };
            let resolved = resolve(now.type_oid, now.modifier, &|oid| types.get(oid));
            if fits(field.data_type(), &resolved.data_type) {
                wanted.push(Ok(resolved.kind));
                asked.push(&*field.name);
            } else {
                wanted.push(Err(format!("its type is {} now", now.native)));
            }
        }
        let statement = match asked.is_empty() || key.is_empty() {
            true => None,
            false => {
                let question = Question {
                    table: &lacking.table,
                    partitioned,
                    snapshot: current_snapshot(&self.client),
                    key: &self.key_types(oid, &key).await?,
                    columns: &asked,
                };
                let prepared = self.client.prepare(&question.sql()).await;
                Some(prepared.map_err(failed(&self.client, WHAT))?)
            }
        };
        let keyless = key.is_empty();
        Ok(Plan { statement, described: described(&catalog), key, columns: wanted, keyless })
    }

    /// The table's OID, and whether its rows are in partitions.
    async fn table(&self, table: &TableId) -> Result<Option<(u32, bool)>, PostgresError> {
        let row = self
            .client
            .query_opt(
                "SELECT c.oid, c.relkind = 'p' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = $1 AND c.relname = $2",
                &[&&*table.schema, &&*table.table],
            )
            .await
            .map_err(failed(&self.client, WHAT))?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some((self.get(&row, 0)?, self.get(&row, 1)?)))
    }

    /// The columns with their types, without the modifiers that would cut values.
    async fn key_types(
        &self,
        table: u32,
        key: &[String],
    ) -> Result<Vec<(String, String)>, PostgresError> {
        let rows = self
            .client
            .query(
                "SELECT a.attname::text, format_type(a.atttypid, -1) \
                 FROM unnest($2::text[]) WITH ORDINALITY AS k(name, place) \
                 JOIN pg_attribute a ON a.attrelid = $1 AND a.attname = k.name ORDER BY k.place",
                &[&table, &key],
            )
            .await
            .map_err(failed(&self.client, WHAT))?;
        rows.iter().map(|row| Ok((self.get(row, 0)?, self.get(row, 1)?))).collect()
    }

    /// Reads the rows with these keys, by a snapshot that shows all that these transactions did. `None` where the table is not
    /// as the plan has it.
    pub(super) async fn read(
        &self,
        plan: &Plan,
        keys: &[Key],
        transactions: &[TransactionId],
    ) -> Result<Option<Vec<Found>>, PostgresError> {
        let Some(statement) = &plan.statement else {
            let reasons = || plan.columns.iter().map(|column| Err(reason(column))).collect();
            return Ok(Some(keys.iter().map(|_| Ok(reasons())).collect()));
        };
        let arrays: Vec<Vec<Option<&str>>> = (0..plan.key.len())
            .map(|at| keys.iter().map(|key| key.get(at)?.as_deref()).collect())
            .collect();
        let mut wait = Duration::from_millis(1);
        let mut waited = Duration::ZERO;
        loop {
            let Some(answer) = self.ask(statement, plan, &arrays, keys.len()).await? else {
                return Ok(None);
            };
            // A commit is in the log before it can be seen. Rows of before would bring older values back.
            let hidden = transactions
                .iter()
                .find(|id| matches!(id, TransactionId::Xid(xid) if !answer.visible.shows(*xid)));
            let Some(hidden) = hidden else { return Ok(Some(answer.found)) };
            if waited <= PATIENCE && waited + wait > PATIENCE {
                tracing::warn!(
                    server = self.client.target(), transaction = %hidden,
                    "columns are read again once the server shows what the transaction did; a synchronous standby may be missing"
                );
            }
            tokio::time::sleep(wait).await;
            waited += wait;
            wait = (wait * 2).min(LONGEST_LOOK);
        }
    }

    async fn ask(
        &self,
        statement: &Statement,
        plan: &Plan,
        keys: &[Vec<Option<&str>>],
        count: usize,
    ) -> Result<Option<Answer>, PostgresError> {
        let sent = self.client.query_raw(statement, keys).await;
        let rows = match sent.map_err(failed(&self.client, WHAT)) {
            Ok(rows) => rows,
            Err(error) if is_about_the_table(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut rows = pin!(rows);
        let mut found: Vec<Found> = (0..count).map(|_| Err(GONE)).collect();
        let mut visible = None;
        loop {
            let row = match rows.try_next().await.map_err(failed(&self.client, WHAT)) {
                Ok(Some(row)) => row,
                Ok(None) => break,
                Err(error) if is_about_the_table(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            if let Some(shown) = self.get::<Option<String>>(&row, 2)? {
                if self.get::<Option<String>>(&row, 3)?.unwrap_or_default() != plan.described {
                    return Ok(None);
                }
                visible = Some(parse_visible(&self.client, &shown)?);
            }
            let place = usize::try_from(self.get::<i64>(&row, 0)?.saturating_sub(1)).ok();
            let Some(place) = place.and_then(|place| found.get_mut(place)) else { continue };
            if self.get::<bool>(&row, 1)? {
                *place = match place {
                    Err(reason) if *reason == GONE => Ok(self.values(plan, &row)?),
                    _ => Err(SEVERAL),
                };
            }
        }
        let visible = visible.ok_or_else(|| {
            cdc_pgconn::ConnectError::protocol(self.client.target(), "no snapshot in an answer")
        })?;
        Ok(Some(Answer { visible, found }))
    }

    fn values(&self, plan: &Plan, row: &Row) -> Result<Vec<Result<Value, String>>, PostgresError> {
        let mut at = 4;
        let mut values = Vec::with_capacity(plan.columns.len());
        for column in &plan.columns {
            values.push(match column {
                Err(reason) => Err(reason.clone()),
                Ok(kind) => {
                    let text: Option<&str> = self.get(row, at)?;
                    at += 1;
                    text.map_or(Ok(Value::Null), |text| {
                        parse(kind, Bytes::copy_from_slice(text.as_bytes()))
                            .map_err(|error| error.to_string())
                    })
                }
            });
        }
        Ok(values)
    }

    fn get<'a, T>(&self, row: &'a Row, at: usize) -> Result<T, PostgresError>
    where
        T: cdc_pgconn::tokio_postgres::types::FromSql<'a>,
    {
        row.try_get(at).map_err(|error| {
            cdc_pgconn::ConnectError::protocol(self.client.target(), error.to_string()).into()
        })
    }
}

const GONE: &str = "the row is gone";
const SEVERAL: &str = "several rows have its key";

struct Answer {
    visible: Visible,
    found: Vec<Found>,
}

fn reason(column: &Result<Kind, String>) -> String {
    column.as_ref().err().cloned().unwrap_or_default()
}

/// The statement is of a table that was dropped, renamed or altered since.
fn is_about_the_table(error: &PostgresError) -> bool {
    const UNDEFINED_COLUMN: &str = "42703";
    const UNDEFINED_FUNCTION: &str = "42883";
    const INVALID_SCHEMA: &str = "3F000";
    matches!(
        error.sqlstate(),
        Some(
            UNDEFINED_TABLE
                | UNDEFINED_COLUMN
                | UNDEFINED_FUNCTION
                | UNDEFINED_OBJECT
                | INVALID_SCHEMA
        )
    )
}
