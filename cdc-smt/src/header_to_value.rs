//! `HeaderToValue`: headers as fields of the value.

use std::collections::HashMap;
use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{
    ChangeEvent, ConnectAttributes, DataType, Error, Field, Operation, Properties, Result, Row,
    Schema, TableMapping, Transform, Value, ValueType,
};

use crate::content::{Content, or_default};
use crate::header_from::MoveOrCopy;
use crate::{Side, options};

/// Puts the values of headers into fields of the value (`io.debezium.transforms.HeaderToValue`).
///
/// | option | default | |
/// |---|---|---|
/// | `headers` | required | the headers |
/// | `fields` | required | as many fields; a dot leads into a struct, which is made where it is not there |
/// | `operation` | required | `move` or `copy` |
///
/// A change becomes its envelope. Tables are made at their first row.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform, ValueRef};
/// use cdc_smt::{FieldSyntax, HeaderFrom, HeaderToValue, MoveOrCopy, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let (mut headed, mut out) = (Vec::new(), Vec::new());
/// HeaderFrom::new(Side::Value, MoveOrCopy::Copy).field("id", "h", FieldSyntax::V1)?.apply(event, &mut headed)?;
/// HeaderToValue::new(MoveOrCopy::Move).field("h", "number").apply(headed.remove(0), &mut out)?;
/// assert!(out[0].value.as_row().unwrap().by_name("number").is_some());
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HeaderToValue {
    profile: ConnectProfile,
    operation: MoveOrCopy,
    fields: Vec<(Arc<str>, Vec<String>)>,
    schemas: HashMap<Made, Arc<Schema>>,
}

/// What a schema was made of: the id of another, and the types of the headers that were there.
type Made = (u64, Vec<(usize, ValueType)>);

/// More schemas than that are not in use at once.
const KEPT: usize = 256;

/// A value on its way: the rest of its path, its type, the value.
type Item<'a> = (&'a [String], &'a ValueType, &'a Value);

impl HeaderToValue {
    /// A transform without fields.
    pub fn new(operation: MoveOrCopy) -> Self {
        HeaderToValue {
            profile: ConnectProfile::default(),
            operation,
            fields: Vec::new(),
            schemas: HashMap::new(),
        }
    }

    /// Puts a header into a field.
    #[must_use]
    pub fn field(mut self, header: &str, field: &str) -> Self {
        self.fields.push((header.into(), field.split('.').map(str::to_owned).collect()));
        self
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Debezium's words.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let headers = options::debezium_list(properties, "headers")?;
        let fields = options::debezium_list(properties, "fields")?;
        options::debezium_required(properties, "operation")?;
        let operation =
            match options::debezium_word(properties, "operation", &["move", "copy"], "move")? {
                "copy" => MoveOrCopy::Copy,
                _ => MoveOrCopy::Move,
            };
        if headers.len() != fields.len() {
            return Err(Error::configuration(
                "'fields' config must have the same number of elements as 'headers' config.",
            ));
        }
        let mut transform = Self::new(operation);
        transform.profile = profile.clone();
        for (header, field) in headers.iter().zip(&fields) {
            transform = transform.field(header, field);
        }
        Ok(transform)
    }
}

