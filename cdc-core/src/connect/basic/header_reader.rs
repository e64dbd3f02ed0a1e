//! `SimpleHeaderConverter` on reading: the type of a text is guessed, as `org.apache.kafka.connect.data.Values` does.

use std::sync::Arc;

use crate::connect::{iso, semantic_names as names};
use crate::data_type::{ConnectAttributes, DataType, ValueType};
use crate::event::Payload;
use crate::value::{Array, Date, Decimal, Time, TimeUnit, Timestamp, Value};

use super::outside;

/// How deep lists and maps may nest; deeper ones are text.
const MAX_DEPTH: usize = 200;

/// The value of a header. A list or map whose values have no common type is schemaless.
pub(crate) fn read(text: &str) -> Payload {
    if text.is_empty() {
        return string(text);
    }
    let mut reader = Reader { text, at: 0, pending: None };
    match reader.parse(false, 0) {
        Ok(Some(Guess { schema: Some(schema), value })) => {
            Payload::Value { schema: Some(Arc::new(schema)), value }
        }
        Ok(Some(Guess { schema: None, value })) => Payload::Value { schema: None, value },
        Ok(None) => Payload::Absent,
        Err(NotALiteral) => string(text),
    }
}

fn string(text: &str) -> Payload {
    let schema = Some(Arc::new(outside(DataType::TEXT)));
    Payload::Value { schema, value: Value::text(text) }
}

/// The text cannot be read as a list or a map, or holds what is neither quoted nor a literal.
#[derive(Debug)]
struct NotALiteral;

#[derive(Debug, Clone)]
struct Guess {
    schema: Option<ValueType>,
    value: Value,
}

impl Guess {
    fn typed(data_type: DataType, value: Value) -> Self {
        Guess { schema: Some(outside(data_type)), value }
    }

    fn named(name: &str, data_type: DataType, value: Value) -> Self {
        let attributes = ConnectAttributes {
            name: Some(name.into()),
            version: Some(1),
            ..ConnectAttributes::default()
        };
        Guess { schema: Some(ValueType::required(data_type).with_connect(attributes)), value }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    pending: Option<&'a str>,
}

type Parsed = Result<Option<Guess>, NotALiteral>;

impl<'a> Reader<'a> {
    fn has_next(&self) -> bool {
        self.pending.is_some() || self.at < self.text.len()
    }

    /// A delimiter, or the text up to one; a backslash takes the meaning from a delimiter.
    fn token(&mut self) -> &'a str {
        let start = self.at;
        let mut escaped = false;
        for (offset, letter) in self.text[start..].char_indices() {
            match letter {
                '\\' => escaped = !escaped,
                ':' | ',' | '{' | '}' | '[' | ']' | '"' if !escaped => {
                    self.at = start + offset.max(1);
                    return &self.text[start..self.at];
                }
                _ => escaped = false,
            }
        }
        self.at = self.text.len();
        &self.text[start..]
    }

