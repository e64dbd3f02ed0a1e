//! `EventRouter`: the outbox pattern, rows of an outbox table as events of their own.

use std::collections::HashMap;
use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, ConnectType, NameAdjustment};
use cdc_core::java_pattern::JavaPattern;
use cdc_core::value::{TimeUnit, Timestamp};
use cdc_core::{
    ChangeEvent, ConnectAttributes, Destination, Error, Field, Header, Operation, Payload,
    Properties, Result, Row, Schema, TableMapping, Transform, Value, ValueType,
};
use serde_json::Value as Json;

use crate::Side;
use crate::content::{Content, not_a_struct};
use crate::envelope::Envelope;
use crate::json_payload::Guess;
use crate::options;

/// What is done about an update of an outbox row: `table.op.invalid.behavior`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum InvalidOperation {
    /// It is logged as a warning and dropped (`warn`).
    #[default]
    Warn,
    /// It is logged as an error and dropped (`error`).
    Error,
    /// It is an error of the transform (`fatal`).
    Fatal,
}

/// Where a column goes beside the payload: `table.fields.additional.placement`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Placement {
    /// A header (`header`).
    Header,
    /// A field beside the payload, which becomes a field too (`envelope`).
    Envelope,
    /// The partition (`partition`).
    Partition,
}

/// Makes the rows that are inserted into an outbox table events of their own: destination, key, headers and value from its
/// columns (`io.debezium.transforms.outbox.EventRouter`).
///
/// | option | default | |
/// |---|---|---|
/// | `table.field.event.id` | `id` | the column that becomes the header `id` |
/// | `table.field.event.key` | `aggregateid` | the column that becomes the key |
/// | `table.field.event.type` | `type` | the column of the event's type, for other tools |
/// | `table.field.event.payload` | `payload` | the column that becomes the value |
/// | `table.field.event.timestamp` | | the column that becomes the timestamp; without one the time of processing |
/// | `table.field.event.schema.version` | | the column with the version of the value's schema |
/// | `table.fields.additional.placement` | | a list of `column:header`, `column:envelope` or `column:partition`, with `:name` for another name |
/// | `table.field.additional.missing` | `error` | `ignore`: such a column may be missing |
/// | `table.op.invalid.behavior` | `warn` | see [`InvalidOperation`] |
/// | `route.by.field` | `aggregatetype` | the column that names the destination |
/// | `route.topic.regex` | `(?<routedByValue>.*)` | what of it |
/// | `route.topic.replacement` | `outbox.event.${routedByValue}` | the name of the destination |
/// | `route.tombstone.on.empty.payload` | `false` | whether an empty payload is a tombstone |
/// | `table.expand.json.payload` | `false` | whether a payload that is a JSON object becomes a struct |
/// | `table.json.payload.null.behavior` | `ignore` | `optional_bytes`: its nulls become fields |
/// | `table.json.payload.empty.array.behavior` | `ignore` | `optional_string`: its empty arrays become fields |
/// | `field.name.adjustment.mode` | `none` | how names of its members are made valid |
///
/// Deletes and tombstones are dropped.
///
/// ```
/// use cdc_smt::{EventRouter, Placement};
///
/// let router = EventRouter::new()
///     .topic("(?<routedByValue>.*)", "events.${routedByValue}")?
///     .place("type", Placement::Header, "eventType")
///     .expand_json(true);
/// # let _ = router;
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EventRouter {
    profile: ConnectProfile,
    id: String,
    key: String,
    payload: String,
    timestamp: Option<String>,
    version: Option<String>,
    placements: Vec<(String, Placement, Arc<str>)>,
    ignore_missing: bool,
    invalid: InvalidOperation,
    route_by: String,
    /// The expression and the replacement; without them the destination is `outbox.event.<value>`.
    route: Option<(JavaPattern, String)>,
    tombstone_on_empty: bool,
    expand: bool,
    guess: Guess,
    schemas: HashMap<(u64, String, Option<i32>, ValueType), Arc<Schema>>,
    types: HashMap<ValueType, Arc<ValueType>>,
}

/// More schemas than that are not in use at once.
const KEPT: usize = 256;

impl Default for EventRouter {
    fn default() -> Self {
        Self::new()
    }
}

