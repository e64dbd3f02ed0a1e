//! `column.propagate.source.type`: parameters that say the column's type at its source.
//!
//! Debezium takes lengths from the JDBC driver, so that fixed types have the number of characters or digits that
//! their text takes; the table below has them.

use std::sync::Arc;

use crate::data_type::DataType;
use crate::schema::{Field, TableId};

use super::profile::Modes;

type Parameter = (Arc<str>, Arc<str>);

/// The parameters of a column; none where the profile does not ask for them or the source did not name the type.
pub(crate) fn parameters(field: &Field, table: Option<&TableId>, modes: &Modes) -> Vec<Parameter> {
    if modes.source_type.is_none() {
        return Vec::new();
    }
    let (Some(native), Some(table)) = (&field.native, table) else { return Vec::new() };
    let mut described = describe(&native.name, native.length, native.scale);
    if described.length == i32::MAX
        && let Some((length, scale)) = of_numbers(&field.value_type.data_type)
    {
        // A domain has a name of its own.
        (described.length, described.scale) = (length, Some(scale));
    }
    if !modes.source_type.contains(&table.to_string(), &field.name, &described.name) {
        return Vec::new();
    }
    let mut out: Vec<Parameter> = Vec::with_capacity(4);
    let mut add = |name: &str, value: String| {
        out.push((format!("__debezium.source.column.{name}").into(), value.into()));
    };
    add("type", described.name);
    add("length", described.length.to_string());
    if let Some(scale) = described.scale {
        add("scale", scale.to_string());
    }
    add("name", field.name.to_string());
    out
}

/// Length and scale of types with a fixed size.
fn of_numbers(data_type: &DataType) -> Option<(i32, i32)> {
    Some(match data_type {
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::Float32 => (8, 8),
        DataType::Float64 => (17, 17),
        DataType::Bool => (1, 0),
        _ => return None,
    })
}

struct Described {
    name: String,
    length: i32,
    scale: Option<i32>,
}

/// SQL's name of a type, the name of `pg_type`, its length and scale; `None` as a length: that of the modifier.
const TYPES: [(&str, &str, Option<i32>, i32); 25] = [
    ("name", "NAME", Some(i32::MAX), 0),
    ("smallint", "INT2", Some(5), 0),
    ("integer", "INT4", Some(10), 0),
    ("bigint", "INT8", Some(19), 0),
    ("smallserial", "SMALLSERIAL", Some(5), 0),
    ("serial", "SERIAL", Some(10), 0),
    ("bigserial", "BIGSERIAL", Some(19), 0),
    ("int2", "INT2", Some(5), 0),
    ("int4", "INT4", Some(10), 0),
    ("int8", "INT8", Some(19), 0),
    ("float4", "FLOAT4", Some(8), 8),
    ("float8", "FLOAT8", Some(17), 17),
    ("bool", "BOOL", Some(1), 0),
    ("oid", "OID", Some(10), 0),
    ("real", "FLOAT4", Some(8), 8),
    ("double precision", "FLOAT8", Some(17), 17),
    ("boolean", "BOOL", Some(1), 0),
    ("\"char\"", "CHAR", Some(1), 0),
    ("date", "DATE", Some(13), 0),
    ("character varying", "VARCHAR", None, 0),
    ("character", "BPCHAR", None, 0),
    ("bit varying", "VARBIT", None, 0),
    ("bit", "BIT", None, 0),
    ("varchar", "VARCHAR", None, 0),
    ("bpchar", "BPCHAR", None, 0),
];

