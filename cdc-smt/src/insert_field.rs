//! `InsertField`: fields with the destination, the time of the record, or a fixed text.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::value::{Text, TimeUnit, Timestamp};
use cdc_core::{
    ChangeEvent, DataType, Destination, Error, Field, Properties, Result, Schema, Value,
};

use crate::Side;
use crate::content::{Content, Defaults, defaults_of, fill_defaults, struct_in_place};
use crate::derive::{named, plain, with_added};
use crate::field_path::put;
use crate::one_side::{OneSide, Place, one_side};
use crate::schema_cache::SchemaCache;

/// What a field that is added holds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Inserted {
    /// The name of the destination (`topic.field`).
    Topic,
    /// The partition (`partition.field`).
    Partition,
    /// The offset in Kafka, of records that came from there (`offset.field`).
    Offset,
    /// The record's timestamp (`timestamp.field`).
    Timestamp,
    /// A fixed text (`static.field`, `static.value`).
    Static(Text),
}

/// Adds fields that say where a record goes, when it was made, or a fixed text
/// (`org.apache.kafka.connect.transforms.InsertField`).
///
/// | option | default | |
/// |---|---|---|
/// | `topic.field` | | the field for the name of the destination |
/// | `partition.field` | | for the partition |
/// | `offset.field` | | for the offset of a record that came from Kafka |
/// | `timestamp.field` | | for the record's timestamp |
/// | `static.field`, `static.value` | | for a fixed text |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// A name with `!` at its end is required, with `?` or neither optional.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform, ValueRef};
/// use cdc_smt::{InsertField, Inserted, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut insert = InsertField::new(Side::Value).field("table!", Inserted::Topic);
/// # let event = ChangeEvent::new(Destination::named("orders"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// insert.apply(event, &mut out)?;
/// assert_eq!(out[0].value.as_row().unwrap().by_name("table"), Some(ValueRef::Text("orders")));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct InsertField {
    place: Place,
    fields: Vec<(Arc<str>, bool, Inserted)>,
    schemas: SchemaCache<Arc<Longer>>,
    /// The destination of the last event, as records of one share it.
    topic: Option<(Destination, Text)>,
}

/// The schema with the fields, and the defaults of those that it had.
#[derive(Debug)]
struct Longer(Arc<Schema>, Defaults);

one_side!(InsertField, "InsertField", replacing_nulls);

impl InsertField {
    /// A transform of keys or values without fields.
    pub fn new(side: Side) -> Self {
        InsertField {
            place: Place::new(side),
            fields: Vec::new(),
            schemas: SchemaCache::default(),
            topic: None,
        }
    }

