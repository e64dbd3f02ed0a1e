//! The values of one column for many rows, as one array parameter in PostgreSQL's binary format.

use std::error::Error;

use bytes::{BufMut, BytesMut};
use cdc_core::value::Uuid;
use cdc_core::{DataType, ValueRef};
use tokio_postgres::types::{IsNull, ToSql, Type};

use super::binary;
use super::text::write_text;

/// How the values of a column are sent: in binary where that is simple and exact, else as text that is cast to the column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Bytea,
    Uuid,
    Numeric,
    Date,
    Time,
    Timestamp,
    TimestampTz,
    /// Text; whether the column is an array.
    Text {
        array: bool,
    },
}

impl Bind {
    /// For a field in a column of this type.
    pub(super) fn of(base: &str, array: bool, data_type: &DataType) -> Self {
        match base {
            _ if array => Bind::Text { array },
            "boolean" => Bind::Bool,
            "smallint" => Bind::Int2,
            "integer" => Bind::Int4,
            "bigint" => Bind::Int8,
            "real" => Bind::Float4,
            "double precision" => Bind::Float8,
            "bytea" => Bind::Bytea,
            "uuid" => Bind::Uuid,
            _ => match (base, data_type) {
                ("numeric", DataType::Decimal { .. }) => Bind::Numeric,
                ("date", DataType::Date) => Bind::Date,
                ("time without time zone", DataType::Time { .. }) => Bind::Time,
                ("timestamp without time zone", DataType::Timestamp { .. }) => Bind::Timestamp,
                ("timestamp with time zone", DataType::TimestampTz { .. }) => Bind::TimestampTz,
                _ => Bind::Text { array },
            },
        }
    }

    /// The name of the parameter's element type.
    pub(super) fn element(self) -> &'static str {
        match self {
            Bind::Bool => "bool",
            Bind::Int2 => "int2",
            Bind::Int4 => "int4",
            Bind::Int8 => "int8",
            Bind::Float4 => "float4",
            Bind::Float8 => "float8",
            Bind::Bytea => "bytea",
            Bind::Uuid => "uuid",
            Bind::Numeric => "numeric",
            Bind::Date => "date",
            Bind::Time => "time",
            Bind::Timestamp => "timestamp",
            Bind::TimestampTz => "timestamptz",
            Bind::Text { .. } => "text",
        }
    }

    fn oid(self) -> u32 {
        match self {
            Bind::Bool => Type::BOOL,
            Bind::Int2 => Type::INT2,
            Bind::Int4 => Type::INT4,
            Bind::Int8 => Type::INT8,
            Bind::Float4 => Type::FLOAT4,
            Bind::Float8 => Type::FLOAT8,
            Bind::Bytea => Type::BYTEA,
            Bind::Uuid => Type::UUID,
            Bind::Numeric => Type::NUMERIC,
            Bind::Date => Type::DATE,
            Bind::Time => Type::TIME,
            Bind::Timestamp => Type::TIMESTAMP,
            Bind::TimestampTz => Type::TIMESTAMPTZ,
            Bind::Text { .. } => Type::TEXT,
        }
        .oid()
    }
}

/// An array parameter in the making.
#[derive(Debug)]
pub(super) struct ArrayParameter {
    bind: Bind,
    instant: bool,
    elements: BytesMut,
    count: i32,
    nulls: bool,
}

impl ArrayParameter {
    /// With room for so many rows of a usual size.
    pub(super) fn new(bind: Bind, instant: bool, rows: usize) -> Self {
        let elements = BytesMut::with_capacity(rows * 16);
        ArrayParameter { bind, instant, elements, count: 0, nulls: false }
    }