impl EventRouter {
    /// A router with Debezium's defaults.
    pub fn new() -> Self {
        EventRouter {
            profile: ConnectProfile::default(),
            id: "id".to_owned(),
            key: "aggregateid".to_owned(),
            payload: "payload".to_owned(),
            timestamp: None,
            version: None,
            placements: Vec::new(),
            ignore_missing: false,
            invalid: InvalidOperation::Warn,
            route_by: "aggregatetype".to_owned(),
            route: None,
            tombstone_on_empty: false,
            expand: false,
            guess: Guess { names_from_parent: true, ..Guess::default() },
            schemas: HashMap::new(),
            types: HashMap::new(),
        }
    }

    /// The handling modes of the chain; without them Debezium's defaults.
    #[must_use]
    pub fn profile(mut self, profile: &ConnectProfile) -> Self {
        self.profile = profile.clone();
        self
    }

    /// The columns of the event's id, key and payload.
    #[must_use]
    pub fn columns(mut self, id: &str, key: &str, payload: &str) -> Self {
        (self.id, self.key, self.payload) = (id.to_owned(), key.to_owned(), payload.to_owned());
        self
    }

    /// The column of the event's timestamp.
    #[must_use]
    pub fn timestamp(mut self, column: &str) -> Self {
        self.timestamp = Some(column.to_owned());
        self
    }

    /// The column that names the destination.
    #[must_use]
    pub fn route_by(mut self, column: &str) -> Self {
        self.route_by = column.to_owned();
        self
    }

    /// What of that column names the destination, and how.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when `regex` is no regular expression.
    pub fn topic(mut self, regex: &str, replacement: &str) -> Result<Self> {
        let regex = JavaPattern::new("route.topic.regex", regex)?;
        self.route = Some((regex, replacement.to_owned()));
        Ok(self)
    }

    /// Puts a column beside the payload under a name.
    #[must_use]
    pub fn place(mut self, column: &str, placement: Placement, name: &str) -> Self {
        self.placements.push((column.to_owned(), placement, name.into()));
        self
    }

    /// What is done about an update.
    #[must_use]
    pub fn on_update(mut self, behavior: InvalidOperation) -> Self {
        self.invalid = behavior;
        self
    }

    /// Whether an empty payload is a tombstone.
    #[must_use]
    pub fn tombstone_on_empty_payload(mut self, tombstone: bool) -> Self {
        self.tombstone_on_empty = tombstone;
        self
    }

    /// Whether a payload that is a JSON object becomes a struct.
    #[must_use]
    pub fn expand_json(mut self, expand: bool) -> Self {
        self.expand = expand;
        self
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Debezium's words.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let name = "table.op.invalid.behavior";
        let words = ["warn", "error", "fatal"];
        let invalid = match options::debezium_word(properties, name, &words, "warn")? {
            "error" => InvalidOperation::Error,
            "fatal" => InvalidOperation::Fatal,
            _ => InvalidOperation::Warn,
        };
        let text = |name: &str, default: &str| properties.string(name, default);
        let column = |name: &str| properties.get(name).map(str::to_owned);
        let mut router = Self::new().profile(profile).on_update(invalid).columns(
            &text("table.field.event.id", "id"),
            &text("table.field.event.key", "aggregateid"),
            &text("table.field.event.payload", "payload"),
        );
        // The type is a column for other tools: nothing here depends on it.
        column("table.field.event.type");
        router.timestamp = column("table.field.event.timestamp");
        router.version = column("table.field.event.schema.version");
        router.route_by = text("route.by.field", "aggregatetype");
        router.route = route(properties)?;
        router.tombstone_on_empty = properties.bool("route.tombstone.on.empty.payload", false)?;
        router.expand = properties.bool("table.expand.json.payload", false)?;
        router.guess.null_as_bytes = options::debezium_word(
            properties,
            "table.json.payload.null.behavior",
            &["ignore", "optional_bytes"],
            "ignore",
        )? == "optional_bytes";
        router.guess.empty_array_as_texts = options::debezium_word(
            properties,
            "table.json.payload.empty.array.behavior",
            &["ignore", "optional_string"],
            "ignore",
        )? == "optional_string";
        let name = "field.name.adjustment.mode";
        router.guess.names = NameAdjustment::parse(name, &text(name, "none"))?;
        router.ignore_missing = options::debezium_word(
            properties,
            "table.field.additional.missing",
            &["error", "ignore"],
            "error",
        )? == "ignore";
        router.placements = placements(properties)?;
        Ok(router)
    }