fn describe(name: &str, length: Option<i32>, scale: Option<i32>) -> Described {
    if let Some(element) = name.strip_suffix("[]") {
        let mut described = describe(element.trim_end_matches("[]"), length, scale);
        described.name.insert(0, '_');
        return described;
    }
    let (base, modifiers) = split(name);
    let length = length.or_else(|| modifiers.first().copied());
    let scale = scale.or_else(|| modifiers.get(1).copied());
    if let Some((_, typname, fixed, scale)) = TYPES.iter().find(|(sql, ..)| *sql == base) {
        let length = fixed.or(length).unwrap_or(i32::MAX);
        return Described { name: (*typname).to_owned(), length, scale: Some(*scale) };
    }
    let fraction = length.filter(|digits| (0..=6).contains(digits)).unwrap_or(6);
    // A point and its digits are as many characters more.
    let with_fraction = |length: i32| if fraction == 0 { length } else { length + 1 + fraction };
    let temporal = |name: &str, length: i32| Described {
        name: name.to_owned(),
        length: with_fraction(length),
        scale: Some(fraction),
    };
    match base {
        "numeric" | "decimal" => Described {
            name: "NUMERIC".to_owned(),
            length: length.unwrap_or(0),
            scale: if length.is_some() { scale.or(Some(0)) } else { None },
        },
        "time without time zone" | "time" => temporal("TIME", 8),
        "time with time zone" | "timetz" => temporal("TIMETZ", 14),
        "timestamp without time zone" | "timestamp" => temporal("TIMESTAMP", 22),
        "timestamp with time zone" | "timestamptz" => temporal("TIMESTAMPTZ", 28),
        "interval" => Described { name: "INTERVAL".to_owned(), length: 49, scale: Some(fraction) },
        _ => {
            let unqualified = base.rsplit('.').next().unwrap_or(base).trim_matches('"');
            Described {
                name: unqualified.to_uppercase(),
                length: length.unwrap_or(i32::MAX),
                scale: Some(scale.unwrap_or(0)),
            }
        }
    }
}

/// A type's name without its modifiers, and the modifiers: `timestamp(3) without time zone` has one in the middle.
fn split(name: &str) -> (&str, Vec<i32>) {
    let Some((before, rest)) = name.split_once('(') else { return (name, Vec::new()) };
    let Some((inside, after)) = rest.split_once(')') else { return (name, Vec::new()) };
    let modifiers = inside.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    let base = match (before.trim_end(), after.trim()) {
        ("time", "without time zone") => "time",
        ("time", "with time zone") => "timetz",
        ("timestamp", "without time zone") => "timestamp",
        ("timestamp", "with time zone") => "timestamptz",
        (base, _) => base,
    };
    (base, modifiers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::SourceTypeColumns;
    use crate::schema::NativeType;

    #[test]
    fn columns_are_chosen_by_their_name_or_by_their_type() {
        let source_type = SourceTypeColumns::matching(|name| name == "public.t.id")
            .or_of_types(|name| name == "public.t.POSINT");
        let modes = Modes { source_type, ..Modes::default() };
        let table = TableId::new("public", "t");
        let told = |name: &str, native: &str| {
            let mut field = Field::required(name, DataType::Int32);
            field.native = Some(NativeType { name: native.into(), length: None, scale: None });
            let told = parameters(&field, Some(&table), &modes);
            told.iter().map(|(_, value)| value.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(told("id", "integer"), "INT4 10 0 id");
        assert_eq!(told("other", "integer"), "");
        assert_eq!(told("other", "posint"), "POSINT 10 0 other", "a domain of integer");
    }

    #[test]
    fn lengths_are_those_of_the_jdbc_driver() {
        for (name, expected) in [
            ("integer", ("INT4", 10, Some(0))),
            ("numeric(5,2)", ("NUMERIC", 5, Some(2))),
            ("numeric", ("NUMERIC", 0, None)),
            ("character varying(40)", ("VARCHAR", 40, Some(0))),
            ("text", ("TEXT", i32::MAX, Some(0))),
            ("time without time zone", ("TIME", 15, Some(6))),
            ("time(3) without time zone", ("TIME", 12, Some(3))),
            ("timestamp without time zone", ("TIMESTAMP", 29, Some(6))),
            ("timestamp(0) without time zone", ("TIMESTAMP", 22, Some(0))),
            ("timestamp(3) with time zone", ("TIMESTAMPTZ", 32, Some(3))),
            ("timestamp with time zone", ("TIMESTAMPTZ", 35, Some(6))),
            ("time with time zone", ("TIMETZ", 21, Some(6))),
            ("interval", ("INTERVAL", 49, Some(6))),
            ("integer[]", ("_INT4", 10, Some(0))),
            ("numeric(6,2)[]", ("_NUMERIC", 6, Some(2))),
            ("shop.mood", ("MOOD", i32::MAX, Some(0))),
            ("bit varying", ("VARBIT", i32::MAX, Some(0))),
            ("real", ("FLOAT4", 8, Some(8))),
            ("name", ("NAME", i32::MAX, Some(0))),
        ] {
            let described = describe(name, None, None);
            assert_eq!(
                (described.name.as_str(), described.length, described.scale),
                expected,
                "{name}"
            );
        }
    }
}