    fn next(&mut self) -> &'a str {
        match self.pending.take() {
            Some(token) => token,
            None => self.token(),
        }
    }

    fn mark(&self) -> usize {
        self.at - self.pending.map_or(0, str::len)
    }

    fn rewind(&mut self, to: usize) {
        self.at = to;
        self.pending = None;
    }

    fn consume(&mut self, expected: &str, ignore_space: bool) -> bool {
        let mut token = match self.pending {
            Some(token) => token,
            None if self.at < self.text.len() => self.token(),
            None => return false,
        };
        while ignore_space && is_blank(token) && self.at < self.text.len() {
            token = self.token();
        }
        let there = if ignore_space { java_trim(token) == expected } else { token == expected };
        self.pending = (!there).then_some(token);
        there
    }

    fn parse(&mut self, embedded: bool, depth: usize) -> Parsed {
        if !self.has_next() || depth > MAX_DEPTH {
            return if depth > MAX_DEPTH { Err(NotALiteral) } else { Ok(None) };
        }
        if embedded && self.consume("\"", true) {
            return Ok(Some(self.quoted()));
        }
        if self.consume("null", true) {
            return Ok(None);
        }
        for (literal, value) in [("true", true), ("false", false)] {
            if self.consume(literal, true) {
                return Ok(Some(Guess::typed(DataType::Bool, Value::Bool(value))));
            }
        }
        let start = self.mark();
        let nested = if self.consume("[", true) {
            Some(self.list(depth))
        } else if self.consume("{", true) {
            Some(self.map(depth))
        } else {
            None
        };
        match nested {
            Some(Ok(guess)) => return Ok(Some(guess)),
            Some(Err(NotALiteral)) => self.rewind(start),
            None => {}
        }
        let token = self.next();
        if is_blank(token) {
            return Ok(Some(Guess::typed(DataType::TEXT, Value::text(token))));
        }
        self.literal(embedded, java_trim(token)).map(Some)
    }

    fn literal(&mut self, embedded: bool, token: &str) -> Result<Guess, NotALiteral> {
        let first = token.chars().next().unwrap_or(' ');
        if first.is_ascii_digit()
            && let Some(guess) = self.temporal_of_several(token)
        {
            return Ok(guess);
        }
        if (first.is_ascii_digit() || matches!(first, '+' | '-'))
            && let Some(guess) = number(token)
        {
            return Ok(guess);
        }
        if embedded {
            return Err(NotALiteral);
        }
        Ok(Guess::typed(DataType::TEXT, Value::text(self.text)))
    }

    /// The colons of a time are delimiters, so that it is five tokens.
    fn temporal_of_several(&mut self, token: &str) -> Option<Guess> {
        let position = self.mark();
        let mut complete = true;
        for _ in 0..4 {
            if !self.has_next() {
                complete = false;
                break;
            }
            self.next();
        }
        if complete
            && let Some(rest) = self.text.get(position..self.at)
            && let Some(guess) = temporal(&format!("{token}{rest}"))
        {
            return Some(guess);
        }
        self.rewind(position);
        temporal(token)
    }

    fn quoted(&mut self) -> Guess {
        let mut content = String::new();
        while self.has_next() {
            if self.consume("\"", false) {
                break;
            }
            content.push_str(self.next());
        }
        temporal(&content).unwrap_or_else(|| Guess::typed(DataType::TEXT, Value::text(content)))
    }

    fn list(&mut self, depth: usize) -> Result<Guess, NotALiteral> {
        let mut items: Vec<Option<Guess>> = Vec::new();
        while self.has_next() {
            if self.consume("]", true) {
                let common = common(&items);
                let values = aligned(&items, common.as_ref())?;
                let value = Value::Array(Arc::new(Array::new(values)));
                let schema = common.map(|element| outside(DataType::Array(Arc::new(element))));
                return Ok(Guess { schema, value });
            }
            if self.consume(",", true) {
                return Err(NotALiteral);
            }
            items.push(self.parse(true, depth + 1)?);
            let position = self.mark();
            if self.consume("]", true) {
                self.rewind(position);
            } else if !self.consume(",", true) {
                return Err(NotALiteral);
            }
        }
        Err(NotALiteral)
    }

    fn map(&mut self, depth: usize) -> Result<Guess, NotALiteral> {
        let (mut keys, mut values): (Vec<Option<Guess>>, Vec<Option<Guess>>) = Default::default();
        while self.has_next() {
            if self.consume("}", true) {
                let (key, value) = (common(&keys), common(&values));
                let pairs = aligned(&keys, key.as_ref())?
                    .into_iter()
                    .zip(aligned(&values, value.as_ref().filter(|_| key.is_some()))?);
                let pairs = Value::Map(pairs.collect());
                let schema = key.zip(value).map(|entry| outside(DataType::Map(Arc::new(entry))));
                return Ok(Guess { schema, value: pairs });
            }
            if self.consume(",", true) {
                return Err(NotALiteral);
            }
            let key = self.parse(true, depth + 1)?.ok_or(NotALiteral)?;
            if !self.consume(":", true) {
                return Err(NotALiteral);
            }
            let value = self.parse(true, depth + 1)?;
            self.consume(",", true);
            match keys.iter().position(|k| k.as_ref().is_some_and(|k| k.value == key.value)) {
                Some(at) => values[at] = value,
                None => {
                    keys.push(Some(key));
                    values.push(value);
                }
            }
        }
        Err(NotALiteral)
    }
}