    /// Adds the value of the next row.
    ///
    /// # Errors
    /// What is wrong with the value, for a message that names the column.
    pub(super) fn push(
        &mut self,
        value: &ValueRef<'_>,
        scratch: &mut String,
    ) -> Result<(), String> {
        self.count = self.count.checked_add(1).ok_or("too many rows")?;
        let out = &mut self.elements;
        match (self.bind, value) {
            (_, ValueRef::Null | ValueRef::Unavailable) => {
                self.nulls = true;
                out.put_i32(-1);
            }
            (Bind::Bool, ValueRef::Bool(v)) => sized(out, &[u8::from(*v)])?,
            (Bind::Int2, v) => sized(out, &integer::<i16>(v)?.to_be_bytes())?,
            (Bind::Int4, v) => sized(out, &integer::<i32>(v)?.to_be_bytes())?,
            (Bind::Int8, v) => sized(out, &integer::<i64>(v)?.to_be_bytes())?,
            (Bind::Float4, ValueRef::Float32(v)) => sized(out, &v.to_be_bytes())?,
            (Bind::Float8, ValueRef::Float64(v)) => sized(out, &v.to_be_bytes())?,
            (Bind::Float8, ValueRef::Float32(v)) => sized(out, &f64::from(*v).to_be_bytes())?,
            (Bind::Bytea, ValueRef::Bytes(v)) => sized(out, v)?,
            (Bind::Uuid, ValueRef::Uuid(Uuid(v))) => sized(out, v)?,
            (Bind::Numeric, ValueRef::Decimal(v)) => binary::put_numeric(out, v)?,
            (Bind::Date, ValueRef::Date(v)) => sized(out, &binary::date(*v)?.to_be_bytes())?,
            (Bind::Time, ValueRef::Time(v)) => sized(out, &binary::time(*v)?.to_be_bytes())?,
            (Bind::Timestamp | Bind::TimestampTz, ValueRef::Timestamp(v)) => {
                sized(out, &binary::timestamp(*v)?.to_be_bytes())?;
            }
            (Bind::Text { .. }, ValueRef::Text(v)) => sized_text(out, v)?,
            (Bind::Text { array }, v) => {
                scratch.clear();
                write_text(scratch, v, array, self.instant);
                sized_text(out, scratch)?;
            }
            (bind, v) => {
                return Err(format!("{v:?} is not a value of the type {}", bind.element()));
            }
        }
        Ok(())
    }
}

fn sized(out: &mut BytesMut, bytes: &[u8]) -> Result<(), String> {
    out.reserve(4 + bytes.len());
    out.put_i32(i32::try_from(bytes.len()).map_err(|_| "the value is longer than 2 GB")?);
    out.put_slice(bytes);
    Ok(())
}

fn sized_text(out: &mut BytesMut, text: &str) -> Result<(), String> {
    if text.as_bytes().contains(&0) {
        return Err("PostgreSQL allows no character with the code 0 in text".into());
    }
    sized(out, text.as_bytes())
}

fn integer<T: TryFrom<i64>>(value: &ValueRef<'_>) -> Result<T, String> {
    let wide = match value {
        ValueRef::Int8(v) => i64::from(*v),
        ValueRef::Int16(v) => i64::from(*v),
        ValueRef::Int32(v) => i64::from(*v),
        ValueRef::Int64(v) => *v,
        ValueRef::UInt8(v) => i64::from(*v),
        ValueRef::UInt16(v) => i64::from(*v),
        ValueRef::UInt32(v) => i64::from(*v),
        ValueRef::UInt64(v) => i64::try_from(*v).map_err(|_| format!("{v} is out of range"))?,
        other => return Err(format!("{other:?} is not an integer")),
    };
    T::try_from(wide).map_err(|_| format!("{wide} is out of range"))
}

impl ToSql for ArrayParameter {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        // One dimension whose first index is 1.
        out.put_i32(1);
        out.put_i32(i32::from(self.nulls));
        out.put_u32(self.bind.oid());
        out.put_i32(self.count);
        out.put_i32(1);
        out.put_slice(&self.elements);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        // Every statement casts its parameters to the type that is sent.
        true
    }

    tokio_postgres::types::to_sql_checked!();
}
