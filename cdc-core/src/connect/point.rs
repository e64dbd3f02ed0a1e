//! PostgreSQL's `point` as Debezium's struct of coordinates and well-known binary.

use std::sync::{Arc, OnceLock};

use crate::data_type::DataType;
use crate::error::{Error, Result};
use crate::row::Row;
use crate::schema::{Field, Schema};
use crate::value::Value;

/// A point of the plane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// The coordinates of `(1.5,-2.25)`.
pub(crate) fn parse(text: &str) -> Result<Point> {
    text.trim()
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'))
        .and_then(|inside| inside.split_once(','))
        .and_then(|(x, y)| Some(Point { x: x.parse().ok()?, y: y.parse().ok()? }))
        .ok_or_else(|| Error::data("the value is not the text of a point"))
}

impl Point {
    /// Well-known binary, little-endian.
    pub(crate) fn wkb(self) -> [u8; 21] {
        let mut out = [0; 21];
        out[..5].copy_from_slice(&[1, 1, 0, 0, 0]);
        out[5..13].copy_from_slice(&self.x.to_le_bytes());
        out[13..].copy_from_slice(&self.y.to_le_bytes());
        out
    }

    /// The struct's values.
    pub(crate) fn to_row(self) -> Result<Row> {
        static SCHEMA: OnceLock<Option<Arc<Schema>>> = OnceLock::new();
        let schema = SCHEMA.get_or_init(|| {
            Schema::builder()
                .fields([
                    Field::required("x", DataType::Float64),
                    Field::required("y", DataType::Float64),
                    Field::optional("wkb", DataType::BYTES),
                    Field::optional("srid", DataType::Int32),
                ])
                .build()
                .ok()
        });
        let schema = schema.clone().ok_or_else(|| Error::data("a point has no schema"))?;
        let wkb = Value::Bytes(self.wkb().to_vec().into());
        Row::new(schema, vec![self.x.into(), self.y.into(), wkb, Value::Null])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_has_coordinates_and_well_known_binary() {
        let point = parse("(1.5,-2.25)").unwrap();
        assert_eq!((point.x, point.y), (1.5, -2.25));
        let mut out = Vec::new();
        crate::connect::base64::encode(&point.wkb(), &mut out);
        assert_eq!(out, b"AQEAAAAAAAAAAAD4PwAAAAAAAALA");
        assert!(parse("1,2").is_err());
    }
}
