//! Key or value of an event as Kafka Connect's classes see it.

use std::borrow::Cow;
use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, ConnectType, JavaValue, Processed};
use cdc_core::{
    Change, ChangeEvent, DataType, Error, Operation, Payload, Result, Row, Schema, Value, ValueRef,
    ValueType,
};

/// Which part of an event a transform works on: the `$Key` and `$Value` of Kafka Connect's class names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The key.
    Key,
    /// The value.
    Value,
}

/// A key or a value. A change has become its envelope.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// Neither schema nor value.
    Absent,
    /// A value without a schema, not null.
    Schemaless(Value),
    /// A struct, which has its own schema.
    Struct(Row),
    /// Any other value under a schema, a null struct too.
    Typed(Arc<ValueType>, Value),
}

impl Content {
    /// The content of a payload that is no change.
    #[inline]
    pub(crate) fn of(payload: Payload) -> Self {
        match payload {
            Payload::Value { value: Value::Struct(row), .. } => Content::Struct(row),
            Payload::Value { schema: Some(schema), value } => Content::Typed(schema, value),
            Payload::Value { schema: None, value } => Content::schemaless(value),
            _ => Content::Absent,
        }
    }

    #[inline]
    pub(crate) fn into_payload(self) -> Payload {
        match self {
            Content::Absent => Payload::Absent,
            Content::Schemaless(value) => Payload::Value { schema: None, value },
            Content::Struct(row) => Payload::row(row),
            Content::Typed(schema, value) => Payload::Value { schema: Some(schema), value },
        }
    }

    /// Takes one side out of an event. Changes, transaction markers and messages become the structs of their records;
    /// rows and keys get the schemas that have their names.
    #[inline]
    pub(crate) fn take(
        event: &mut ChangeEvent,
        side: Side,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        match (&event.value, side) {
            (Payload::Change(_), Side::Value)
            | (Payload::Transaction(_) | Payload::Message(_), _) => {
                if let Some(lowered) = profile.lower(event, Processed::now())? {
                    *event = lowered;
                }
            }
            _ => {}
        }
        let payload = match side {
            Side::Key => &mut event.key,
            Side::Value => &mut event.value,
        };
        // Mostly a struct: the row alone is moved, out of here and back, and not the payload around it.
        let content = match payload {
            Payload::Value { schema, value: value @ Value::Struct(_) } => {
                *schema = None;
                Content::schemaless(std::mem::take(value))
            }
            payload => Content::of(std::mem::replace(payload, Payload::Absent)),
        };
        Ok(match content {
            Content::Struct(row) if is_unnamed(row.schema()) => Content::Struct(match side {
                Side::Key => profile.key(&row)?,
                Side::Value => profile.row(row)?,
            }),
            content => content,
        })
    }

    /// Puts one side back.
    #[inline]
    pub(crate) fn put(self, event: &mut ChangeEvent, side: Side) {
        let payload = match side {
            Side::Key => &mut event.key,
            Side::Value => &mut event.value,
        };
        match (self, payload) {
            (Content::Struct(row), Payload::Value { schema: None, value }) => {
                *value = Value::Struct(row);
            }
            (content, payload) => *payload = content.into_payload(),
        }
    }

    /// Whether there is no schema: nothing at all counts as schemaless, as in Connect.
    pub(crate) fn is_schemaless(&self) -> bool {
        matches!(self, Content::Absent | Content::Schemaless(_))
    }

    /// Whether the value is null, under a schema or not.
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Content::Absent | Content::Typed(_, Value::Null))
    }

    /// A value under a schema, a struct among them.
    pub(crate) fn typed(value_type: &Arc<ValueType>, value: Value) -> Self {
        match value {
            Value::Struct(row) => Content::Struct(row),
            value => Content::Typed(Arc::clone(value_type), value),
        }
    }

    /// A value without a schema.
    #[inline]
    pub(crate) fn schemaless(value: Value) -> Self {
        match value {
            Value::Struct(row) => Content::Struct(row),
            Value::Null => Content::Absent,
            value => Content::Schemaless(value),
        }
    }

    /// The name of the Java class, as messages show it.
    pub(crate) fn class(&self, profile: &ConnectProfile) -> Cow<'static, str> {
        match self {
            Content::Absent => "null".into(),
            Content::Struct(_) => "org.apache.kafka.connect.data.Struct".into(),
            Content::Schemaless(value) => java_class(None, value, profile),
            Content::Typed(value_type, value) => java_class(Some(value_type), value, profile),
        }
    }

    /// The struct (`Requirements.requireStruct`).
    #[inline]
    pub(crate) fn require_struct(self, purpose: &str, profile: &ConnectProfile) -> Result<Row> {
        match self {
            Content::Struct(row) => Ok(row),
            other => Err(not_a_struct(purpose, &other.class(profile))),
        }
    }

    /// The entries of a schemaless map (`Requirements.requireMap`).
    pub(crate) fn require_map(
        self,
        purpose: &str,
        profile: &ConnectProfile,
    ) -> Result<Arc<[(Value, Value)]>> {
        match self {
            Content::Schemaless(Value::Map(entries)) => Ok(entries),
            other => Err(Error::data(format!(
                "Only Map objects supported in absence of schema for [{purpose}], found: {}",
                other.class(profile)
            ))),
        }
    }

    /// The Connect type of what has a schema.
    pub(crate) fn value_type(&self) -> Option<Cow<'_, ValueType>> {
        match self {
            Content::Struct(row) => Some(Cow::Owned(struct_type(row.schema()))),
            Content::Typed(value_type, _) => Some(Cow::Borrowed(value_type)),
            _ => None,
        }
    }
}