/// The type that all have, integers and floats widened; `None` when there is none.
fn common(items: &[Option<Guess>]) -> Option<ValueType> {
    let mut found: Option<ValueType> = None;
    for item in items.iter().flatten() {
        let schema = item.schema.clone()?;
        found = Some(match found {
            None => schema,
            Some(previous) => match (rank(&previous), rank(&schema)) {
                (Some(a), Some(b)) => {
                    if b >= a {
                        schema
                    } else {
                        previous
                    }
                }
                _ if previous == schema => schema,
                _ => return None,
            },
        });
    }
    found
}

/// How wide a number is, dates and times among them as what Connect stores; `None` for other types.
fn rank(schema: &ValueType) -> Option<u8> {
    Some(match schema.data_type {
        DataType::Int8 => 0,
        DataType::Int16 => 1,
        DataType::Int32 | DataType::Date | DataType::Time { .. } => 2,
        DataType::Int64 | DataType::Timestamp { .. } => 3,
        DataType::Float32 => 4,
        DataType::Float64 => 5,
        _ => return None,
    })
}

/// The values under the common type, which allows no null.
fn aligned(items: &[Option<Guess>], common: Option<&ValueType>) -> Result<Vec<Value>, NotALiteral> {
    items
        .iter()
        .map(|item| match (item, common) {
            // A number beside a date, or a date beside a time.
            (Some(guess), Some(common)) if !is_plain(guess.schema.as_ref(), common) => {
                Err(NotALiteral)
            }
            (Some(guess), Some(common)) => Ok(widened(&guess.value, &common.data_type)),
            (Some(guess), None) => Ok(guess.value.clone()),
            (None, None) => Ok(Value::Null),
            (None, Some(_)) => Err(NotALiteral),
        })
        .collect()
}

/// Whether the type is the common one, or both are numbers without a name.
fn is_plain(schema: Option<&ValueType>, common: &ValueType) -> bool {
    let number = |schema: &ValueType| {
        !matches!(
            schema.data_type,
            DataType::Date | DataType::Time { .. } | DataType::Timestamp { .. }
        )
    };
    schema.is_some_and(|schema| schema == common || (number(schema) && number(common)))
}

fn widened(value: &Value, to: &DataType) -> Value {
    let number = match value {
        Value::Int8(v) => i64::from(*v),
        Value::Int16(v) => i64::from(*v),
        Value::Int32(v) => i64::from(*v),
        Value::Int64(v) => *v,
        Value::Float32(v) if *to == DataType::Float64 => return Value::Float64(f64::from(*v)),
        other => return other.clone(),
    };
    match to {
        DataType::Int16 => i16::try_from(number).map_or_else(|_| value.clone(), Value::Int16),
        DataType::Int32 => i32::try_from(number).map_or_else(|_| value.clone(), Value::Int32),
        DataType::Int64 => Value::Int64(number),
        DataType::Float32 => {
            number.to_string().parse().map_or_else(|_| value.clone(), Value::Float32)
        }
        DataType::Float64 => {
            number.to_string().parse().map_or_else(|_| value.clone(), Value::Float64)
        }
        _ => value.clone(),
    }
}

