//! The values of a row that formats write without a look at their schema.

use super::block::Cells;
use super::derived::{Base, Derived};
use super::{Row, Storage};
use crate::value::{Date, Time, TimeUnit, Timestamp, Value};

/// A value that is a number or a text; unlike a [`ValueRef`](crate::ValueRef) it is copied and has nothing to drop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Scalar<'a> {
    /// SQL's NULL.
    Null,
    Bool(bool),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    /// `unscaled * 10^-scale`.
    Decimal {
        unscaled: i64,
        scale: i32,
    },
    Text(&'a str),
    /// Days since 1970.
    Days(i32),
    /// Microseconds since midnight.
    TimeMicros(i64),
    /// Microseconds since 1970.
    TimestampMicros(i64),
    /// Any other value, or none: [`Row::get`] shows it.
    Other,
}

impl<'a> Scalar<'a> {
    #[inline(always)]
    fn of(value: &'a Value) -> Self {
        match value {
            Value::Null => Scalar::Null,
            Value::Bool(v) => Scalar::Bool(*v),
            Value::Int16(v) => Scalar::Int16(*v),
            Value::Int32(v) => Scalar::Int32(*v),
            Value::Int64(v) => Scalar::Int64(*v),
            Value::Decimal(v) => match v.to_small() {
                Some((unscaled, scale)) => Scalar::Decimal { unscaled, scale },
                None => Scalar::Other,
            },
            Value::Text(v) => Scalar::Text(v),
            Value::Date(Date::Days(days)) => Scalar::Days(*days),
            Value::Time(Time { value, unit: TimeUnit::Micro }) => Scalar::TimeMicros(*value),
            Value::Timestamp(Timestamp::At { value, unit: TimeUnit::Micro }) => {
                Scalar::TimestampMicros(*value)
            }
            _ => Scalar::Other,
        }
    }
}

/// The values of a row, found once for all its fields.
#[derive(Clone, Copy)]
pub(crate) struct Scalars<'a> {
    values: Values<'a>,
    /// Of a key that is a view of its row: where its values are in the row.
    projection: Option<&'a [usize]>,
    /// Of a row made of another: what is its own, and where the rest is in the other.
    derived: Option<&'a Derived>,
}

#[derive(Clone, Copy)]
enum Values<'a> {
    None,
    Own(&'a [Value]),
    Shared(Cells<'a>),
}

impl<'a> Scalars<'a> {
    /// The value at an index.
    #[inline(always)]
    pub(crate) fn get(&self, index: usize) -> Scalar<'a> {
        let index = match self.projection {
            None => index,
            Some(places) => match places.get(index) {
                Some(place) => *place,
                None => return Scalar::Other,
            },
        };
        let index = match self.derived {
            None => index,
            Some(derived) => match derived.place(index) {
                Ok(place) => place,
                Err(own) => return own.map_or(Scalar::Other, Scalar::of),
            },
        };
        match self.values {
            Values::None => Scalar::Other,
            Values::Own(values) => values.get(index).map_or(Scalar::Other, Scalar::of),
            Values::Shared(cells) => cells.scalar(index),
        }
    }
}

impl Row {
    /// The values, for formats that look at many of them.
    #[inline]
    pub(crate) fn scalars(&self) -> Scalars<'_> {
        let projection = self.is_view.then(|| self.schema.projection().unwrap_or_default());
        // A view goes by the whole row, whose width its own schema does not say.
        let width = if self.is_view { usize::MAX } else { self.len() };
        let (base, derived, width) = match &self.storage {
            Storage::Base(base) => (base, None, width),
            Storage::Derived(derived) => (derived.base(), Some(&**derived), usize::MAX),
        };
        let values = match base {
            Base::Empty => Values::None,
            Base::Own(values) => Values::Own(values),
            Base::Shared { block, first } => Values::Shared(block.cells(*first, width)),
        };
        Scalars { values, projection, derived }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_type::DataType;
    use crate::row::RowsBuilder;
    use crate::schema::{Field, Schema};

    #[test]
    fn own_and_shared_values_are_the_same_scalars() {
        let values: Vec<Value> = vec![
            true.into(),
            Value::Null,
            7i32.into(),
            "grün".into(),
            crate::value::Decimal::new(1_250, 2).into(),
            Timestamp::micros(5).into(),
            Value::Unavailable,
            Date::Infinity.into(),
            Date::Days(-3).into(),
        ];
        let fields = (0..values.len()).map(|i| Field::optional(i.to_string(), DataType::TEXT));
        let schema = Schema::builder().fields(fields).key(["3", "2"]).build().unwrap();
        let mut block = RowsBuilder::new();
        values.iter().for_each(|value| block.value(value.clone()));
        let shared = block.row(&schema, 0).unwrap();
        block.value(Value::Bool(true));
        assert_eq!(shared.scalars().get(0), Scalar::Other, "the block is not sealed");
        block.seal();
        let own = Row::new(schema, values).unwrap();
        for row in [&own, &shared] {
            let scalars = row.scalars();
            let all: Vec<_> = (0..10).map(|index| scalars.get(index)).collect();
            let expected = [
                Scalar::Bool(true),
                Scalar::Null,
                Scalar::Int32(7),
                Scalar::Text("grün"),
                Scalar::Decimal { unscaled: 1_250, scale: 2 },
                Scalar::TimestampMicros(5),
                Scalar::Other,
                Scalar::Other,
                Scalar::Days(-3),
                Scalar::Other,
            ];
            assert_eq!(all, expected);
            let key = row.key().unwrap();
            let scalars = key.scalars();
            let all: Vec<_> = (0..3).map(|index| scalars.get(index)).collect();
            assert_eq!(all, [Scalar::Text("grün"), Scalar::Int32(7), Scalar::Other]);
        }
    }

    #[test]
    fn a_row_made_of_another_shows_its_own_values_and_those_of_the_other() {
        let schema = |names: &[&str]| {
            let fields = names.iter().map(|name| Field::optional(*name, DataType::TEXT));
            Schema::builder().fields(fields).build().unwrap()
        };
        let row = Row::new(schema(&["a", "b"]), vec![1i32.into(), "two".into()]).unwrap();
        let turned = row.select(schema(&["b", "a"]), &[1, 0]).unwrap();
        let longer = turned.extended(schema(&["b", "a", "c"]), vec![true.into()]).unwrap();
        let all: Vec<_> = (0..4).map(|index| longer.scalars().get(index)).collect();
        let expected = [Scalar::Text("two"), Scalar::Int32(1), Scalar::Bool(true), Scalar::Other];
        assert_eq!(all, expected);
    }
}
