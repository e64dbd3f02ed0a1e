//! `EnforceRecordSize`: long texts and bytes cut so that records stay below a limit.

use cdc_core::connect::{ConnectProfile, ConnectSchema, ConnectType, JavaValue};
use cdc_core::{
    ChangeEvent, Operation, Payload, Properties, Result, Row, Transform, Value, ValueType,
};

use crate::Side;
use crate::content::{Content, or_default};
use crate::options;

/// Cuts the texts and bytes of the rows in a change, the longer ones more, where the record would be larger than a limit
/// (`io.debezium.transforms.EnforceRecordSize`).
///
/// | option | default | |
/// |---|---|---|
/// | `max.bytes` | required | the limit of the estimated size in memory |
/// | `compression.ratio` | `1.0` | what the estimate is multiplied by |
/// | `min.field.size` | `25000` | fields up to this size stay whole |
///
/// The size is estimated, as Debezium does, in characters of UTF-16 and with room for objects; a character is never
/// cut in two. Records that came from Kafka pass.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::EnforceRecordSize;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// # let mut origin = some_origin();
/// # std::sync::Arc::make_mut(&mut origin.transaction).connector = "postgresql";
/// let mut enforce = EnforceRecordSize::new(1_000, 1.0, 10)?;
/// let long = "x".repeat(5_000);
/// let event = ChangeEvent::change(Destination::named("orders"), Change::create(shop::order(1, long.as_str())), origin);
/// let mut out = Vec::new();
/// enforce.apply(event, &mut out)?;
/// let note = out[0].after().and_then(|row| row.by_name("note"));
/// assert!(matches!(note, Some(cdc_core::ValueRef::Text(text)) if text.len() < 1_000));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct EnforceRecordSize {
    profile: ConnectProfile,
    max_bytes: i32,
    ratio: f64,
    min_field: i32,
}

/// A field that can be cut, and its size.
struct Cuttable {
    index: usize,
    size: i32,
}

impl EnforceRecordSize {
    /// A limit in bytes, the ratio of compression, and the size up to which fields stay whole.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for numbers that are too small.
    pub fn new(max_bytes: i32, compression_ratio: f64, min_field_size: i32) -> Result<Self> {
        if max_bytes <= 0 {
            let why = "Must be a positive integer";
            return Err(options::invalid("max.bytes", &max_bytes.to_string(), why));
        }
        if compression_ratio.is_nan() || compression_ratio <= 0.0 {
            let shown = JavaValue::Double(compression_ratio).to_header_text();
            return Err(options::invalid("compression.ratio", &shown, "Must be a positive number"));
        }
        if min_field_size < 0 {
            let why = "Must be non-negative";
            return Err(options::invalid("min.field.size", &min_field_size.to_string(), why));
        }
        Ok(EnforceRecordSize {
            profile: ConnectProfile::default(),
            max_bytes,
            ratio: compression_ratio,
            min_field: min_field_size,
        })
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        properties.required("max.bytes")?;
        let name = "compression.ratio";
        let ratio = match properties.get(name) {
            None => 1.0,
            Some(text) => text
                .trim()
                .parse()
                .map_err(|_| options::invalid(name, text, "Not a number of type DOUBLE"))?,
        };
        let max_bytes = properties.i32("max.bytes", 0)?;
        let mut enforce = Self::new(max_bytes, ratio, properties.i32("min.field.size", 25_000)?)?;
        enforce.profile = profile.clone();
        Ok(enforce)
    }

    fn cuttable(&self, row: Option<&Row>) -> Vec<Cuttable> {
        let Some(row) = row else { return Vec::new() };
        let fields = row.schema().fields().iter().enumerate();
        fields
            .filter_map(|(index, field)| {
                let value = or_default(row.value(index)?, &field.value_type, true);
                let size = match &value {
                    Value::Text(text) => units(text),
                    Value::Bytes(bytes) => bytes.len(),
                    _ => return None,
                };
                let size = i32::try_from(size).unwrap_or(i32::MAX);
                (size > self.min_field).then_some(Cuttable { index, size })
            })
            .collect()
    }

    /// By how many bytes a record is too large.
    fn excess(&self, event: &ChangeEvent) -> Result<i64> {
        let mut read = event.clone();
        let key = Content::take(&mut read, Side::Key, &self.profile)?;
        let value = Content::take(&mut read, Side::Value, &self.profile)?;
        // An entry each for the partition and the offset of the source, one for each header, and the timestamp.
        let overhead = 200 + 100 * event.headers.len() + 8 + event.destination.as_str().len();
        let mut size = overhead as f64;
        for content in [key, value] {
            if let Content::Struct(row) = content {
                size += self.row_size(&row) as f64;
            }
        }
        let current = (size * self.ratio).ceil() as i64;
        Ok(current - i64::from(self.max_bytes))
    }

    fn row_size(&self, row: &Row) -> u64 {
        let fields = row.schema().fields().iter().enumerate();
        let sizes = fields.map(|(index, field)| {
            let value = row.value(index).unwrap_or_default();
            8 + self.value_size(&field.value_type, &value)
        });
        56 + sizes.sum::<u64>()
    }

