//! Reads columns again whose values the server did not send: Debezium's `ReselectColumnsPostProcessor`.
//!
//! A large value that an update left alone is not in the log (see [`toast`](crate::toast)). This stage asks the table for it,
//! by key, once for all rows of a batch and table that lack the same columns.
//!
//! A commit stands in the log before the server shows what it did. Another change of the row waits until it does, so that an
//! unchanged value is mostly the same before and after; but a transaction that sets the value and then changes the row again
//! has an event that lacks what it has just set. So the answer must be of a snapshot that shows the transactions of the
//! events: it is asked again until it is.

mod key_text;
mod lacking;
mod lookup;
mod statement;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use cdc_core::{
    Change, ChangeEvent, Error, ErrorKind, Payload, Result, Schema, Stage, TableId, TransactionId,
    Value,
};

use crate::catalog;
use crate::error::PostgresError;
use crate::name_pattern::NamePattern;
use crate::options::SqlAccess;
use crate::shape::{Mask, ShapeRules};
use crate::source::PostgresSource;
use key_text::key_text;
use lacking::{Finder, Lacking, key_value};
pub(crate) use lacking::{Names, Selection};
use lookup::{Found, Key, Lookup, MOST_ROWS, Plan};

/// What is done when the row is gone, or its table cannot be read: Debezium's `reselect.error.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ReselectFailure {
    /// It is logged, and the columns stay as they are: unavailable, or NULL (`warn`).
    #[default]
    Warn,
    /// The event fails: it becomes a dead letter, or ends the pipeline (`fail`).
    Fail,
}

/// Reads columns again whose values the server did not send, from the table as it is now.
///
/// A [`Stage`] before all transforms. It looks at inserts and updates: unchanged TOAST values, where no row before has them
/// (`REPLICA IDENTITY FULL`), and if wanted NULLs. Values have the types of the stream, and the masks of the source.
///
/// The value is the one at the time of reading, which may be newer than the event; the event that changed it comes later.
/// A row that is gone by now, or whose column has another type now, keeps what it lacks: see [`ReselectFailure`]. Rows
/// are found by primary key, or else by the unique index whose name comes first; a table without either is left alone. A lost
/// connection is waited out. A batch grows by what is put in.
///
/// ```no_run
/// use cdc_core::Pipeline;
/// use cdc_postgres::PostgresSource;
///
/// # fn example(sink: impl cdc_core::Sink + 'static) -> cdc_core::Result<()> {
/// let source = PostgresSource::builder("postgres://app@db/shop").tables(["public.orders"]).build()?;
/// let reselect = source.reselect_columns().columns(["public.orders.note"]).build()?;
/// let pipeline = Pipeline::builder("shop-copy", source).stage(reselect).sink(sink).build()?;
/// # Ok(()) }
/// ```
pub struct ReselectColumns {
    sql: SqlAccess,
    shape: Arc<ShapeRules>,
    finder: Finder,
    by_event_key: bool,
    failure: ReselectFailure,
    masks: HashMap<u64, Masks>,
    lookup: Option<Lookup>,
}

/// How each column of a schema is masked.
type Masks = Arc<[Option<Mask>]>;

/// How many schemas are kept; more than that are not in use at once.
const KEPT_MASKS: usize = 1_024;

/// Builds a [`ReselectColumns`]. Without any setting all unchanged TOAST values are read again.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ReselectColumnsBuilder {
    sql: SqlAccess,
    shape: Arc<ShapeRules>,
    only: Option<Vec<String>>,
    except: Vec<String>,
    /// The columns as properties name them.
    selection: Option<Selection>,
    unavailable: bool,
    null: bool,
    by_event_key: bool,
    failure: ReselectFailure,
}

impl PostgresSource {
    /// Starts to build a stage that reads columns again which the server did not send, with the source's address and masks.
    pub fn reselect_columns(&self) -> ReselectColumnsBuilder {
        let options = self.options();
        ReselectColumnsBuilder {
            sql: options.sql.clone(),
            shape: Arc::clone(&options.shape),
            only: None,
            except: Vec::new(),
            selection: None,
            unavailable: true,
            null: false,
            by_event_key: false,
            failure: ReselectFailure::Warn,
        }
    }
}

