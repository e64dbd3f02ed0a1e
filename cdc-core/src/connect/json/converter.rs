//! The converter: options, a profile, and what it has compiled.

use std::collections::HashMap;
use std::sync::Arc;

use crate::connect::native;
use crate::connect::profile::ConnectProfile;
use crate::connect::schema::ConnectSchema;
use crate::connect::source_block::ReadyBlock;
use crate::connect::table_view::TableView;
use crate::data_type::{DataType, ValueType};
use crate::error::{Error, Result};
use crate::event::Payload;
use crate::schema::Schema;
use crate::value::Value;

use super::decode::{Reader, schemaless};
use super::encode::Writer;
use super::options::{ConverterType, DecimalFormat, JsonOptions};
use super::parser::{Node, decode_text, parse, payload_under, schema_and_payload};
use super::schema::{read_schema, write_schema};

/// Writes and reads records as `org.apache.kafka.connect.json.JsonConverter` does, byte for byte.
///
/// A schema is compiled when it is first seen; from then on a record costs its values and, with schemas, a copy of
/// the block that describes them. What is read is of the library's types (an INT64 named
/// `io.debezium.time.MicroTimestamp` is a timestamp) and is written again as the same bytes.
///
/// ```
/// use cdc_core::connect::{ConnectProfile, JsonConverter, JsonOptions};
/// use cdc_core::{DataType, Field, Payload, Row, Schema};
///
/// let schema = Schema::builder().field(Field::required("id", DataType::Int32)).build()?;
/// let payload = Payload::row(Row::new(schema, vec![7i32.into()])?);
/// let mut converter = JsonConverter::new(JsonOptions::default(), ConnectProfile::default())?;
/// let mut out = Vec::new();
/// converter.encode(&payload, &mut out)?;
/// assert_eq!(
///     out,
///     br#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false},"payload":{"id":7}}"#
/// );
/// let back = converter.decode(Some(&out))?;
/// assert_eq!(back.as_row().and_then(|row| row.by_name("id")).map(|id| id.to_value()), Some(7i32.into()));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonConverter {
    options: JsonOptions,
    profile: ConnectProfile,
    content: Option<Known>,
    written: HashMap<WrittenKey, Written>,
    read: HashMap<Arc<str>, Known>,
    /// The schema that was read last: the next one is mostly the same.
    last_read: Option<(Arc<str>, Known)>,
    /// The table of the last change: the next one is mostly of the same.
    last: Option<Box<TableWriter>>,
    tables: HashMap<u64, Box<TableWriter>>,
    /// The schema, by its id, of the last struct that stood for itself: the next one is mostly of the same.
    last_row: Option<(u64, Written)>,
}

/// What is ready for the changes of a table.
#[derive(Debug)]
pub(super) struct TableWriter {
    id: u64,
    pub(super) view: Arc<TableView>,
    pub(super) written: Written,
    pub(super) source: ReadyBlock,
    /// About so many bytes the next record has.
    pub(super) expected: usize,
}

/// What a compiled schema was made of. A pinned allocation keeps its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum WrittenKey {
    Row(u64),
    Type(usize),
}

#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) schema: Arc<ConnectSchema>,
    /// `{"schema":…,"payload":`, empty without schemas.
    pub(super) head: Arc<[u8]>,
    _pin: Option<Arc<ValueType>>,
}

#[derive(Debug, Clone)]
struct Known {
    value_type: Arc<ValueType>,
    schema: Arc<ConnectSchema>,
}

impl JsonConverter {
    /// A converter of records whose native types take their form from a profile.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when `schema.content` is not a schema.
    pub fn new(options: JsonOptions, profile: ConnectProfile) -> Result<Self> {
        let mut converter = JsonConverter {
            options,
            profile,
            content: None,
            written: HashMap::new(),
            read: HashMap::new(),
            last_read: None,
            last: None,
            tables: HashMap::new(),
            last_row: None,
        };
        if let Some(content) = converter.options.schema_content.clone() {
            let known = converter.known_schema(&content).map_err(|error| {
                Error::configuration("schema.content is not a schema of Connect in JSON")
                    .with_source(error)
            })?;
            converter.content = known;
        }
        Ok(converter)
    }

    /// The options.
    pub fn options(&self) -> &JsonOptions {
        &self.options
    }

    /// The profile.
    pub fn profile(&self) -> &ConnectProfile {
        &self.profile
    }

