//! `PartitionRouting`: the partition by fields of the change.

use cdc_core::connect::{ConnectProfile, JavaValue};
use cdc_core::{ChangeEvent, Error, Operation, Payload, Properties, Result, Row, Transform, Value};

use crate::Side;
use crate::content::{Content, struct_type};
use crate::envelope::Envelope;
use crate::java_hash::{hash_code, murmur};
use crate::options;

/// The function that makes a number of the fields: `partition.hash.function`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PartitionHash {
    /// Java's `hashCode` (`java`).
    #[default]
    Java,
    /// MurmurHash3 (`murmur`).
    Murmur,
}

/// Chooses the partition by fields of the change (`io.debezium.transforms.partitions.PartitionRouting`).
///
/// | option | default | |
/// |---|---|---|
/// | `partition.payload.fields` | required | fields: `op`, `source.table`, `change.id` (of the row after, or before where it was deleted) |
/// | `partition.topic.num` | required | how many partitions there are |
/// | `partition.hash.function` | `java` | `java` or `murmur` |
///
/// A field that does not exist does not count; without any the partition stays. A change stays a change.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::{PartitionHash, PartitionRouting};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// # let mut origin = some_origin();
/// # std::sync::Arc::make_mut(&mut origin.transaction).connector = "postgresql";
/// let mut route = PartitionRouting::new(["change.id"], 10, PartitionHash::Java)?;
/// let event = ChangeEvent::change(Destination::named("orders"), Change::create(shop::order(7, "pen")), origin);
/// let mut out = Vec::new();
/// route.apply(event, &mut out)?;
/// assert_eq!(out[0].partition, Some(7));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PartitionRouting {
    profile: ConnectProfile,
    fields: Vec<Vec<String>>,
    partitions: i32,
    hash: PartitionHash,
}

impl PartitionRouting {
    /// Routes by these fields to so many partitions.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) without a partition.
    pub fn new<'a>(
        fields: impl IntoIterator<Item = &'a str>,
        partitions: i32,
        hash: PartitionHash,
    ) -> Result<Self> {
        if partitions < 1 {
            return Err(options::debezium_invalid(
                "partition.topic.num",
                &partitions.to_string(),
                "A positive, non-zero integer value is required",
            ));
        }
        let fields = fields
            .into_iter()
            .map(|path| path.split('.').map(|step| step.trim().to_owned()).collect());
        Ok(PartitionRouting {
            profile: ConnectProfile::default(),
            fields: fields.collect(),
            partitions,
            hash,
        })
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Debezium's words.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let name = "partition.payload.fields";
        let fields = options::debezium_required(properties, name)?;
        let list: Vec<&str> = fields.split(',').map(str::trim).collect();
        if list.iter().any(|field| field.is_empty()) {
            return Err(options::debezium_invalid(
                name,
                fields,
                "Empty string element(s) not permitted",
            ));
        }
        let name = "partition.topic.num";
        options::debezium_required(properties, name)?;
        let partitions = properties.i32(name, 0)?;
        let hash = match properties.get("partition.hash.function").map(str::trim) {
            Some(word) if word.eq_ignore_ascii_case("murmur") => PartitionHash::Murmur,
            _ => PartitionHash::Java,
        };
        let mut routing = Self::new(list, partitions, hash)?;
        routing.profile = profile.clone();
        Ok(routing)
    }

    /// The sum of the hashes of the fields; `None` without any.
    fn hash(&self, envelope: Envelope<'_>) -> Result<Option<i32>> {
        let image = match envelope.operation().as_deref() {
            Some("d") => "before",
            _ => "after",
        };
        let mut sum: Option<i32> = None;
        for path in &self.fields {
            let Some(value) = self.value(envelope, path, image)? else { continue };
            let hash = match self.hash {
                PartitionHash::Java => hash_code(&value),
                PartitionHash::Murmur => murmur(&value),
            };
            let hash = hash.ok_or_else(|| self.unprocessable(envelope))?;
            sum = Some(sum.unwrap_or(0).wrapping_add(hash));
        }
        Ok(sum)
    }

    fn value(
        &self,
        envelope: Envelope<'_>,
        path: &[String],
        image: &str,
    ) -> Result<Option<JavaValue>> {
        let Some((last, parents)) = path.split_last() else { return Ok(None) };
        let mut row = envelope.row().clone();
        for (depth, parent) in parents.iter().enumerate() {
            let name = if depth == 0 && parent == "change" { image } else { parent };
            let Some(at) = row.schema().index_of(name) else { return Ok(None) };
            row = match row.value(at) {
                Some(Value::Struct(row)) => row,
                _ => return Err(self.unprocessable(envelope)),
            };
        }
        let Some(at) = row.schema().index_of(last) else { return Ok(None) };
        let Some(field) = row.schema().field(at) else { return Ok(None) };
        let value = row.value(at).unwrap_or_default();
        let value = match (&value, &field.value_type.default) {
            (Value::Null, Some(default)) => default.clone(),
            _ => value,
        };
        if matches!(value, Value::Null | Value::Unavailable) {
            return Ok(None);
        }
        let schema = self.profile.connect_schema(&field.value_type);
        JavaValue::of(schema.as_ref(), &value.as_ref()).map(Some)
    }

    fn unprocessable(&self, envelope: Envelope<'_>) -> Error {
        let schema = self.profile.connect_schema(&struct_type(envelope.row().schema()));
        let row = Value::Struct(envelope.row().clone());
        let text = JavaValue::of(schema.as_ref(), &row.as_ref()).and_then(|value| value.to_text());
        Error::data(format!("Unprocessable message {}", text.unwrap_or_default()))
    }

    fn partition(&self, row: &Row) -> Result<Option<i32>> {
        let payload = Payload::row(row.clone());
        let Some(envelope) = Envelope::of(&payload) else { return Ok(None) };
        if envelope.operation().as_deref() == Some("t") {
            return Ok(None);
        }
        Ok(self.hash(envelope)?.map(|hash| match hash & i32::MAX {
            i32::MAX => 0,
            positive => positive % self.partitions,
        }))
    }
}

impl Transform for PartitionRouting {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let partition = match &event.value {
            Payload::Change(change)
                if matches!(change.operation, Operation::Table | Operation::Truncate) =>
            {
                None
            }
            // The change itself stays: its envelope is made only to be read.
            Payload::Change(_) => {
                let mut read = event.clone();
                match Content::take(&mut read, Side::Value, &self.profile)? {
                    Content::Struct(row) => self.partition(&row)?,
                    _ => None,
                }
            }
            value => match value.as_row() {
                Some(row) => self.partition(row)?,
                None => None,
            },
        };
        if partition.is_some() {
            event.partition = partition;
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "PartitionRouting"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