impl ReselectColumnsBuilder {
    /// Only these columns, by `schema.table.column`; `*` stands for any characters of a part
    /// (`reselect.columns.include.list`). The default is all.
    pub fn columns(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.only.get_or_insert_default().extend(columns.into_iter().map(Into::into));
        self
    }

    /// All columns but these (`reselect.columns.exclude.list`); not with [`columns`](Self::columns).
    pub fn exclude_columns(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.except.extend(columns.into_iter().map(Into::into));
        self
    }

    pub(crate) fn selection(mut self, selection: Selection) -> Self {
        self.selection = Some(selection);
        self
    }

    /// Whether values that the server did not send are read again (`reselect.unavailable.values`). The default is true.
    pub fn unavailable_values(mut self, wanted: bool) -> Self {
        self.unavailable = wanted;
        self
    }

    /// Whether NULLs are read again (`reselect.null.values`). The default is false, of a configuration true as Debezium's: each
    /// row with a NULL is then asked for, and gets what was written there since.
    pub fn null_values(mut self, wanted: bool) -> Self {
        self.null = wanted;
        self
    }

    /// Whether rows are found by the columns of the events' key, which [`key_columns`] choose, instead of the
    /// table's primary key (`reselect.use.event.key`). The default is false. A key that several rows have finds none of them.
    ///
    /// [`key_columns`]: crate::PostgresSourceBuilder::key_columns
    pub fn by_event_key(mut self, wanted: bool) -> Self {
        self.by_event_key = wanted;
        self
    }

    /// What is done when a row is gone, or its table cannot be read (`reselect.error.handling.mode`).
    pub fn on_failure(mut self, failure: ReselectFailure) -> Self {
        self.failure = failure;
        self
    }

    /// Checks the settings. Nothing is connected yet.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a column that is not written `schema.table.column`, or for both
    /// lists.
    pub fn build(self) -> Result<ReselectColumns> {
        let patterns = |name: &'static str, texts: &[String]| {
            let read = texts.iter().map(|text| NamePattern::column(text));
            read.collect::<Result<Vec<_>, String>>()
                .map(Names::Patterns)
                .map_err(|reason| PostgresError::Setting { name, reason })
        };
        let selection = match (&self.only, self.except.is_empty(), self.selection) {
            (None, true, selection) => selection.unwrap_or_default(),
            (Some(only), true, _) => Selection::Only(patterns("columns", only)?),
            (None, false, _) => Selection::Except(patterns("exclude_columns", &self.except)?),
            (Some(_), false, _) => {
                let reason = "columns are named as well; leave one of the two out".to_owned();
                return Err(PostgresError::Setting { name: "exclude_columns", reason }.into());
            }
        };
        if !self.unavailable && !self.null {
            let reason = "null_values are not wanted either, so that nothing is left to read again";
            let reason = reason.to_owned();
            return Err(PostgresError::Setting { name: "unavailable_values", reason }.into());
        }
        let mut finder = Finder::new();
        finder.selection = selection;
        finder.unavailable = self.unavailable;
        finder.null = self.null;
        Ok(ReselectColumns {
            sql: self.sql,
            shape: self.shape,
            finder,
            by_event_key: self.by_event_key,
            failure: self.failure,
            masks: HashMap::new(),
            lookup: None,
        })
    }
}

impl fmt::Debug for ReselectColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReselectColumns")
            .field("finder", &self.finder)
            .field("by_event_key", &self.by_event_key)
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

/// Why a column was not read again: the event's place, the column, the key and the reason.
struct Missed {
    event: usize,
    columns: Vec<String>,
    key: String,
    reason: String,
}

#[async_trait]
impl Stage for ReselectColumns {
    fn name(&self) -> &str {
        "ReselectColumns"
    }

