//! PostgreSQL's types: from type OIDs to [`DataType`], from the text form of a value to [`Value`](cdc_core::Value).
//!
//! The text forms are those of a session with pinned settings (`DateStyle = ISO`, `IntervalStyle = postgres`,
//! `TimeZone = UTC`, `bytea_output = hex`, `extra_float_digits > 0`), as the replication connection and the snapshot
//! have them.

mod array;
mod binary;
mod cell;
mod datetime;
mod default;
mod interval;
mod oid;
mod parse;

use std::sync::Arc;

use cdc_core::value::Text;
use cdc_core::{DataType, NetworkType, ValueType};

pub(crate) use cell::append;
pub(crate) use default::constant_default;
pub use parse::parse_any;
pub(crate) use parse::{ValueError, parse};

/// How the text of a value is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int16,
    Int32,
    Int64,
    Oid,
    Float32,
    Float64,
    Decimal,
    Text,
    Bytes,
    Bits,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    Array { element: Box<Kind>, delimiter: u8 },
}

/// What the catalog says of a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CatalogType {
    /// The name as SQL would write it, without modifiers; qualified where it is not in `pg_catalog`.
    pub(crate) name: Arc<str>,
    pub(crate) shape: Shape,
}

/// What kind of type it is, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A base type, known here by its OID or not at all; also composites, ranges and the like.
    Plain,
    /// An enum and its labels in their order.
    Enum(Arc<[Text]>),
    /// A domain: the type below it and that type's modifier.
    Domain { base: u32, modifier: i32, not_null: bool },
    /// A true array (written in braces): its element and the delimiter between elements.
    Array { element: u32, delimiter: u8 },
}

/// A column's type as it is read and as it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnType {
    pub(crate) kind: Kind,
    pub(crate) data_type: DataType,
    /// A domain with NOT NULL allows no NULL whatever the column says.
    pub(crate) not_null: bool,
}

/// Domains and arrays nest; PostgreSQL sets no limit, this does.
const MAX_DEPTH: u32 = 32;

/// Resolves a type and a modifier, asking `lookup` for what is not built in.
pub(crate) fn resolve(
    type_oid: u32,
    modifier: i32,
    lookup: &dyn Fn(u32) -> Option<CatalogType>,
) -> ColumnType {
    resolve_at(type_oid, modifier, lookup, 0)
}

fn resolve_at(
    type_oid: u32,
    modifier: i32,
    lookup: &dyn Fn(u32) -> Option<CatalogType>,
    depth: u32,
) -> ColumnType {
    if let Some((kind, data_type)) = built_in(type_oid, modifier) {
        return ColumnType { kind, data_type, not_null: false };
    }
    if let Some(element) = oid::array_element(type_oid) {
        return array_of(element, modifier, b',', lookup, depth);
    }
    let other = |name: Arc<str>| ColumnType {
        kind: Kind::Text,
        data_type: DataType::Other { name },
        not_null: false,
    };
    let Some(found) = lookup(type_oid) else {
        return other(format!("type {type_oid}").into());
    };
    if depth >= MAX_DEPTH {
        return other(found.name);
    }
    match found.shape {
        Shape::Plain => other(found.name),
        Shape::Enum(labels) => {
            ColumnType { kind: Kind::Text, data_type: DataType::Enum { labels }, not_null: false }
        }
        Shape::Domain { base, modifier: of_base, not_null } => {
            let mut column = resolve_at(base, of_base, lookup, depth + 1);
            column.not_null |= not_null;
            column
        }
        Shape::Array { element, delimiter } => {
            array_of(element, modifier, delimiter, lookup, depth)
        }
    }
}

fn array_of(
    element: u32,
    modifier: i32,
    delimiter: u8,
    lookup: &dyn Fn(u32) -> Option<CatalogType>,
    depth: u32,
) -> ColumnType {
    let element = resolve_at(element, modifier, lookup, depth + 1);
    ColumnType {
        kind: Kind::Array { element: Box::new(element.kind), delimiter },
        data_type: DataType::Array(Arc::new(ValueType::optional(element.data_type))),
        not_null: false,
    }
}

/// Whether a type needs the catalog to be understood.
pub(crate) fn needs_catalog(type_oid: u32) -> bool {
    built_in(type_oid, -1).is_none() && oid::array_element(type_oid).is_none()
}

