//! Types of columns: which one a field gets, and which one can hold what another holds.
//!
//! Names are those of `format_type`, so that what is wanted and what is there compare as text.

use cdc_core::{DataType, Field, NetworkType};

use crate::sql::dialect::Fit;

/// A type as `format_type` writes it, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnType {
    /// The name without modifiers and brackets.
    pub(super) base: String,
    pub(super) modifiers: Vec<i32>,
    pub(super) array: bool,
}

impl ColumnType {
    pub(super) fn parse(name: &str) -> Self {
        let (name, array) = match name.strip_suffix("[]") {
            Some(element) => (element, true),
            None => (name, false),
        };
        let parts = name.split_once('(').and_then(|(before, rest)| {
            let (modifiers, after) = rest.split_once(')')?;
            let modifiers = modifiers
                .split(',')
                .map(|m| m.trim().parse().ok())
                .collect::<Option<Vec<i32>>>()?;
            Some((format!("{before}{after}"), modifiers))
        });
        let (base, modifiers) = parts.unwrap_or_else(|| (name.to_owned(), Vec::new()));
        ColumnType { base, modifiers, array }
    }

    /// The type for a cast that neither cuts nor rounds: without modifiers, the assignment to the column then
    /// refuses what is too long. Without one `bit` and `character` would mean a length of 1.
    pub(super) fn cast(&self) -> String {
        let base = match self.base.as_str() {
            "bit" => "\"bit\"",
            "character" => "bpchar",
            base => base,
        };
        format!("{base}{}", if self.array { "[]" } else { "" })
    }

    fn with(&self, modifiers: Vec<i32>) -> String {
        let list = modifiers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let brackets = if self.array { "[]" } else { "" };
        // The modifiers of a time stand before the words about its zone.
        match self.base.split_once(" with") {
            Some((name, zone)) => format!("{name}({list}) with{zone}{brackets}"),
            None => format!("{}({list}){brackets}", self.base),
        }
    }
}

/// The type of a new column for a field. What PostgreSQL has no type for is text.
pub(super) fn column_type(field: &Field, xml: bool) -> String {
    if matches!(field.data_type(), DataType::Json)
        && field.native.as_ref().is_some_and(|native| &*native.name == "jsonb")
    {
        return "jsonb".into();
    }
    type_of(field.data_type(), xml)
}

fn type_of(data_type: &DataType, xml: bool) -> String {
    match data_type {
        DataType::Bool => "boolean".into(),
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "smallint".into(),
        DataType::UInt16 | DataType::Int32 => "integer".into(),
        DataType::UInt32 | DataType::Int64 => "bigint".into(),
        DataType::UInt64 => "numeric(20,0)".into(),
        DataType::Float32 => "real".into(),
        DataType::Float64 => "double precision".into(),
        DataType::Decimal { precision: Some(p @ 1..=1000), scale: Some(s) }
            if (0..=1000).contains(s) && u32::try_from(*s).is_ok_and(|s| s <= *p) =>
        {
            format!("numeric({p},{s})")
        }
        DataType::Decimal { .. } => "numeric".into(),
        DataType::Text { max_length: Some(n @ 1..=10_485_760), fixed: true } => {
            format!("character({n})")
        }
        DataType::Text { max_length: Some(n @ 1..=10_485_760), fixed: false } => {
            format!("character varying({n})")
        }
        DataType::Bytes { .. } => "bytea".into(),
        DataType::Bits { length: Some(n), varying: false } => format!("bit({n})"),
        DataType::Bits { length: Some(n), varying: true } => format!("bit varying({n})"),
        DataType::Bits { length: None, .. } => "bit varying".into(),
        DataType::Date => "date".into(),
        DataType::Time { precision } => time("time", *precision, "without"),
        DataType::TimeTz { precision } => time("time", *precision, "with"),
        DataType::Timestamp { precision } => time("timestamp", *precision, "without"),
        DataType::TimestampTz { precision } => time("timestamp", *precision, "with"),
        DataType::Interval => "interval".into(),
        DataType::Uuid => "uuid".into(),
        DataType::Json | DataType::Map(_) | DataType::Struct(_) => "json".into(),
        DataType::Xml if xml => "xml".into(),
        DataType::Network(NetworkType::Inet) => "inet".into(),
        DataType::Network(NetworkType::Cidr) => "cidr".into(),
        DataType::Network(NetworkType::MacAddr) => "macaddr".into(),
        DataType::Network(NetworkType::MacAddr8) => "macaddr8".into(),
        DataType::Array(element) => match &element.data_type {
            DataType::Map(_) | DataType::Struct(_) => "json".into(),
            // The type says nothing of the number of dimensions.
            nested @ DataType::Array(_) => type_of(nested, xml),
            scalar => format!("{}[]", type_of(scalar, xml)),
        },
        _ => "text".into(),
    }
}