    /// Adds a field after the others.
    #[must_use]
    pub fn field(mut self, name: &str, what: Inserted) -> Self {
        let (name, optional) = match (name.strip_suffix('!'), name.strip_suffix('?')) {
            (Some(name), _) => (name, false),
            (_, Some(name)) => (name, true),
            _ => (name, true),
        };
        self.fields.push((name.into(), optional, what));
        self
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let mut insert = Self::new(side)
            .profile(profile)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?);
        for (option, what) in [
            ("topic.field", Inserted::Topic),
            ("partition.field", Inserted::Partition),
            ("offset.field", Inserted::Offset),
            ("timestamp.field", Inserted::Timestamp),
        ] {
            if let Some(name) = properties.get(option) {
                insert = insert.field(name, what);
            }
        }
        let text = properties.get("static.value");
        if let Some(name) = properties.get("static.field") {
            let text = text.ok_or_else(|| {
                Error::configuration("No value specified for static field: ".to_owned() + name)
            })?;
            insert = insert.field(name, Inserted::Static(text.into()));
        }
        if insert.fields.is_empty() {
            return Err(Error::configuration("No field insertion configured"));
        }
        Ok(insert)
    }

    fn longer(&mut self, schema: &Arc<Schema>) -> Result<&Arc<Longer>> {
        let fields = &self.fields;
        self.schemas.get_ref(schema.id(), || {
            let added = fields.iter().map(|(name, optional, what)| {
                let value_type = match what {
                    Inserted::Topic | Inserted::Static(_) => plain(DataType::TEXT, *optional),
                    Inserted::Partition => plain(DataType::Int32, *optional),
                    Inserted::Offset => plain(DataType::Int64, *optional),
                    Inserted::Timestamp => named(
                        DataType::Timestamp { precision: 3 },
                        *optional,
                        "org.apache.kafka.connect.data.Timestamp",
                    ),
                };
                Field::new(Arc::clone(name), value_type)
            });
            let longer = with_added(schema, added)?.to_builder().optional(false).build()?;
            Ok(Arc::new(Longer(longer, defaults_of(schema))))
        })
    }

    /// The destination as a text. It is mostly the very same as that of the last event, which is told by its address.
    #[inline]
    fn read_topic(&mut self, event: &ChangeEvent) {
        if self.topic.as_ref().is_none_or(|(last, _)| *last != event.destination) {
            self.topic = Some((event.destination.clone(), event.destination.as_str().into()));
        }
    }

    #[inline]
    fn value(&self, what: &Inserted, event: &ChangeEvent) -> Result<Value> {
        Ok(match what {
            Inserted::Topic => match &self.topic {
                Some((_, topic)) => Value::Text(topic.clone()),
                None => Value::text(event.destination.as_str()),
            },
            Inserted::Partition => event.partition.into(),
            Inserted::Offset => {
                if event.origin().transaction.connector != "kafka" {
                    return Err(Error::data(
                        "Only SinkRecord supported for [field insertion], found: \
                         org.apache.kafka.connect.source.SourceRecord",
                    ));
                }
                i64::try_from(event.origin().log_position).ok().into()
            }
            Inserted::Timestamp => event.timestamp_ms.map_or(Value::Null, |value| {
                Value::Timestamp(Timestamp::At { value, unit: TimeUnit::Milli })
            }),
            Inserted::Static(text) => Value::Text(text.clone()),
        })
    }
}

impl OneSide for InsertField {
    fn place(&self) -> &Place {
        &self.place
    }

    fn in_place(&mut self, event: &mut ChangeEvent) -> Result<bool> {
        self.read_topic(event);
        let (side, replace_null) = (self.place.side, self.place.replace_null);
        let ([(_, _, what)], Some(_)) = (&*self.fields, struct_in_place(event, side)) else {
            return Ok(false);
        };
        let one = self.value(what, event)?;
        let Some(row) = struct_in_place(event, side) else { return Ok(false) };
        let longer = self.longer(row.schema())?;
        row.append(Arc::clone(&longer.0), [one])?;
        if replace_null {
            fill_defaults(row, &longer.1);
        }
        Ok(true)
    }

    fn content(&mut self, content: Content, event: &mut ChangeEvent) -> Result<Content> {
        const PURPOSE: &str = "field insertion";
        match content {
            content if content.is_null() => Ok(content),
            Content::Schemaless(_) => {
                let entries = content.require_map(PURPOSE, &self.place.profile)?;
                let mut entries = entries.to_vec();
                for (name, _, what) in &self.fields {
                    match (what, self.value(what, event)?) {
                        (Inserted::Partition | Inserted::Timestamp, Value::Null) => {}
                        (_, Value::Timestamp(Timestamp::At { value, .. })) => {
                            put(&mut entries, name, Value::Int64(value));
                        }
                        (_, value) => put(&mut entries, name, value),
                    }
                }
                Ok(Content::Schemaless(Value::Map(entries.into())))
            }
            content => {
                let row = content.require_struct(PURPOSE, &self.place.profile)?;
                let replace_null = self.place.replace_null;
                let added: Result<Vec<Value>> =
                    self.fields.iter().map(|(_, _, what)| self.value(what, event)).collect();
                let (added, longer) = (added?, self.longer(row.schema())?);
                let mut extended = row.extend(Arc::clone(&longer.0), added)?;
                if replace_null {
                    fill_defaults(&mut extended, &longer.1);
                }
                Ok(Content::Struct(extended))
            }
        }
    }

    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        Ok(Arc::clone(&self.longer(schema)?.0))
    }
}
