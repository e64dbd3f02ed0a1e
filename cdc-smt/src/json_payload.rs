//! JSON documents as values under a schema that is guessed from them (Debezium's `JsonSchemaData`).

use std::sync::Arc;

use cdc_core::connect::NameAdjustment;
use cdc_core::value::Array;
use cdc_core::{ConnectAttributes, DataType, Error, Field, Result, Row, Schema, Value, ValueType};
use serde_json::Value as Json;

use crate::derive::plain;

/// What becomes of values that have no type of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Guess {
    /// A null is optional bytes; else it is left out.
    pub(crate) null_as_bytes: bool,
    /// An empty array is one of optional texts; else it is left out.
    pub(crate) empty_array_as_texts: bool,
    /// A nested struct has the name of the struct around it before its own.
    pub(crate) names_from_parent: bool,
    /// How names of members are made valid.
    pub(crate) names: NameAdjustment,
}

impl Guess {
    /// The type of a document under a name; `None` where it is left out.
    pub(crate) fn value_type(self, json: &Json, name: Option<&str>) -> Result<Option<ValueType>> {
        Ok(Some(match json {
            Json::Null if self.null_as_bytes => plain(DataType::BYTES, true),
            Json::Null => return Ok(None),
            Json::Bool(_) => plain(DataType::Bool, true),
            Json::String(_) => plain(DataType::TEXT, true),
            Json::Number(number) => plain(number_type(number), true),
            Json::Array(items) => match self.element(items, name)? {
                Some(element) => plain(DataType::Array(Arc::new(element)), true),
                None => return Ok(None),
            },
            Json::Object(_) => {
                let schema = self.struct_schema(std::slice::from_ref(json), name, true)?;
                struct_of(schema)
            }
        }))
    }

    fn struct_schema(
        self,
        objects: &[Json],
        name: Option<&str>,
        optional: bool,
    ) -> Result<Arc<Schema>> {
        let mut fields: Vec<Field> = Vec::new();
        for (field, value) in objects.iter().filter_map(Json::as_object).flatten() {
            let nested = match name.filter(|_| self.names_from_parent) {
                Some(name) => format!("{name}.{field}"),
                None => field.clone(),
            };
            let Some(value_type) = self.value_type(value, Some(&nested))? else { continue };
            let field = self.names.adjust_field(field);
            match fields.iter_mut().find(|known| *known.name == *field) {
                Some(known) => known.value_type = wider(&known.value_type, value_type, &field)?,
                None => fields.push(Field::new(&*field, value_type)),
            }
        }
        let attributes =
            ConnectAttributes { name: name.map(Into::into), ..ConnectAttributes::default() };
        Schema::builder().fields(fields).connect(attributes).optional(optional).build()
    }

    fn element(self, items: &[Json], name: Option<&str>) -> Result<Option<ValueType>> {
        if items.is_empty() {
            return Ok(self.empty_array_as_texts.then(|| plain(DataType::TEXT, true)));
        }
        if items.iter().all(Json::is_object) {
            return self.struct_schema(items, name, false).map(|schema| Some(struct_of(schema)));
        }
        let mut element: Option<ValueType> = None;
        for item in items {
            let Some(value_type) = self.value_type(item, name)? else { continue };
            element = Some(match element {
                None => value_type,
                Some(known) => wider(&known, value_type, name.unwrap_or("array"))?,
            });
        }
        match element {
            Some(element) => Ok(Some(element)),
            None => Err(Error::data(format!(
                "Field \"{}\": a JSON array of nulls has no type",
                name.unwrap_or("array")
            ))),
        }
    }

    /// The value of a document under its type.
    pub(crate) fn value(self, json: &Json, value_type: &ValueType) -> Result<Value> {
        Ok(match (json, &value_type.data_type) {
            (Json::Null, _) => Value::Null,
            (Json::Bool(value), DataType::Bool) => Value::Bool(*value),
            (Json::String(text), DataType::Text { .. }) => Value::text(text.as_str()),
            (Json::Number(number), DataType::Int32) => number
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .map_or(Value::Null, Value::Int32),
            (Json::Number(number), DataType::Int64) => {
                number.as_i64().map_or(Value::Null, Value::Int64)
            }
            (Json::Number(number), DataType::Float64) => {
                number.as_f64().map_or(Value::Null, Value::Float64)
            }
            (Json::Array(items), DataType::Array(element)) => {
                let values = items.iter().map(|item| self.value(item, element));
                Value::Array(Arc::new(Array::new(values.collect::<Result<_>>()?)))
            }
            (Json::Object(members), DataType::Struct(schema)) => {
                let values = schema.fields().iter().map(|field| {
                    let member = match self.names {
                        NameAdjustment::None => members.get(&*field.name),
                        names => members
                            .iter()
                            .rfind(|(name, _)| names.adjust_field(name) == *field.name)
                            .map(|(_, member)| member),
                    };
                    member.map_or(Ok(Value::Null), |member| self.value(member, &field.value_type))
                });
                Value::Struct(Row::new(Arc::clone(schema), values.collect::<Result<_>>()?)?)
            }
            (other, _) => Value::text(other.to_string()),
        })
    }
}

fn struct_of(schema: Arc<Schema>) -> ValueType {
    ValueType {
        optional: schema.is_optional(),
        connect: schema.connect().cloned(),
        data_type: DataType::Struct(schema),
        default: None,
    }
}

fn number_type(number: &serde_json::Number) -> DataType {
    match number.as_i64() {
        Some(whole) if i32::try_from(whole).is_ok() => DataType::Int32,
        Some(_) => DataType::Int64,
        None => DataType::Float64,
    }
}

/// The type that has room for values of both.
fn wider(known: &ValueType, other: ValueType, name: &str) -> Result<ValueType> {
    use DataType as D;
    Ok(match (&known.data_type, &other.data_type) {
        (a, b) if a == b => other,
        (D::Int32, D::Int64) => other,
        (D::Int64, D::Int32) => known.clone(),
        // A null says nothing.
        (D::Bytes { .. }, _) => other,
        (_, D::Bytes { .. }) => known.clone(),
        (D::Struct(a), D::Struct(b)) => {
            let mut builder = a.to_builder();
            for field in b.fields() {
                let fields = builder.fields_mut();
                match fields.iter_mut().find(|known| known.name == field.name) {
                    Some(old) => {
                        old.value_type = wider(&old.value_type, field.value_type.clone(), name)?;
                    }
                    None => fields.push(field.clone()),
                }
            }
            let mut merged = known.clone();
            merged.data_type = D::Struct(builder.build()?);
            merged
        }
        (D::Array(a), D::Array(b)) => {
            let element = wider(a, ValueType::clone(b), name)?;
            let mut merged = known.clone();
            merged.data_type = D::Array(Arc::new(element));
            merged
        }
        _ => {
            return Err(Error::data(format!(
                "Field \"{name}\": elements of the JSON array have types that differ"
            )));
        }
    })
}