pub(crate) fn not_a_struct(purpose: &str, class: &str) -> Error {
    Error::data(format!("Only Struct objects supported for [{purpose}], found: {class}"))
}

/// The name of the Java class of a value.
pub(crate) fn java_class(
    value_type: Option<&ValueType>,
    value: &Value,
    profile: &ConnectProfile,
) -> Cow<'static, str> {
    let schema = value_type.and_then(|value_type| profile.connect_schema(value_type));
    match JavaValue::of(schema.as_ref(), &value.as_ref()) {
        Ok(JavaValue::Map(_)) if schema.is_some() => "java.util.HashMap".into(),
        Ok(value) => value.class().trim_start_matches("class ").into(),
        Err(_) => "null".into(),
    }
}

/// The struct of one side where it stands; `None` where it is another value, or a row whose schema has no name yet.
#[inline]
pub(crate) fn struct_in_place(event: &mut ChangeEvent, side: Side) -> Option<&mut Row> {
    let payload = match side {
        Side::Key => &mut event.key,
        Side::Value => &mut event.value,
    };
    match payload {
        Payload::Value { schema, value: Value::Struct(row) } if !is_unnamed(row.schema()) => {
            *schema = None;
            Some(row)
        }
        _ => None,
    }
}

/// Whether it is the schema of a table's row or key that has no name yet.
fn is_unnamed(schema: &Schema) -> bool {
    schema.table().is_some() && schema.connect().is_none()
}

/// Whether a table event announces rows that stand alone: a transform took them out of their envelope and gave their
/// schema its name.
pub(crate) fn is_flat_table(change: &Change) -> bool {
    change.operation == Operation::Table && change.schema.connect().is_some()
}

/// The type of a struct of this schema.
pub(crate) fn struct_type(schema: &Arc<Schema>) -> ValueType {
    ValueType {
        data_type: DataType::Struct(Arc::clone(schema)),
        optional: schema.is_optional(),
        default: None,
        connect: schema.connect().cloned(),
    }
}

/// The name of Java's `Schema.Type`.
pub(crate) fn type_name(value_type: &ValueType, profile: &ConnectProfile) -> &'static str {
    profile.connect_schema(value_type).map_or("BYTES", |schema| schema.connect_type().name())
}

/// A schema as `ConnectSchema.toString` shows it.
pub(crate) fn schema_text(value_type: &ValueType, profile: &ConnectProfile) -> String {
    match profile.connect_schema(value_type) {
        Some(schema) => match schema.name() {
            Some(name) => format!("Schema{{{name}:{}}}", schema.connect_type().name()),
            None => format!("Schema{{{}}}", schema.connect_type().name()),
        },
        None => "null".to_owned(),
    }
}

/// Whether the type is a struct in Connect.
pub(crate) fn is_struct(value_type: &ValueType, profile: &ConnectProfile) -> bool {
    profile
        .connect_schema(value_type)
        .is_some_and(|schema| matches!(schema.connect_type(), ConnectType::Struct(_)))
}

/// The value, or the default of its type in the place of a null (`replace.null.with.default`).
pub(crate) fn or_default(value: Value, value_type: &ValueType, replace_null: bool) -> Value {
    match (&value, &value_type.default) {
        (Value::Null, Some(default)) if replace_null => default.clone(),
        _ => value,
    }
}

/// What nulls become where defaults replace them, by the index of the field.
pub(crate) type Defaults = Vec<(usize, Value)>;

/// The defaults of the fields.
pub(crate) fn defaults_of(schema: &Schema) -> Defaults {
    let fields = schema.fields().iter().enumerate();
    fields.filter_map(|(index, field)| Some((index, field.value_type.default.clone()?))).collect()
}

/// Puts defaults in the place of nulls.
#[inline]
pub(crate) fn fill_defaults(row: &mut Row, defaults: &Defaults) {
    for (index, default) in defaults {
        if let Some(ValueRef::Null) = row.get(*index) {
            row.set(*index, default.clone());
        }
    }
}