    fn route(
        &mut self,
        mut event: ChangeEvent,
        envelope: Envelope<'_>,
    ) -> Result<Option<ChangeEvent>> {
        match envelope.operation().as_deref() {
            Some("d") => {
                tracing::debug!("a delete of an outbox row is dropped");
                return Ok(None);
            }
            Some("u") => {
                let key = event.key.as_row().map(|key| format!("{key:?}")).unwrap_or_default();
                let text = format!("Unexpected update message received {key}");
                match self.invalid {
                    InvalidOperation::Warn => tracing::warn!("{text} and ignored"),
                    InvalidOperation::Error => tracing::error!("{text} and ignored"),
                    InvalidOperation::Fatal => return Err(Error::data(format!("{text}, fail."))),
                }
                return Ok(None);
            }
            _ => {}
        }
        let Some(row) = envelope.after() else {
            return Err(not_a_struct("Read Outbox Event", "null"));
        };
        let routed = match self.column(&row, &self.route_by)? {
            (_, Value::Text(text)) => text.to_string(),
            (_, Value::Null | Value::Unavailable) => {
                return Err(Error::data(format!(
                    "the column {} that names the destination is NULL",
                    self.route_by
                )));
            }
            _ => {
                return Err(Error::data(format!(
                    "Field '{}' is not of type STRING",
                    self.route_by
                )));
            }
        };
        let (payload_type, payload) = self.column(&row, &self.payload).map_err(|_| {
            Error::data(format!("Unable to find payload field {} in event", self.payload))
        })?;
        let (payload_type, payload) = (payload_type.clone(), payload);
        let timestamp = self.event_time(&row, envelope)?;
        let (id_type, id) = self.column(&row, &self.id)?;
        let id = self.header("id", id_type, id);
        let (key_type, key) = self.column(&row, &self.key)?;
        let key = Content::typed(&Arc::new(key_type.clone()), key).into_payload();
        let version = match &self.version {
            None => None,
            Some(name) => match self.column(&row, name)?.1 {
                Value::Int32(version) => Some(version),
                Value::Null | Value::Unavailable => None,
                _ => return Err(Error::data(format!("Field '{name}' is not of type INT32"))),
            },
        };

        event.headers.push(id);
        let mut beside: Vec<(Field, Value)> = Vec::new();
        for (column, placement, name) in &self.placements {
            let found = row.schema().index_of(column);
            let Some((value_type, value)) = found.and_then(|at| {
                Some((&row.schema().field(at)?.value_type, row.value(at).unwrap_or_default()))
            }) else {
                if self.ignore_missing {
                    continue;
                }
                return Err(Error::data(match placement {
                    Placement::Envelope => format!("Unable to find field {column} in event"),
                    _ => format!("{column} is not a valid field name"),
                }));
            };
            match placement {
                Placement::Header => event.headers.push(self.header(name, value_type, value)),
                Placement::Envelope => {
                    beside.push((Field::new(Arc::clone(name), value_type.clone()), value));
                }
                Placement::Partition => match value {
                    Value::Null | Value::Unavailable => {}
                    Value::Int32(partition) => event.partition = Some(partition),
                    _ => {
                        return Err(Error::data(format!("Field '{column}' is not of type INT32")));
                    }
                },
            }
        }
        event.key = key;
        event.timestamp_ms = timestamp;
        event.destination = Destination::named(&match &self.route {
            None => format!("outbox.event.{routed}"),
            Some((regex, replacement)) if regex.matches(&routed)? => {
                regex.replace_first(&routed, replacement).map_err(options::as_data)?
            }
            Some(_) => routed.clone(),
        });
        let is_empty = match &payload {
            Value::Null => true,
            Value::Text(text) => text.trim().is_empty(),
            _ => false,
        };
        if self.tombstone_on_empty && is_empty {
            event.value = Payload::Absent;
            return Ok(Some(event));
        }
        let (payload_type, payload) = self.expanded(payload_type, payload)?;
        if beside.is_empty() {
            event.value = Content::typed(&payload_type, payload).into_payload();
            return Ok(Some(event));
        }
        let schema = self.schema(&row, &routed, version, &payload_type, &beside)?;
        let mut values = vec![payload];
        values.extend(beside.into_iter().map(|(_, value)| value));
        event.value = Payload::row(Row::new(schema, values)?);
        Ok(Some(event))
    }

