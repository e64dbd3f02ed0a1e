//! Rows as the user's own types, through serde.
//!
//! | column | becomes |
//! |---|---|
//! | text, enum, xml, network, any type kept as text | `&str` (borrowed), `String`, a unit variant of an enum |
//! | integers | every integer type that the value fits, floats |
//! | decimal | `String` or `&str`-like text; floats; integers when it is whole |
//! | date, time, timestamp, interval | ISO 8601 text; an integer: days for a date, else microseconds (not for an interval) |
//! | uuid, bits | text |
//! | json | any type, parsed; a `&str` or `String` gets the text |
//! | bytes | `&[u8]` types such as `serde_bytes`, `Vec<u8>` |
//! | array | `Vec` |
//! | NULL | `None`, `()` |
//! | not sent by the server | left out: `None` or `#[serde(default)]` |

mod cell;

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess,
    Visitor,
};
use serde::forward_to_deserialize_any;

use self::cell::Cell;
use crate::error::{Error, Result};
use crate::event::ChangeEvent;
use crate::row::Row;

impl Row {
    /// The row as the user's own type: a struct or a map by the names of the columns, or a tuple by their order.
    ///
    /// `&str` fields borrow from the row. What becomes of which column stands at the head of this module's source:
    /// integers take every width that fits, decimals are text or floats, temporals ISO 8601 text or microseconds (days
    /// for dates), JSON documents are parsed, arrays are `Vec`s, and columns that the server did not send are left out.
    ///
    /// ```
    /// use cdc_core::{DataType, Field, Row, Schema};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Order<'a> {
    ///     id: u32,
    ///     note: Option<&'a str>,
    /// }
    ///
    /// let schema = Schema::builder()
    ///     .field(Field::required("id", DataType::Int64))
    ///     .field(Field::optional("note", DataType::TEXT))
    ///     .build()?;
    /// let row = Row::new(schema, vec![7i64.into(), "urgent".into()])?;
    /// let order: Order = row.deserialize()?;
    /// assert_eq!((order.id, order.note), (7, Some("urgent")));
    /// # Ok::<(), cdc_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data), naming the column, when a value does not fit.
    pub fn deserialize<'de, T: Deserialize<'de>>(&'de self) -> Result<T> {
        T::deserialize(RowDeserializer(self)).map_err(|misfit| misfit.into_error(self))
    }
}

impl ChangeEvent {
    /// The row after the change as the user's own type; `None` for a delete or an event without a row.
    ///
    /// ```
    /// use cdc_core::testkit::shop;
    /// use cdc_core::{Change, ChangeEvent, Destination, TableId};
    /// # use cdc_core::testkit::some_origin;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Order<'a> {
    ///     id: i64,
    ///     note: &'a str,
    /// }
    ///
    /// let orders = Destination::of_table(&TableId::new("public", "orders"));
    /// let event = ChangeEvent::change(orders, Change::create(shop::order(1, "pen")), some_origin());
    /// let order: Order = event.after_as()?.expect("a created row");
    /// assert_eq!((order.id, order.note), (1, "pen"));
    /// # Ok::<(), cdc_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data), naming the table and the column, when a value does not fit.
    pub fn after_as<'de, T: Deserialize<'de>>(&'de self) -> Result<Option<T>> {
        self.after().map(Row::deserialize).transpose().map_err(|error| self.in_table(error))
    }

    /// The row before the change as the user's own type; fields of columns that were not sent need a default.
    ///
    /// # Errors
    /// As [`ChangeEvent::after_as`].
    pub fn before_as<'de, T: Deserialize<'de>>(&'de self) -> Result<Option<T>> {
        self.before().map(Row::deserialize).transpose().map_err(|error| self.in_table(error))
    }

    /// The key as the user's own type; `None` without a key.
    ///
    /// # Errors
    /// As [`ChangeEvent::after_as`].
    pub fn key_as<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.key.as_row().map(Row::deserialize).transpose().map_err(|error| self.in_table(error))
    }

    fn in_table(&self, error: Error) -> Error {
        match &self.origin().table {
            Some(table) => error.context(table),
            None => error.context(&self.destination),
        }
    }
}