    async fn apply(&mut self, events: &mut [ChangeEvent]) -> Result<Vec<(usize, Error)>> {
        let mut failed: Vec<(usize, Error)> = Vec::new();
        for lacking in self.finder.find(events) {
            let missed = match self.complete(&lacking, events).await {
                Ok(missed) => missed,
                Err(error) if error.kind() == ErrorKind::Transient => {
                    self.lookup = None;
                    return Err(error.into());
                }
                Err(error) if self.failure == ReselectFailure::Fail => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(
                        table = %lacking.table, events = lacking.events.len(), %error,
                        "columns could not be read again and stay as they are"
                    );
                    continue;
                }
            };
            match self.failure {
                ReselectFailure::Warn => warn(&lacking, events, &missed),
                ReselectFailure::Fail => {
                    failed.extend(missed.into_iter().map(|missed| {
                        (missed.event, missed.error(&lacking.table.to_string()).into())
                    }));
                }
            }
        }
        Ok(failed)
    }
}

impl ReselectColumns {
    /// Reads what these events lack and puts it in. Tells what it could not read.
    async fn complete(
        &mut self,
        lacking: &Lacking,
        events: &mut [ChangeEvent],
    ) -> Result<Vec<Missed>, PostgresError> {
        let change = |events: &[ChangeEvent], place: usize| {
            events.get(place).and_then(|event| event.as_change().cloned())
        };
        let event_key = match self.by_event_key {
            false => None,
            true => {
                let first = lacking.events.first().and_then(|&place| change(events, place));
                let Some(key) = first.and_then(|change| change.record_key()) else {
                    return Ok(Vec::new());
                };
                let fields = key.schema().fields().iter();
                Some(fields.map(|field| field.name.to_string()).collect::<Vec<_>>())
            }
        };
        let masks = self.masks(&lacking.schema, &lacking.table);
        let mut missed = Vec::new();
        for part in lacking.events.chunks(MOST_ROWS) {
            let (plan, found, keys) =
                self.read(lacking, event_key.as_deref(), part, events).await?;
            if plan.keyless {
                return Ok(Vec::new());
            }
            for (&place, key) in part.iter().zip(keys) {
                let Some(event) = events.get_mut(place) else { continue };
                let shown = shown_key(&plan.key, event);
                let Some(found) = key.as_ref().and_then(|key| found.get(key)) else {
                    let reason = "its key has no text to ask by";
                    missed.push(lacking.missed_all(place, shown, reason));
                    continue;
                };
                match found {
                    Err(reason) => missed.push(lacking.missed_all(place, shown, reason)),
                    Ok(values) => {
                        let left = put(lacking, &masks, event, values);
                        missed.extend(left.into_iter().map(|(column, reason)| Missed {
                            event: place,
                            columns: vec![column],
                            key: shown.clone(),
                            reason,
                        }));
                    }
                }
            }
        }
        Ok(missed)
    }

    /// Reads the rows of some events: what was found for each key, and each event's key.
    async fn read(
        &mut self,
        lacking: &Lacking,
        event_key: Option<&[String]>,
        part: &[usize],
        events: &[ChangeEvent],
    ) -> Result<(Plan, HashMap<Key, Found>, Vec<Option<Key>>), PostgresError> {
        // A table may be altered between two looks, but not for ever.
        const LOOKS: usize = 5;
        let mut transactions: Vec<TransactionId> = Vec::new();
        for event in part.iter().filter_map(|&place| events.get(place)) {
            let id = event.origin().transaction.id.as_ref();
            if let Some(id) = id.filter(|id| !transactions.contains(id)) {
                transactions.push(id.clone());
            }
        }
        for _ in 0..LOOKS {
            let lookup = match self.lookup.take().filter(|lookup| !lookup.is_closed()) {
                Some(lookup) => lookup,
                None => Lookup::new(catalog::connect(&self.sql).await?),
            };
            let lookup = self.lookup.insert(lookup);
            let plan = lookup.plan(lacking, event_key).await?;
            let keys: Vec<Option<Key>> = part
                .iter()
                .map(|&place| key_of(events.get(place)?.as_change()?, &plan.key))
                .collect();
            let mut asked: Vec<Key> = keys.iter().flatten().cloned().collect();
            asked.sort_unstable();
            asked.dedup();
            if asked.is_empty() {
                return Ok((plan, HashMap::new(), keys));
            }
            match lookup.read(&plan, &asked, &transactions).await? {
                Some(found) => return Ok((plan, asked.into_iter().zip(found).collect(), keys)),
                None => lookup.forget(lacking),
            }
        }
        Err(PostgresError::TableRewritten { table: lacking.table.as_ref().clone() })
    }