    fn column<'r>(&self, row: &'r Row, name: &str) -> Result<(&'r ValueType, Value)> {
        let at = row.schema().index_of(name);
        at.and_then(|at| Some((&row.schema().field(at)?.value_type, row.value(at)?)))
            .ok_or_else(|| Error::data(format!("{name} is not a valid field name")))
    }

    fn header(&self, name: &str, value_type: &ValueType, value: Value) -> Header {
        Header { name: name.into(), schema: Some(Arc::new(value_type.clone())), value }
    }

    /// The event's timestamp in milliseconds.
    fn event_time(&self, row: &Row, envelope: Envelope<'_>) -> Result<Option<i64>> {
        let Some(name) = &self.timestamp else {
            let at = envelope.row().schema().index_of("ts_ms");
            return Ok(match at.and_then(|at| envelope.row().value(at)) {
                Some(Value::Int64(millis)) => Some(millis),
                _ => None,
            });
        };
        let (value_type, value) = self
            .column(row, name)
            .map_err(|_| Error::data(format!("Unable to find timestamp field {name} in event")))?;
        let schema = self.profile.connect_schema(value_type);
        match value {
            Value::Null | Value::Unavailable => Ok(None),
            Value::Timestamp(at @ Timestamp::At { .. }) => Ok(at.to_unit(TimeUnit::Milli)),
            _ => {
                let (kind, name) = schema.as_ref().map_or(("BYTES", None), |schema| {
                    (schema.connect_type().name(), schema.name())
                });
                let name = name.map_or("without logical schema name".to_owned(), |name| {
                    format!("logical schema name: {name}")
                });
                Err(Error::data(format!(
                    "Unsupported field type {kind} ({name}) for event timestamp"
                )))
            }
        }
    }

    /// The payload as a struct or an array, where it is JSON and that is wanted.
    fn expanded(&mut self, value_type: ValueType, value: Value) -> Result<(Arc<ValueType>, Value)> {
        let is_text = || {
            let schema = self.profile.connect_schema(&value_type);
            schema.is_some_and(|schema| matches!(schema.connect_type(), ConnectType::String))
        };
        let json = match &value {
            Value::Text(text) if self.expand && text.starts_with(['{', '[']) && is_text() => {
                // What follows the first document is not looked at.
                let mut documents = serde_json::Deserializer::from_str(text).into_iter::<Json>();
                match documents.next() {
                    Some(Ok(json)) => Some(json),
                    _ => {
                        tracing::warn!("the payload of an outbox row is no JSON and stays text");
                        None
                    }
                }
            }
            _ => None,
        };
        let guessed = match &json {
            Some(json) => {
                self.guess.value_type(json, Some(&self.payload)).unwrap_or_else(|error| {
                    tracing::warn!(%error, "the payload of an outbox row stays text");
                    None
                })
            }
            None => None,
        };
        let (Some(json), Some(guessed)) = (json, guessed) else {
            return Ok((self.interned(value_type), value));
        };
        let shared = self.interned(guessed);
        let value = self.guess.value(&json, &shared)?;
        Ok((shared, value))
    }

    /// One type for all that are equal, so that formats compile it once.
    fn interned(&mut self, value_type: ValueType) -> Arc<ValueType> {
        if let Some(known) = self.types.get(&value_type) {
            return Arc::clone(known);
        }
        if self.types.len() >= KEPT {
            self.types.clear();
        }
        let shared = Arc::new(value_type.clone());
        self.types.insert(value_type, Arc::clone(&shared));
        shared
    }

    fn schema(
        &mut self,
        row: &Row,
        routed: &str,
        version: Option<i32>,
        payload: &ValueType,
        beside: &[(Field, Value)],
    ) -> Result<Arc<Schema>> {
        let key = (row.schema().id(), routed.to_owned(), version, payload.clone());
        if let Some(schema) = self.schemas.get(&key) {
            return Ok(Arc::clone(schema));
        }
        let own = row.schema().connect().and_then(|connect| connect.name.as_deref());
        let name = match own.map(|own| own.rsplit_once('.').ok_or(own)) {
            Some(Ok((package, last))) => format!("{package}.{routed}.{last}"),
            Some(Err(own)) => format!("{routed}.{own}"),
            None => routed.to_owned(),
        };
        let fields = beside.iter().map(|(field, _)| field.clone());
        let schema = Schema::builder()
            .field(Field::new("payload", payload.clone()))
            .fields(fields)
            .connect(ConnectAttributes {
                name: Some(name.into()),
                version,
                ..ConnectAttributes::default()
            });
        let schema = crate::derive::build(schema)?;
        if self.schemas.len() >= KEPT {
            self.schemas.clear();
        }
        self.schemas.insert(key, Arc::clone(&schema));
        Ok(schema)
    }
}