/// A value that does not fit its field.
#[derive(Debug, Default)]
struct Misfit {
    /// The column, and the fields inside it, innermost first.
    path: Vec<String>,
    missing: Option<&'static str>,
    is_null: bool,
    message: String,
}

impl Misfit {
    fn null() -> Self {
        Misfit { is_null: true, message: "is NULL".to_owned(), ..Misfit::default() }
    }

    fn at(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }

    fn into_error(mut self, row: &Row) -> Error {
        if let Some(name) = self.missing {
            let unsent = row.by_name(name).is_some_and(|value| value.is_unavailable());
            if self.path.is_empty() && unsent {
                return Error::data(format!(
                    "column {name} was not sent by the server (unchanged TOAST value?)"
                ))
                .remedy("make the field an Option, or give it #[serde(default)]");
            }
        }
        self.path.reverse();
        let message = match (self.path.is_empty(), self.is_null) {
            (true, _) => self.message,
            (false, true) => format!("column {} {}", self.path.join("."), self.message),
            (false, false) => format!("column {}: {}", self.path.join("."), self.message),
        };
        let error = Error::data(message);
        if self.is_null { error.remedy("make the field an Option") } else { error }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Misfit { message: message.to_string(), ..Misfit::default() }
    }

    fn missing_field(field: &'static str) -> Self {
        let message = format!("there is no column {field}");
        Misfit { missing: Some(field), message, ..Misfit::default() }
    }
}

struct RowDeserializer<'de>(&'de Row);

impl<'de> Deserializer<'de> for RowDeserializer<'de> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_map(Columns { row: self.0, next: 0, value: None })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_seq(Columns { row: self.0, next: 0, value: None })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct map struct enum identifier
    }
}

/// The columns that were sent, one after the other.
struct Columns<'de> {
    row: &'de Row,
    next: usize,
    value: Option<(&'de str, Cell<'de>)>,
}

impl<'de> Columns<'de> {
    fn step(&mut self) -> Option<(&'de str, Cell<'de>)> {
        let field = self.row.schema().field(self.next)?;
        let value = self.row.get(self.next)?;
        self.next += 1;
        Some((&field.name, Cell { value, data_type: Some(field.data_type()) }))
    }
}