fn built_in(type_oid: u32, modifier: i32) -> Option<(Kind, DataType)> {
    let text = |max_length, fixed| (Kind::Text, DataType::Text { max_length, fixed });
    // The header of four bytes is counted in the modifiers of text and numeric, not in those of bits.
    let length = u32::try_from(modifier.saturating_sub(4)).ok().filter(|_| modifier >= 4);
    let precision = u8::try_from(modifier).ok().filter(|p| *p <= 6).unwrap_or(6);
    Some(match type_oid {
        oid::BOOL => (Kind::Bool, DataType::Bool),
        oid::INT2 => (Kind::Int16, DataType::Int16),
        oid::INT4 => (Kind::Int32, DataType::Int32),
        oid::INT8 => (Kind::Int64, DataType::Int64),
        oid::OID => (Kind::Oid, DataType::UInt32),
        oid::FLOAT4 => (Kind::Float32, DataType::Float32),
        oid::FLOAT8 => (Kind::Float64, DataType::Float64),
        oid::NUMERIC => (Kind::Decimal, decimal(modifier)),
        oid::TEXT => text(None, false),
        oid::VARCHAR => text(length, false),
        oid::BPCHAR => text(length, length.is_some()),
        oid::NAME => text(Some(63), false),
        oid::CHAR => text(Some(1), false),
        oid::BYTEA => (Kind::Bytes, DataType::BYTES),
        oid::BIT => {
            (Kind::Bits, DataType::Bits { length: u32::try_from(modifier).ok(), varying: false })
        }
        oid::VARBIT => {
            (Kind::Bits, DataType::Bits { length: u32::try_from(modifier).ok(), varying: true })
        }
        oid::DATE => (Kind::Date, DataType::Date),
        oid::TIME => (Kind::Time, DataType::Time { precision }),
        oid::TIMETZ => (Kind::TimeTz, DataType::TimeTz { precision }),
        oid::TIMESTAMP => (Kind::Timestamp, DataType::Timestamp { precision }),
        oid::TIMESTAMPTZ => (Kind::TimestampTz, DataType::TimestampTz { precision }),
        oid::INTERVAL => (Kind::Interval, DataType::Interval),
        oid::UUID => (Kind::Uuid, DataType::Uuid),
        oid::JSON | oid::JSONB => (Kind::Text, DataType::Json),
        oid::XML => (Kind::Text, DataType::Xml),
        oid::INET => (Kind::Text, DataType::Network(NetworkType::Inet)),
        oid::CIDR => (Kind::Text, DataType::Network(NetworkType::Cidr)),
        oid::MACADDR => (Kind::Text, DataType::Network(NetworkType::MacAddr)),
        oid::MACADDR8 => (Kind::Text, DataType::Network(NetworkType::MacAddr8)),
        _ => return None,
    })
}

fn decimal(modifier: i32) -> DataType {
    if modifier < 4 {
        return DataType::DECIMAL;
    }
    let packed = modifier - 4;
    // From PostgreSQL 15 on the scale has 11 bits and a sign.
    let scale = ((packed & 0x7ff) ^ 1024) - 1024;
    DataType::Decimal { precision: u32::try_from((packed >> 16) & 0xffff).ok(), scale: Some(scale) }
}

/// Length and scale as the modifiers of a column say, for the native type.
pub(crate) fn length_and_scale(data_type: &DataType) -> (Option<i32>, Option<i32>) {
    let int = |value: u32| i32::try_from(value).ok();
    match data_type {
        DataType::Text { max_length, .. } => (max_length.and_then(int), None),
        DataType::Bits { length, .. } => (length.and_then(int), None),
        DataType::Decimal { precision, scale } => (precision.and_then(int), *scale),
        DataType::Array(element) => length_and_scale(&element.data_type),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: u32) -> Option<CatalogType> {
        None
    }

    #[test]
    fn modifiers_become_lengths_precisions_and_scales() {
        let of = |oid, modifier| resolve(oid, modifier, &nothing).data_type;
        assert_eq!(of(oid::VARCHAR, 24), DataType::Text { max_length: Some(20), fixed: false });
        assert_eq!(of(oid::BPCHAR, 7), DataType::Text { max_length: Some(3), fixed: true });
        assert_eq!(of(oid::BPCHAR, -1), DataType::TEXT);
        let numeric = (10 << 16 | 2) + 4;
        assert_eq!(
            of(oid::NUMERIC, numeric),
            DataType::Decimal { precision: Some(10), scale: Some(2) }
        );
        let negative = (3 << 16 | (-2 & 0x7ff)) + 4;
        assert_eq!(
            of(oid::NUMERIC, negative),
            DataType::Decimal { precision: Some(3), scale: Some(-2) }
        );
        assert_eq!(of(oid::TIMESTAMP, 3), DataType::Timestamp { precision: 3 });
        assert_eq!(of(oid::BIT, 5), DataType::Bits { length: Some(5), varying: false });
    }

    #[test]
    fn a_domain_is_its_base_type_with_the_domains_modifier() {
        let lookup = |oid: u32| {
            (oid == 90_001).then(|| CatalogType {
                name: "shop.price".into(),
                shape: Shape::Domain {
                    base: oid::NUMERIC,
                    modifier: (8 << 16 | 3) + 4,
                    not_null: true,
                },
            })
        };
        let price = resolve(90_001, -1, &lookup);
        assert_eq!(price.data_type, DataType::Decimal { precision: Some(8), scale: Some(3) });
        assert!(price.not_null && price.kind == Kind::Decimal);
    }

    #[test]
    fn arrays_of_enums_and_types_unknown_here_resolve() {
        let lookup = |oid: u32| {
            Some(match oid {
                90_010 => CatalogType {
                    name: "shop.mood".into(),
                    shape: Shape::Enum(["sad".into(), "ok".into()].into()),
                },
                90_011 => CatalogType {
                    name: "shop.mood[]".into(),
                    shape: Shape::Array { element: 90_010, delimiter: b',' },
                },
                90_012 => CatalogType { name: "shop.ltree".into(), shape: Shape::Plain },
                _ => return None,
            })
        };
        let moods = resolve(90_011, -1, &lookup);
        assert!(matches!(&moods.data_type, DataType::Array(of)
            if matches!(of.data_type, DataType::Enum { .. })));
        let tree = resolve(90_012, -1, &lookup);
        assert_eq!(tree.data_type, DataType::Other { name: "shop.ltree".into() });
    }

    #[test]
    fn a_domain_over_itself_ends() {
        let lookup = |_: u32| {
            Some(CatalogType {
                name: "loop".into(),
                shape: Shape::Domain { base: 90_020, modifier: -1, not_null: false },
            })
        };
        assert_eq!(resolve(90_020, -1, &lookup).kind, Kind::Text);
    }
}