/// PostgreSQL keeps microseconds; what is finer is text.
fn time(name: &str, precision: u8, zone: &str) -> String {
    match precision {
        0..=5 => format!("{name}({precision}) {zone} time zone"),
        6 => format!("{name} {zone} time zone"),
        _ => "text".into(),
    }
}

/// Whether a column of the type `existing` can hold a field.
pub(super) fn fit(existing: &str, field: &Field, xml: bool) -> Fit {
    let wanted = column_type(field, xml);
    if existing == wanted || is_the_sources_own(existing, field) {
        return Fit::Holds;
    }
    let (there, wanted_type) = (ColumnType::parse(existing), ColumnType::parse(&wanted));
    if there.array != wanted_type.array {
        return Fit::Conflict;
    }
    if there.base == wanted_type.base {
        return fit_modifiers(&there, &wanted_type);
    }
    match (rank(&there), rank(&wanted_type)) {
        (Some((family, there_rank)), Some((wanted_family, wanted_rank)))
            if family == wanted_family =>
        {
            if there_rank >= wanted_rank && holds_digits(&there, &wanted_type) {
                Fit::Holds
            } else if there_rank < wanted_rank {
                Fit::Widen(wanted)
            } else {
                Fit::Conflict
            }
        }
        // What is stored as text because nothing better is known, or json, as its own text.
        _ if wanted == "jsonb" && existing == "json" => Fit::Holds,
        _ => Fit::Conflict,
    }
}

/// A type that a user made in the target under the name that it has at the source: an enum, a type of an extension.
fn is_the_sources_own(existing: &str, field: &Field) -> bool {
    let last = |name: &str| name.rsplit('.').next().unwrap_or(name).trim_matches('"').to_owned();
    let own = matches!(field.data_type(), DataType::Enum { .. } | DataType::Other { .. });
    let named = match field.data_type() {
        DataType::Other { name } => last(name) == last(existing),
        _ => false,
    };
    own && (named
        || field.native.as_ref().is_some_and(|native| last(&native.name) == last(existing)))
}

/// Types of a family hold all that is of a lower rank.
fn rank(column: &ColumnType) -> Option<(&'static str, u8)> {
    Some(match column.base.as_str() {
        "smallint" => ("number", 0),
        "integer" => ("number", 1),
        "bigint" => ("number", 2),
        "numeric" => ("number", 3),
        "real" => ("float", 0),
        "double precision" => ("float", 1),
        "character" => ("text", 0),
        "character varying" => ("text", 1),
        "text" => ("text", 2),
        _ => return None,
    })
}

/// Whether a numeric column has room for an integer, or a text column for so many characters.
fn holds_digits(there: &ColumnType, wanted: &ColumnType) -> bool {
    let Some(&room) = there.modifiers.first() else { return true };
    match wanted.base.as_str() {
        "smallint" | "integer" | "bigint" => {
            let digits = match wanted.base.as_str() {
                "smallint" => 5,
                "integer" => 10,
                _ => 19,
            };
            room - there.modifiers.get(1).copied().unwrap_or(0) >= digits
        }
        _ => wanted.modifiers.first().is_some_and(|&wanted| wanted <= room),
    }
}