    fn value_size(&self, value_type: &ValueType, value: &Value) -> u64 {
        let schema = self.profile.connect_schema(value_type);
        match (schema.as_ref().map(ConnectSchema::connect_type), value) {
            (_, Value::Struct(row)) => self.row_size(row),
            (Some(ConnectType::Array(_)), Value::Array(array)) => {
                let cdc_core::DataType::Array(element) = &value_type.data_type else { return 64 };
                let sizes = array.values.iter().map(|value| 8 + self.value_size(element, value));
                64 + sizes.sum::<u64>()
            }
            (Some(ConnectType::Map(_)), Value::Map(entries)) => {
                let cdc_core::DataType::Map(types) = &value_type.data_type else { return 88 };
                let sizes = entries.iter().map(|(key, value)| {
                    16 + self.value_size(&types.0, key) + self.value_size(&types.1, value)
                });
                88 + sizes.sum::<u64>()
            }
            (Some(ConnectType::String | ConnectType::Bytes), Value::Null | Value::Unavailable) => 0,
            (Some(ConnectType::String), value) => {
                let length = match value {
                    Value::Text(text) => text.len(),
                    value => schema.and_then(|schema| schema.lower(&value.as_ref()).ok()).map_or(
                        0,
                        |lowered| match lowered {
                            Value::Text(text) => text.len(),
                            _ => 0,
                        },
                    ),
                };
                56 + length as u64
            }
            (Some(ConnectType::Bytes), value) => {
                let length = match value {
                    Value::Bytes(bytes) => bytes.len(),
                    Value::Decimal(decimal) => {
                        decimal.unscaled_be_bytes().map_or(0, |bytes| bytes.len())
                    }
                    Value::Bits(bits) => bits.bytes.len(),
                    _ => 0,
                };
                24 + length as u64
            }
            (Some(ConnectType::Struct(_) | ConnectType::Array(_) | ConnectType::Map(_)), _) => 0,
            _ => 24,
        }
    }

    /// Cuts the rows before and after; `None` where nothing is to be done.
    fn cut(
        &self,
        event: &ChangeEvent,
        before: Option<&Row>,
        after: Option<&Row>,
    ) -> Result<Option<(Option<Row>, Option<Row>)>> {
        let excess = self.excess(event)?;
        if excess <= 0 {
            return Ok(None);
        }
        let (of_before, of_after) = (self.cuttable(before), self.cuttable(after));
        let sum = |fields: &[Cuttable]| fields.iter().map(|f| i64::from(f.size)).sum::<i64>();
        let (before_bytes, after_bytes) = (sum(&of_before), sum(&of_after));
        let total = before_bytes + after_bytes;
        if total <= 0 {
            return Ok(None);
        }
        let share = |part: i64| (part as f64 / total as f64 * excess as f64).ceil();
        let cut = |row: Option<&Row>, fields: &[Cuttable], bytes: i64| {
            let mut row = row?.clone();
            let excess = share(bytes);
            for field in fields {
                let remove = (f64::from(field.size) / bytes as f64 * excess).ceil() as i32;
                let left = usize::try_from(field.size.saturating_sub(remove)).unwrap_or(0);
                let value = match row.value(field.index) {
                    Some(Value::Text(text)) => Value::text(first_units(&text, left)),
                    Some(Value::Bytes(bytes)) => Value::Bytes(bytes.slice(..left.min(bytes.len()))),
                    _ => continue,
                };
                row.set(field.index, value);
            }
            Some(row)
        };
        Ok(Some((cut(before, &of_before, before_bytes), cut(after, &of_after, after_bytes))))
    }
}

/// How many characters of UTF-16 a text has.
fn units(text: &str) -> usize {
    text.encode_utf16().count()
}

/// So many characters of UTF-16 at the beginning, never half a pair.
fn first_units(text: &str, count: usize) -> &str {
    let mut left = count;
    for (at, letter) in text.char_indices() {
        match left.checked_sub(letter.len_utf16()) {
            Some(rest) => left = rest,
            None => return text.get(..at).unwrap_or(text),
        }
    }
    text
}

impl Transform for EnforceRecordSize {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        if event.origin().transaction.connector == "kafka" {
            out.push(event);
            return Ok(());
        }
        match &event.value {
            Payload::Change(change) if change.operation != Operation::Table => {
                let cut = self.cut(&event, change.before.as_ref(), change.after.as_ref())?;
                if let (Some((before, after)), Payload::Change(change)) = (cut, &mut event.value) {
                    (change.before, change.after) = (before, after);
                }
            }
            Payload::Value { value: Value::Struct(row), .. } => {
                let place = |name: &str| {
                    let at = row.schema().index_of(name)?;
                    match row.value(at)? {
                        Value::Struct(image) => Some((at, image)),
                        _ => None,
                    }
                };
                let (before, after) = (place("before"), place("after"));
                let image =
                    |place: &Option<(usize, Row)>| place.as_ref().map(|(_, row)| row.clone());
                let cut = self.cut(&event, image(&before).as_ref(), image(&after).as_ref())?;
                if let Some((new_before, new_after)) = cut {
                    let mut row = row.clone();
                    for (place, image) in [(before, new_before), (after, new_after)] {
                        if let (Some((at, _)), Some(image)) = (place, image) {
                            row.set(at, Value::Struct(image));
                        }
                    }
                    event.value = Payload::row(row);
                }
            }
            _ => {}
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "EnforceRecordSize"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
