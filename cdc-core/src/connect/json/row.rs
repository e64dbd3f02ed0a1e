//! Structs as JSON: what is simple on a page, the rest by its schema.

use crate::connect::before_image::missing;
use crate::connect::profile::ConversionFailures;
use crate::connect::schema::{ConnectField, Direct};
use crate::error::{Error, Result};
use crate::row::{Row, Scalar};
use crate::value::{Value, ValueRef};

use super::encode::Writer;
use super::page::Page;

/// What stands for a value that the server did not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unsent {
    /// `unavailable.value.placeholder`.
    Placeholder,
    /// As in [`complete_before`](crate::connect::complete_before).
    Empty,
}

/// A field with its name takes about so many bytes.
const EXPECTED_FIELD: usize = 40;

impl Writer<'_> {
    /// Appends a struct: all fields in the order of the schema.
    pub(crate) fn row(&self, fields: &[ConnectField], row: &Row, out: &mut Vec<u8>) -> Result<()> {
        let page = Page::after(out, fields.len() * EXPECTED_FIELD);
        self.row_on(fields, row, Unsent::Placeholder, page)?.finish();
        Ok(())
    }

    /// As [`row`](Self::row). Values that are simple under a simple schema are written here, the others by
    /// [`value`](Self::value).
    pub(super) fn row_on<'o>(
        &self,
        fields: &[ConnectField],
        row: &Row,
        unsent: Unsent,
        mut page: Page<'o>,
    ) -> Result<Page<'o>> {
        let scalars = row.scalars();
        let start = page.at();
        for field in fields {
            page.name(&field.json_name);
            // Each arm looks for the one kind of value that it writes, which is cheaper than to tell all kinds apart.
            match field.direct {
                Direct::Text => {
                    if let Scalar::Text(text) = scalars.get(field.index) {
                        page.text(text);
                        continue;
                    }
                }
                Direct::Instant => {
                    if let Scalar::TimestampMicros(v) = scalars.get(field.index)
                        && page.instant(v)
                    {
                        continue;
                    }
                }
                Direct::Boolean => {
                    if let Scalar::Bool(v) = scalars.get(field.index) {
                        page.boolean(v);
                        continue;
                    }
                }
                Direct::Decimal(of_schema) => {
                    if let Scalar::Decimal { unscaled, scale } = scalars.get(field.index)
                        && of_schema == scale
                        && !self.numeric
                    {
                        page.unscaled(unscaled);
                        continue;
                    }
                }
                Direct::No => {}
                integer => {
                    if let Some(v) = integer_of(integer, scalars.get(field.index)) {
                        page.i64(v);
                        continue;
                    }
                }
            }
            if field.schema.optional
                && field.schema.default.is_none()
                && scalars.get(field.index) == Scalar::Null
            {
                page.null();
                continue;
            }
            self.by_schema(field, row, unsent, page.leave())?;
            page.come_back();
        }
        // The comma in front of the first name; without a field nothing is there.
        if fields.is_empty() {
            page.array(b"{");
        } else {
            page.replace(start, b'{');
        }
        page.array(b"}");
        Ok(page)
    }

    /// Appends the value of a field that is not simple.
    #[inline(never)]
    fn by_schema(
        &self,
        field: &ConnectField,
        row: &Row,
        unsent: Unsent,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match row.get(field.index).unwrap_or(ValueRef::Null) {
            ValueRef::Unavailable if unsent == Unsent::Empty => {
                let value_type = row.schema().field(field.index).map(|field| &field.value_type);
                let value = value_type.map_or(Value::Null, missing);
                self.field(field, row, value.as_ref(), out)
            }
            value => self.field(field, row, value, out),
        }
    }

    /// Appends the value of a field by its schema.
    fn field(
        &self,
        field: &ConnectField,
        row: &Row,
        value: ValueRef<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let start = out.len();
        let is_null = value.is_null();
        match self.value(&field.schema, value, out) {
            // Only a column of a table may lose a value that has no place in its schema.
            Err(error) if row.schema().table().is_some() => {
                out.truncate(start);
                self.unconvertible(field, row, is_null, error, out)
            }
            done => done,
        }
    }

    /// `event.converting.failure.handling.mode`.
    fn unconvertible(
        &self,
        field: &ConnectField,
        row: &Row,
        is_null: bool,
        error: Error,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if is_null || !field.schema.optional || self.modes.failures == ConversionFailures::Fail {
            return Err(match row.schema().table() {
                Some(table) if !is_null => error.context(format!("{table}.{}", field.name)),
                _ => error,
            });
        }
        let table = row.schema().table().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(column = %format!("{table}.{}", field.name), %error, "written as NULL");
        out.extend_from_slice(b"null");
        Ok(())
    }
}

/// The value of an integer field, where it is of the field's type.
#[inline(always)]
fn integer_of(direct: Direct, scalar: Scalar<'_>) -> Option<i64> {
    match (direct, scalar) {
        (Direct::Int64, Scalar::Int64(v)) | (Direct::Micros, Scalar::TimestampMicros(v)) => Some(v),
        (Direct::Int32, Scalar::Int32(v)) | (Direct::Days, Scalar::Days(v)) => Some(i64::from(v)),
        (Direct::Int16, Scalar::Int16(v)) => Some(i64::from(v)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::connect::{ConnectProfile, JsonConverter, JsonOptions};
    use crate::data_type::{DataType, ValueType};
    use crate::schema::{Field, Schema, TableId};
    use crate::value::Array;
    use crate::{Error, Payload};

    /// A row of a table whose array of enums has a NULL, which Debezium's schema of such an array has no place for.
    fn encoded(profile: ConnectProfile) -> Result<String, Error> {
        let labels = ["sad".into(), "ok".into()].into();
        let element = ValueType::optional(DataType::Enum { labels });
        let schema = Schema::builder()
            .table(TableId::new("public", "moods"))
            .field(Field::optional("all", DataType::Array(Arc::new(element))))
            .build()?;
        let moods = Array::new(vec![Value::text("ok"), Value::Null]);
        let row = Row::new(schema, vec![Value::Array(Arc::new(moods))])?;
        let options = JsonOptions { schemas_enable: false, ..JsonOptions::default() };
        let mut out = Vec::new();
        JsonConverter::new(options, profile)?.encode(&Payload::row(row), &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_value_without_a_place_in_its_schema_is_null_and_told_or_fails() {
        assert_eq!(encoded(ConnectProfile::default()).unwrap(), r#"{"all":null}"#);
        let strict = ConnectProfile::builder()
            .property("event.converting.failure.handling.mode", "fail")
            .unwrap();
        let error = encoded(strict.build()).unwrap_err().to_string();
        assert!(error.contains("public.moods.all"), "{error}");
    }
}