fn schema_with(schema: Option<&Schema>, items: &[Item<'_>], path: &str) -> Result<Arc<Schema>> {
    let mut fields = schema.map(|schema| schema.fields().to_vec()).unwrap_or_default();
    let mut done: Vec<&str> = Vec::new();
    for (steps, value_type, _) in items {
        let Some((first, rest)) = steps.split_first() else { continue };
        let known = fields.iter().position(|field| *field.name == **first);
        if rest.is_empty() {
            if known.is_none() {
                fields.push(Field::new(first.as_str(), ValueType::clone(value_type)));
            }
            continue;
        }
        if done.contains(&first.as_str()) {
            continue;
        }
        done.push(first);
        let inside: Vec<Item<'_>> = items
            .iter()
            .filter_map(|(steps, value_type, value)| match steps.split_first() {
                Some((name, rest)) if name == first && !rest.is_empty() => {
                    Some((rest, *value_type, *value))
                }
                _ => None,
            })
            .collect();
        let here = if path.is_empty() { first.clone() } else { format!("{path}.{first}") };
        let nested = match known.and_then(|at| fields.get(at)) {
            None => None,
            Some(field) => match field.data_type() {
                DataType::Struct(nested) => Some(Arc::clone(nested)),
                _ => {
                    return Err(Error::data(format!(
                        "Field '{here}' is a primitive type, not a struct. Cannot add nested field '{here}.{}'.",
                        rest.join(".")
                    )));
                }
            },
        };
        let made = schema_with(nested.as_deref(), &inside, &here)?;
        let value_type = ValueType {
            connect: made.connect().cloned(),
            data_type: DataType::Struct(made),
            optional: nested.is_none(),
            default: None,
        };
        match known.and_then(|at| fields.get_mut(at)) {
            Some(field) => field.value_type = value_type,
            None => fields.push(Field::new(first.as_str(), value_type)),
        }
    }
    let mut builder = match schema {
        Some(schema) => schema.to_builder().optional(false),
        None => Schema::builder().optional(true).connect(ConnectAttributes::default()),
    };
    *builder.fields_mut() = fields;
    crate::derive::build(builder)
}

/// The row under the schema with the items in it. A struct of the row that is null stays null.
fn row_with(schema: &Arc<Schema>, row: Option<&Row>, items: &[Item<'_>]) -> Result<Row> {
    let values = schema.fields().iter().enumerate().map(|(index, field)| {
        let here =
            items.iter().filter_map(|(steps, value_type, value)| match steps.split_first() {
                Some((name, rest)) if **name == *field.name => Some((rest, *value_type, *value)),
                _ => None,
            });
        let here: Vec<Item<'_>> = here.collect();
        if let Some((_, _, value)) = here.iter().rfind(|(rest, ..)| rest.is_empty()) {
            return Ok(Value::clone(value));
        }
        let old = row.and_then(|row| {
            let known = row.schema().field(index)?;
            Some(or_default(row.value(index)?, &known.value_type, true))
        });
        match (here.is_empty(), field.data_type(), old) {
            (false, DataType::Struct(nested), Some(Value::Struct(row))) => {
                row_with(nested, Some(&row), &here).map(Value::Struct)
            }
            (false, DataType::Struct(nested), None) => {
                row_with(nested, None, &here).map(Value::Struct)
            }
            (_, _, old) => Ok(old.unwrap_or_default()),
        }
    });
    Row::new(Arc::clone(schema), values.collect::<Result<_>>()?)
}

impl Transform for HeaderToValue {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let is_table = event.operation() == Some(Operation::Table);
        let found: Vec<(usize, Option<Arc<ValueType>>, Value)> = self
            .fields
            .iter()
            .enumerate()
            .flat_map(|(number, (name, _))| {
                let named = event.headers.iter().filter(move |header| header.name == *name);
                named.map(move |header| (number, header.schema.clone(), header.value.clone()))
            })
            .collect();
        if event.value.is_absent() || found.is_empty() || is_table {
            out.push(event);
            return Ok(());
        }
        let content = Content::take(&mut event, Side::Value, &self.profile)?;
        if content.is_null() {
            content.put(&mut event, Side::Value);
            out.push(event);
            return Ok(());
        }
        let row = content.require_struct("Header field insertion", &self.profile)?;
        let mut items: Vec<Item<'_>> = Vec::with_capacity(found.len());
        for (number, value_type, value) in &found {
            let Some((_, path)) = self.fields.get(*number) else { continue };
            let value_type = value_type.as_deref().ok_or_else(|| {
                Error::data(format!("fieldSchema for field {} cannot be null.", path.join(".")))
            })?;
            items.push((path, value_type, value));
        }
        let types = found.iter().filter_map(|(number, value_type, _)| {
            Some((*number, ValueType::clone(value_type.as_deref()?)))
        });
        let key = (row.schema().id(), types.collect());
        let schema = match self.schemas.get(&key) {
            Some(schema) => Arc::clone(schema),
            None => {
                let schema = schema_with(Some(row.schema()), &items, "")?;
                if self.schemas.len() >= KEPT {
                    self.schemas.clear();
                }
                self.schemas.insert(key, Arc::clone(&schema));
                schema
            }
        };
        let row = row_with(&schema, Some(&row), &items)?;
        Content::Struct(row).put(&mut event, Side::Value);
        if self.operation == MoveOrCopy::Move {
            let moved = |name: &str| self.fields.iter().any(|(header, _)| **header == *name);
            event.headers.to_mut().retain(|header| !moved(&header.name));
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "HeaderToValue"
    }

    fn tables(&self) -> TableMapping {
        TableMapping::ByContent
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