    /// Appends a key or value; `false` when it is absent (no key, a tombstone) and nothing was appended.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when a value does not fit its schema, a required one is NULL among them, or
    /// the payload is a change that was not lowered to its envelope. What was appended is then cut off again.
    pub fn encode(&mut self, payload: &Payload, out: &mut Vec<u8>) -> Result<bool> {
        let start = out.len();
        let result = self.encode_payload(payload, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn encode_payload(&mut self, payload: &Payload, out: &mut Vec<u8>) -> Result<bool> {
        match payload {
            Payload::Absent | Payload::Value { schema: None, value: Value::Null } => {
                return Ok(false);
            }
            Payload::Value { schema: None, value: Value::Struct(row) } => {
                let id = row.schema().id();
                let written = match self.last_row.take() {
                    Some((last, written)) if last == id => written,
                    _ => self.written_row(row.schema())?,
                };
                out.extend_from_slice(&written.head);
                let result = self.writer().row(written.schema.fields(), row, out);
                self.last_row = Some((id, written));
                result?;
            }
            Payload::Value { schema: None, value } => {
                if self.options.schemas_enable {
                    out.extend_from_slice(b"{\"schema\":null,\"payload\":");
                }
                self.writer().schemaless(value.as_ref(), out)?;
            }
            Payload::Value { schema: Some(value_type), value } => {
                let written = self.written_type(value_type)?;
                out.extend_from_slice(&written.head);
                self.writer().value(&written.schema, value.as_ref(), out)?;
            }
            _ => {
                return Err(Error::data(
                    "a change is lowered to its envelope before it is converted",
                ));
            }
        }
        if self.options.schemas_enable {
            out.push(b'}');
        }
        Ok(true)
    }

    /// Reads a key or value; no bytes are [`Payload::Absent`].
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the bytes are not JSON, the schema is none, or a value does not fit it.
    pub fn decode(&mut self, bytes: Option<&[u8]>) -> Result<Payload> {
        let Some(bytes) = bytes else { return Ok(Payload::Absent) };
        let text = decode_text(bytes)?;
        if let Some(known) = &self.content {
            let node = parse(&text)?.unwrap_or(Node::Null);
            return self.payload(known, &node);
        }
        if !self.options.schemas_enable {
            return plain(&parse(&text)?.unwrap_or(Node::Null));
        }
        if let Some((schema, known)) = &self.last_read
            && let Some(payload) = payload_under(&text, schema)
        {
            return self.payload(known, &parse(payload)?.unwrap_or(Node::Null));
        }
        if let Some((schema, payload)) = schema_and_payload(&text) {
            let known = self.known_schema(schema)?;
            let payload = parse(payload)?.unwrap_or(Node::Null);
            return match known {
                Some(known) => self.payload(&known, &payload),
                None => plain(&payload),
            };
        }
        // Not of that form, or not JSON: which of the two says the full parser.
        match parse(&text)? {
            Some(Node::Object(members)) if members.len() == 2 => {
                let node = Node::Object(members);
                if let (Some(schema), Some(payload)) = (node.get("schema"), node.get("payload")) {
                    if schema.is_null() {
                        return plain(payload);
                    }
                    let known = self.compile(read_schema(schema, self.profile.modes())?)?;
                    return self.payload(&known, payload);
                }
                Err(not_an_envelope())
            }
            _ => Err(not_an_envelope()),
        }
    }

    fn payload(&self, known: &Known, node: &Node<'_>) -> Result<Payload> {
        let reader = Reader { replace_null: self.options.replace_null_with_default };
        let value = reader.value(&known.schema, &known.value_type, node)?;
        Ok(Payload::Value { schema: Some(Arc::clone(&known.value_type)), value })
    }

    pub(super) fn writer(&self) -> Writer<'_> {
        Writer {
            numeric: self.options.decimal_format == DecimalFormat::Numeric,
            replace_null: self.options.replace_null_with_default,
            modes: self.profile.modes(),
        }
    }

    /// The schema of a text, `None` for `null`.
    fn known_schema(&mut self, text: &str) -> Result<Option<Known>> {
        if let Some((text, known)) = self.read.get_key_value(text) {
            self.last_read = Some((Arc::clone(text), known.clone()));
            return Ok(Some(known.clone()));
        }
        let node = parse(text)?.unwrap_or(Node::Null);
        if node.is_null() {
            return Ok(None);
        }
        let known = self.compile(read_schema(&node, self.profile.modes())?)?;
        if self.read.len() >= self.options.cache_size {
            self.read.clear();
        }
        let text: Arc<str> = text.into();
        self.read.insert(Arc::clone(&text), known.clone());
        self.last_read = Some((text, known.clone()));
        Ok(Some(known))
    }

    fn compile(&self, value_type: ValueType) -> Result<Known> {
        let schema = native::connect_schema(&value_type, self.profile.modes())
            .ok_or_else(|| no_schema(&value_type.data_type))?;
        Ok(Known { value_type: Arc::new(value_type), schema: Arc::new(schema) })
    }

    /// Takes what is ready for a table: a record is written without counting references.
    pub(super) fn take_table(&mut self, schema: &Arc<Schema>) -> Result<Box<TableWriter>> {
        match self.last.take() {
            Some(table) if table.id == schema.id() => return Ok(table),
            Some(other) => {
                if self.tables.len() >= self.options.cache_size {
                    self.tables.clear();
                }
                self.tables.insert(other.id, other);
            }
            None => {}
        }
        if let Some(table) = self.tables.remove(&schema.id()) {
            return Ok(table);
        }
        let view = self.profile.view(schema)?;
        let written = self.written_row(view.envelope_schema())?;
        let source = ReadyBlock::default();
        Ok(Box::new(TableWriter { id: schema.id(), view, written, source, expected: 0 }))
    }

    /// Keeps what [`take_table`](Self::take_table) gave for the next change.
    pub(super) fn give_back(&mut self, table: Box<TableWriter>) {
        self.last = Some(table);
    }

    pub(super) fn written_row(&mut self, schema: &Arc<Schema>) -> Result<Written> {
        let key = WrittenKey::Row(schema.id());
        if let Some(written) = self.written.get(&key) {
            return Ok(written.clone());
        }
        let schema = self.row_schema(schema)?;
        self.keep(key, schema, None)
    }

    /// The schema of a struct that stands for itself. A row of a table has the name that Debezium gives it.
    fn row_schema(&self, schema: &Arc<Schema>) -> Result<ConnectSchema> {
        let mut schema = Arc::clone(schema);
        if schema.table().is_some() && schema.connect().is_none() {
            let view = self.profile.view(&schema)?;
            schema = match (self.options.converter_type, view.key_schema()) {
                (ConverterType::Key | ConverterType::Header, Some(key)) => Arc::clone(key),
                _ => Arc::clone(view.row_schema()),
            };
        }
        let data_type = DataType::Struct(Arc::clone(&schema));
        let mut value_type = ValueType::required(data_type);
        value_type.optional = schema.is_optional();
        value_type.connect = schema.connect().cloned();
        native::connect_schema(&value_type, self.profile.modes())
            .ok_or_else(|| no_schema(&value_type.data_type))
    }

    fn written_type(&mut self, value_type: &Arc<ValueType>) -> Result<Written> {
        let key = WrittenKey::Type(Arc::as_ptr(value_type).addr());
        if let Some(written) = self.written.get(&key) {
            return Ok(written.clone());
        }
        let schema = native::connect_schema(value_type, self.profile.modes())
            .ok_or_else(|| no_schema(&value_type.data_type))?;
        self.keep(key, schema, Some(Arc::clone(value_type)))
    }

    fn keep(
        &mut self,
        key: WrittenKey,
        schema: ConnectSchema,
        pin: Option<Arc<ValueType>>,
    ) -> Result<Written> {
        let mut head = Vec::new();
        if self.options.schemas_enable {
            head.extend_from_slice(b"{\"schema\":");
            write_schema(&schema, None, &self.writer(), &mut head)?;
            head.extend_from_slice(b",\"payload\":");
        }
        let written = Written { schema: Arc::new(schema), head: head.into(), _pin: pin };
        if self.written.len() >= self.options.cache_size {
            self.written.clear();
        }
        self.written.insert(key, written.clone());
        Ok(written)
    }
}

fn plain(node: &Node<'_>) -> Result<Payload> {
    Ok(match schemaless(node)? {
        Value::Null => Payload::Absent,
        value => Payload::Value { schema: None, value },
    })
}

fn not_an_envelope() -> Error {
    Error::data(
        "JsonConverter with schemas.enable requires \"schema\" and \"payload\" fields and may not contain additional fields. If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration.",
    )
}

fn no_schema(data_type: &DataType) -> Error {
    Error::data(format!("{data_type} has no schema in Kafka Connect"))
        .remedy("set include.unknown.datatypes to true")
}