fn route(properties: &Properties) -> Result<Option<(JavaPattern, String)>> {
    const REGEX: &str = "route.topic.regex";
    const REPLACEMENT: &str = "route.topic.replacement";
    let (regex, replacement) = (properties.get(REGEX), properties.get(REPLACEMENT));
    if regex.is_none() && replacement.is_none() {
        return Ok(None);
    }
    let regex = regex.unwrap_or("(?<routedByValue>.*)");
    let pattern = JavaPattern::new(REGEX, regex).map_err(|error| {
        let why = error.message().rsplit(": ").next().unwrap_or_default().to_owned();
        let why = format!("A valid regular expressions is expected, but {why}");
        options::debezium_invalid(REGEX, regex, &why)
    })?;
    let replacement = replacement.unwrap_or("outbox.event.${routedByValue}");
    Ok(Some((pattern, replacement.to_owned())))
}

fn placements(properties: &Properties) -> Result<Vec<(String, Placement, Arc<str>)>> {
    let name = "table.fields.additional.placement";
    let value = properties.string(name, "");
    if value.trim().is_empty() {
        return Ok(Vec::new());
    }
    let items: Vec<&str> = value.split(',').map(str::trim).collect();
    let mut out = Vec::with_capacity(items.len());
    for item in &items {
        let parts: Vec<&str> = item.split(':').map(str::trim).collect();
        let (column, placement, alias) = match parts.as_slice() {
            [column, placement] => (*column, *placement, *column),
            [column, placement, alias] => (*column, *placement, *alias),
            _ => {
                return Err(options::debezium_invalid(
                    name,
                    &value,
                    &format!(
                        "A comma-separated list of valid String pairs or trios is expected but got: [{}]",
                        items.join(", ")
                    ),
                ));
            }
        };
        let placement = match placement.to_ascii_lowercase().as_str() {
            "header" => Placement::Header,
            "envelope" => Placement::Envelope,
            "partition" => Placement::Partition,
            _ => {
                return Err(options::debezium_invalid(
                    name,
                    &value,
                    &format!("{placement} must be one of header, envelope, partition"),
                ));
            }
        };
        out.push((column.to_owned(), placement, Arc::from(alias)));
    }
    Ok(out)
}

impl Transform for EventRouter {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        match &event.value {
            Payload::Change(change) if change.operation == Operation::Table => return Ok(()),
            Payload::Transaction(_) | Payload::Message(_) => {
                out.push(event);
                return Ok(());
            }
            _ => {}
        }
        let content = Content::take(&mut event, Side::Value, &self.profile)?;
        if content.is_null() {
            return Ok(());
        }
        let payload = content.into_payload();
        match Envelope::of(&payload) {
            Some(envelope) => out.extend(self.route(event, envelope)?),
            None => {
                event.value = payload;
                out.push(event);
            }
        }
        Ok(())
    }

    fn name(&self) -> &str {
        "EventRouter"
    }

    fn tables(&self) -> TableMapping {
        TableMapping::ByContent
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