fn fit_modifiers(there: &ColumnType, wanted: &ColumnType) -> Fit {
    let (has, wants) = (&there.modifiers, &wanted.modifiers);
    match there.base.as_str() {
        // Every length is a type of its own; without one it is 1.
        "bit" | "character" if has.is_empty() || wants.is_empty() => Fit::Conflict,
        "bit" => Fit::Conflict,
        _ if has.is_empty() => Fit::Holds,
        _ if wants.is_empty() => Fit::Widen(without_modifiers(wanted)),
        "numeric" => {
            let parts = |m: &[i32]| {
                let scale = m.get(1).copied().unwrap_or(0);
                (m.first().copied().unwrap_or(0) - scale, scale)
            };
            let ((whole, scale), (wanted_whole, wanted_scale)) = (parts(has), parts(wants));
            if whole >= wanted_whole && scale >= wanted_scale {
                Fit::Holds
            } else {
                let scale = scale.max(wanted_scale);
                Fit::Widen(there.with(vec![whole.max(wanted_whole) + scale, scale]))
            }
        }
        _ if has >= wants => Fit::Holds,
        _ => Fit::Widen(there.with(wants.clone())),
    }
}

fn without_modifiers(wanted: &ColumnType) -> String {
    format!("{}{}", wanted.base, if wanted.array { "[]" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(existing: &str, data_type: DataType) -> Fit {
        fit(existing, &Field::optional("c", data_type), true)
    }

    fn varchar(n: u32) -> DataType {
        DataType::Text { max_length: Some(n), fixed: false }
    }

    fn numeric(precision: u32, scale: i32) -> DataType {
        DataType::Decimal { precision: Some(precision), scale: Some(scale) }
    }

    #[test]
    fn a_wider_column_holds_a_narrower_type() {
        for (existing, data_type) in [
            ("bigint", DataType::Int32),
            ("numeric", DataType::Int64),
            ("numeric(12,2)", DataType::Int32),
            ("text", varchar(5)),
            ("character varying(9)", varchar(5)),
            ("numeric", numeric(10, 2)),
            ("timestamp without time zone", DataType::Timestamp { precision: 3 }),
            ("mood", DataType::Other { name: "shop.mood".into() }),
        ] {
            assert_eq!(fits(existing, data_type), Fit::Holds, "{existing}");
        }
    }

    #[test]
    fn a_narrower_column_is_widened_where_no_value_changes() {
        for (existing, data_type, wider) in [
            ("smallint", DataType::Int64, "bigint"),
            ("integer", DataType::DECIMAL, "numeric"),
            ("character varying(3)", varchar(5), "character varying(5)"),
            ("character varying(3)", DataType::TEXT, "text"),
            ("numeric(10,2)", numeric(10, 4), "numeric(12,4)"),
            (
                "timestamp(3) with time zone",
                DataType::TimestampTz { precision: 6 },
                "timestamp with time zone",
            ),
            (
                "time(0) without time zone",
                DataType::Time { precision: 3 },
                "time(3) without time zone",
            ),
            ("real", DataType::Float64, "double precision"),
        ] {
            assert_eq!(fits(existing, data_type), Fit::Widen(wider.into()), "{existing}");
        }
    }

    #[test]
    fn what_would_change_a_value_is_a_conflict() {
        for (existing, data_type) in [
            ("integer", DataType::TEXT),
            ("text", DataType::Int32),
            ("numeric(10,2)", DataType::Int64),
            ("jsonb", DataType::Json),
            ("date", DataType::Timestamp { precision: 6 }),
            ("timestamp without time zone", DataType::TimestampTz { precision: 6 }),
            (
                "integer",
                DataType::Array(std::sync::Arc::new(cdc_core::ValueType::optional(
                    DataType::Int32,
                ))),
            ),
        ] {
            assert_eq!(fits(existing, data_type), Fit::Conflict, "{existing}");
        }
    }

    #[test]
    fn a_cast_neither_cuts_nor_rounds() {
        assert_eq!(ColumnType::parse("bit(3)").cast(), "\"bit\"");
        assert_eq!(ColumnType::parse("character(3)[]").cast(), "bpchar[]");
        assert_eq!(
            ColumnType::parse("timestamp(3) without time zone").cast(),
            "timestamp without time zone"
        );
        assert_eq!(ColumnType::parse("numeric(10,2)").cast(), "numeric");
    }
}
