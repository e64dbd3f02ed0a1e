//! Fields chosen by their types rather than by their names: the option `field.types`, which the originals do not have.

use cdc_core::connect::{ConnectProfile, ConnectSchema};
use cdc_core::{DataType, Properties, Schema, ValueType};

use crate::field_path::FieldPath;

/// Types by their names in Kafka Connect's schemas.
///
/// A semantic type is given in full or by the last part of its name (`io.debezium.time.MicroTimestamp`,
/// `MicroTimestamp`); a plain one (`STRING`, in any case) means the fields that have no semantic type.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldTypes(Vec<String>);

impl FieldTypes {
    pub(crate) fn from_properties(properties: &Properties) -> Self {
        Self::of(properties.list("field.types").iter().map(String::as_str))
    }

    pub(crate) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        FieldTypes(names.into_iter().map(str::trim).map(str::to_owned).collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn contain(&self, schema: &ConnectSchema) -> bool {
        self.0.iter().any(|wanted| match schema.name() {
            Some(name) => name == wanted || name.rsplit('.').next() == Some(wanted),
            None => schema.connect_type().name().eq_ignore_ascii_case(wanted),
        })
    }

    fn matches(&self, value_type: &ValueType, profile: &ConnectProfile) -> bool {
        profile.connect_schema(value_type).is_some_and(|schema| self.contain(&schema))
    }

    /// The fields of these types, in nested structs too.
    pub(crate) fn paths(&self, schema: &Schema, profile: &ConnectProfile) -> Vec<FieldPath> {
        let mut paths = Vec::new();
        if !self.is_empty() {
            self.add(schema, profile, &mut Vec::new(), &mut paths);
        }
        paths
    }

    fn add(
        &self,
        schema: &Schema,
        profile: &ConnectProfile,
        outside: &mut Vec<String>,
        paths: &mut Vec<FieldPath>,
    ) {
        for field in schema.fields() {
            outside.push(field.name.to_string());
            if self.matches(&field.value_type, profile) {
                paths.push(FieldPath::of_steps(outside.clone()));
            } else if let DataType::Struct(inside) = &field.value_type.data_type {
                self.add(inside, profile, outside, paths);
            }
            outside.pop();
        }
    }
}