    /// How the columns of a schema are masked.
    fn masks(&mut self, schema: &Schema, table: &TableId) -> Masks {
        if self.shape.masks.is_empty() {
            return Masks::default();
        }
        if self.masks.len() >= KEPT_MASKS {
            self.masks.clear();
        }
        let masks = self.masks.entry(schema.id()).or_insert_with(|| {
            let fields = schema.fields().iter();
            fields
                .map(|field| self.shape.mask(table, &field.name, field.data_type()).cloned())
                .collect()
        });
        Arc::clone(masks)
    }
}

/// Puts values into an event, masked as the source masks them. Tells the columns that stay as they are.
fn put(
    lacking: &Lacking,
    masks: &Masks,
    event: &mut ChangeEvent,
    values: &[Result<Value, String>],
) -> Vec<(String, String)> {
    let mut left = Vec::new();
    let Payload::Change(change) = &mut event.value else { return left };
    let Some(after) = &mut change.after else { return left };
    for (&at, value) in lacking.columns.iter().zip(values) {
        let Some(field) = lacking.schema.field(at) else { continue };
        match value {
            Ok(value) => {
                let mask = masks.get(at).and_then(Option::as_ref);
                let masked = mask.and_then(|mask| mask.apply(value.as_ref(), field.data_type()));
                after.set(at, masked.unwrap_or_else(|| value.clone()));
            }
            Err(reason) => left.push((field.name.to_string(), reason.clone())),
        }
    }
    left
}

/// The texts of a change's key. `None` where a column of it has none.
fn key_of(change: &Change, names: &[String]) -> Option<Key> {
    let text = |name: &String| {
        let value = key_value(change, name)?;
        match value.is_null() {
            true => Some(None),
            false => key_text(&value.as_ref()).map(Some),
        }
    };
    names.iter().map(text).collect()
}

/// The key for messages: `id=7, line=2`.
fn shown_key(names: &[String], event: &ChangeEvent) -> String {
    const MOST: usize = 100;
    let texts = names.iter().map(|name| {
        let value = event.as_change().and_then(|change| key_value(change, name));
        let text = value.as_ref().and_then(|value| key_text(&value.as_ref()));
        let text: String = text.as_deref().unwrap_or("NULL").chars().take(MOST).collect();
        format!("{name}={text}")
    });
    texts.collect::<Vec<_>>().join(", ")
}

impl Lacking {
    fn missed_all(&self, event: usize, key: String, reason: &str) -> Missed {
        let fields = self.columns.iter().filter_map(|&at| self.schema.field(at));
        let columns = fields.map(|field| field.name.to_string()).collect();
        Missed { event, columns, key, reason: reason.to_owned() }
    }
}

impl Missed {
    fn error(self, table: &str) -> PostgresError {
        PostgresError::Reselect {
            column: format!("{table}.{}", self.columns.join(", ")),
            key: self.key,
            reason: self.reason,
        }
    }
}

/// One warning for all; values of keys are not logged.
fn warn(lacking: &Lacking, events: &[ChangeEvent], missed: &[Missed]) {
    let Some(first) = missed.first() else { return };
    let origin = events.get(first.event).map(|event| event.origin().to_string());
    tracing::warn!(
        table = %lacking.table, columns = first.columns.join(", "), first = origin, events = missed.len(),
        reason = first.reason, "columns could not be read again and stay as they are"
    );
}