impl<'de> MapAccess<'de> for Columns<'de> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Misfit> {
        loop {
            let Some((name, cell)) = self.step() else { return Ok(None) };
            if !cell.value.is_unavailable() {
                self.value = Some((name, cell));
                return seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some);
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Misfit> {
        let Some((name, cell)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(cell).map_err(|misfit| misfit.at(name))
    }
}

impl<'de> SeqAccess<'de> for Columns<'de> {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Misfit> {
        let Some((name, cell)) = self.step() else { return Ok(None) };
        seed.deserialize(cell).map(Some).map_err(|misfit| misfit.at(name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};
    use std::sync::Arc;

    use super::*;
    use crate::data_type::{DataType, ValueType};
    use crate::schema::{Field, Schema};
    use crate::value::{
        Array, Date, Decimal, Interval, Time, TimeUnit, Timestamp, Uuid, Value, ValueRef,
    };

    fn row(columns: Vec<(&str, DataType, Value)>) -> Row {
        let (fields, values): (Vec<_>, Vec<_>) = columns
            .into_iter()
            .map(|(name, data_type, value)| (Field::optional(name, data_type), value))
            .unzip();
        Row::new(Schema::builder().fields(fields).build().unwrap(), values).unwrap()
    }

    fn one<'de, T: Deserialize<'de>>(row: &'de Row) -> Result<T> {
        row.deserialize::<(T,)>().map(|(value,)| value)
    }

    #[test]
    fn text_is_borrowed_from_the_row() {
        #[derive(serde::Deserialize)]
        struct Borrowed<'a> {
            note: &'a str,
        }
        let row = row(vec![("note", DataType::TEXT, "n".into())]);
        let Borrowed { note } = row.deserialize().unwrap();
        assert_eq!(Some(ValueRef::Text(note)), row.get(0));
    }

    #[test]
    fn a_column_that_was_not_sent_is_left_out() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Tolerant {
            id: i32,
            note: Option<String>,
            #[serde(default)]
            size: u8,
        }
        #[derive(Debug, serde::Deserialize)]
        struct Strict {
            #[serde(rename = "note")]
            _note: String,
        }
        let row = row(vec![
            ("id", DataType::Int32, 1i32.into()),
            ("note", DataType::TEXT, Value::Unavailable),
            ("size", DataType::Int32, Value::Unavailable),
        ]);
        let tolerant: Tolerant = row.deserialize().unwrap();
        assert_eq!(tolerant, Tolerant { id: 1, note: None, size: 0 });
        assert_eq!(
            row.deserialize::<Strict>().unwrap_err().to_string(),
            "column note was not sent by the server (unchanged TOAST value?); make the field an Option, or give it \
             #[serde(default)]"
        );
        assert_eq!(
            row.deserialize::<HashMap<String, i32>>().unwrap(),
            HashMap::from([("id".into(), 1)])
        );
    }

    #[test]
    fn errors_name_the_column() {
        let small = row(vec![("size", DataType::Int32, 300i32.into())]);
        let error = small.deserialize::<HashMap<String, u8>>().unwrap_err();
        assert_eq!(error.to_string(), "column size: invalid value: integer `300`, expected u8");
        let null = row(vec![("note", DataType::TEXT, Value::Null)]);
        let error = null.deserialize::<HashMap<String, String>>().unwrap_err();
        assert_eq!(error.to_string(), "column note is NULL; make the field an Option");
        #[derive(Debug, serde::Deserialize)]
        struct Other {
            #[serde(rename = "price")]
            _price: i32,
        }
        let error = null.deserialize::<Other>().unwrap_err();
        assert_eq!(error.to_string(), "there is no column price");
    }

    #[test]
    fn integers_of_any_width_and_decimals_of_any_use() {
        let number = row(vec![("n", DataType::Int16, 7i16.into())]);
        assert_eq!(one::<u64>(&number).unwrap(), 7);
        assert_eq!(one::<i128>(&number).unwrap(), 7);
        assert_eq!(one::<f64>(&number).unwrap(), 7.0);
        let price = |text: &str| {
            row(vec![("p", DataType::DECIMAL, text.parse::<Decimal>().unwrap().into())])
        };
        assert_eq!(one::<String>(&price("12.50")).unwrap(), "12.50");
        assert_eq!(one::<f64>(&price("12.50")).unwrap(), 12.5);
        assert_eq!(one::<i64>(&price("12.00")).unwrap(), 12);
        let error = one::<i64>(&price("12.50")).unwrap_err();
        assert_eq!(error.to_string(), "column p: decimal 12.50 does not fit an integer");
    }

    #[test]
    fn temporals_are_text_or_a_count() {
        let instant = Value::Timestamp(Timestamp::micros(1_500_000));
        let at = row(vec![("at", DataType::TimestampTz { precision: 6 }, instant.clone())]);
        assert_eq!(one::<String>(&at).unwrap(), "1970-01-01T00:00:01.5Z");
        assert_eq!(one::<i64>(&at).unwrap(), 1_500_000);
        let local = row(vec![("at", DataType::Timestamp { precision: 6 }, instant)]);
        assert_eq!(one::<String>(&local).unwrap(), "1970-01-01T00:00:01.5");
        let day = row(vec![("day", DataType::Date, Value::Date(Date::Days(-1)))]);
        assert_eq!(one::<String>(&day).unwrap(), "1969-12-31");
        assert_eq!(one::<i32>(&day).unwrap(), -1);
        let never = row(vec![("day", DataType::Date, Value::Date(Date::Infinity))]);
        assert_eq!(one::<String>(&never).unwrap(), "infinity");
        let error = one::<i32>(&never).unwrap_err();
        assert_eq!(error.to_string(), "column day: date infinity does not fit an integer");
        let noon = Time { value: 43_200, unit: TimeUnit::Second };
        let time = row(vec![("t", DataType::Time { precision: 0 }, noon.into())]);
        assert_eq!(one::<i64>(&time).unwrap(), 43_200_000_000);
        let week = Interval::Span { months: 0, days: 7, micros: 0 };
        let span = row(vec![("s", DataType::Interval, week.into())]);
        assert_eq!(one::<String>(&span).unwrap(), "P7D");
        let id = row(vec![("u", DataType::Uuid, Uuid([0; 16]).into())]);
        assert_eq!(one::<String>(&id).unwrap(), "00000000-0000-0000-0000-000000000000");
    }

    #[test]
    fn json_is_parsed_where_something_parsed_is_asked_for() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Tags<'a> {
            #[serde(borrow)]
            tags: Vec<&'a str>,
        }
        let document = r#"{"tags":["a","b"]}"#;
        let json = row(vec![("doc", DataType::Json, document.into())]);
        assert_eq!(one::<&str>(&json).unwrap(), document);
        assert_eq!(one::<String>(&json).unwrap(), document);
        assert_eq!(one::<Tags>(&json).unwrap(), Tags { tags: vec!["a", "b"] });
        assert_eq!(one::<BTreeMap<String, Vec<String>>>(&json).unwrap()["tags"].len(), 2);
        assert_eq!(one::<serde_json::Value>(&json).unwrap()["tags"][1], "b");
        let bad = row(vec![("doc", DataType::Json, "{".into())]);
        let error = one::<serde_json::Value>(&bad).unwrap_err().to_string();
        assert!(error.starts_with("column doc: JSON: "), "{error}");
    }

    #[test]
    fn arrays_enums_newtypes_and_bytes() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Mood {
            Happy,
        }
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Id(i64);

        let of = |element| DataType::Array(Arc::new(ValueType::optional(element)));
        let array = |values| Value::Array(Arc::new(Array::new(values)));
        let flat = row(vec![("a", of(DataType::Int32), array(vec![1i32.into(), Value::Null]))]);
        assert_eq!(one::<Vec<Option<i32>>>(&flat).unwrap(), [Some(1), None]);
        let inner = || array(vec![r#"{"k":1}"#.into()]);
        let nested = row(vec![("a", of(DataType::Json), array(vec![inner(), inner()]))]);
        assert_eq!(one::<Vec<Vec<serde_json::Value>>>(&nested).unwrap()[1][0]["k"], 1);
        let mood = DataType::Enum { labels: Arc::from(["happy".into()]) };
        assert_eq!(one::<Mood>(&row(vec![("m", mood, "happy".into())])).unwrap(), Mood::Happy);
        assert_eq!(one::<Id>(&row(vec![("id", DataType::Int64, 5i64.into())])).unwrap(), Id(5));
        let bytes = row(vec![("b", DataType::BYTES, bytes::Bytes::from_static(&[1, 2]).into())]);
        assert_eq!(one::<Vec<u8>>(&bytes).unwrap(), [1, 2]);
        assert_eq!(one::<&[u8]>(&bytes).unwrap(), [1, 2]);
        assert_eq!(
            one::<Option<()>>(&row(vec![("x", DataType::TEXT, Value::Null)])).unwrap(),
            None
        );
    }

    #[test]
    fn nested_structs_name_the_whole_path() {
        let address = row(vec![("city", DataType::TEXT, 5i32.into())]);
        let data_type = DataType::Struct(Arc::clone(address.schema()));
        let person = row(vec![("address", data_type, Value::Struct(address))]);
        let error = person.deserialize::<HashMap<String, HashMap<String, String>>>().unwrap_err();
        assert!(error.to_string().starts_with("column address.city: "), "{error}");
    }
}