/// The smallest integer type that holds a whole number, else FLOAT32, FLOAT64 or `Decimal`.
fn number(token: &str) -> Option<Guess> {
    let decimal: Decimal = token.parse().ok().filter(Decimal::is_finite)?;
    let scale = decimal.scale()?;
    let whole = decimal.rescale(0).and_then(|whole| whole.unscaled());
    if let Some(integer) = whole.and_then(|whole| i64::try_from(whole).ok()) {
        return Some(if let Ok(v) = i8::try_from(integer) {
            Guess::typed(DataType::Int8, Value::Int8(v))
        } else if let Ok(v) = i16::try_from(integer) {
            Guess::typed(DataType::Int16, Value::Int16(v))
        } else if let Ok(v) = i32::try_from(integer) {
            Guess::typed(DataType::Int32, Value::Int32(v))
        } else {
            Guess::typed(DataType::Int64, Value::Int64(integer))
        });
    }
    if scale != 0 {
        let text = decimal_text(&decimal);
        if let Some(v) = text.parse::<f32>().ok().filter(|v| v.is_finite()) {
            return Some(Guess::typed(DataType::Float32, Value::Float32(v)));
        }
        if let Some(v) = text.parse::<f64>().ok().filter(|v| v.is_finite()) {
            return Some(Guess::typed(DataType::Float64, Value::Float64(v)));
        }
    }
    let attributes = ConnectAttributes {
        name: Some(names::DECIMAL.into()),
        version: Some(1),
        doc: None,
        parameters: vec![("scale".into(), scale.to_string().into())],
    };
    let data_type = DataType::Decimal { precision: None, scale: Some(scale) };
    let schema = ValueType::required(data_type).with_connect(attributes);
    Some(Guess { schema: Some(schema), value: Value::Decimal(decimal) })
}

fn decimal_text(decimal: &Decimal) -> String {
    let mut out = Vec::new();
    crate::connect::java_numbers::write_big_decimal(decimal, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

/// `2024-01-02`, `12:34:56.789Z` and `2024-01-02T12:34:56.789Z`, told by their lengths.
fn temporal(token: &str) -> Option<Guess> {
    let token = token.replace("\\:", ":");
    match token.len() {
        10 => {
            let days = i32::try_from(iso::lenient_day(&token)?).ok()?;
            Some(Guess::named(names::CONNECT_DATE, DataType::Date, Value::Date(Date::Days(days))))
        }
        13 => {
            let value = iso::lenient_clock(&token)?;
            let time = Value::Time(Time { value, unit: TimeUnit::Milli });
            Some(Guess::named(names::CONNECT_TIME, DataType::Time { precision: 3 }, time))
        }
        24 => {
            let (day, clock) = token.split_once('T')?;
            let value = iso::lenient_day(day)? * 86_400_000 + iso::lenient_clock(clock)?;
            let at = Value::Timestamp(Timestamp::At { value, unit: TimeUnit::Milli });
            let data_type = DataType::Timestamp { precision: 3 };
            Some(Guess::named(names::CONNECT_TIMESTAMP, data_type, at))
        }
        _ => None,
    }
}

fn is_blank(text: &str) -> bool {
    java_trim(text).is_empty()
}

/// `String.trim`: everything up to the blank goes.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|letter: char| letter <= ' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(text: &str) -> Value {
        match read(text) {
            Payload::Value { value, .. } => value,
            _ => Value::Null,
        }
    }

    #[test]
    fn integers_take_the_smallest_type() {
        assert_eq!(value("127"), Value::Int8(127));
        assert_eq!(value("128"), Value::Int16(128));
        assert_eq!(value("1.0"), Value::Int8(1));
        assert_eq!(value("1.10"), Value::Float32(1.1));
        assert_eq!(value("abc"), Value::text("abc"));
    }

    #[test]
    fn lists_widen_to_a_common_type() {
        let list = Value::Array(Arc::new(Array::new(vec![Value::Int16(1), Value::Int16(300)])));
        assert_eq!(value("[1, 300]"), list);
        assert_eq!(value("[a]"), Value::text("[a]"));
        assert_eq!(value("[1,"), Value::text("[1,"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",:0-9a-fnrtuTZ\\\\.eE+\\- é]{0,60}") {
            let _ = read(&text);
        }
    }

    #[test]
    fn deep_nesting_is_text() {
        let deep = "[".repeat(100_000);
        assert_eq!(value(&deep), Value::text(deep.as_str()));
    }
}
