//! The first step of a chain that is made of properties: changes become the records of Debezium's stream.

use std::collections::HashMap;
use std::sync::Arc;

use crate::connect::{ConnectProfile, RecordSplit, topic_name};
use crate::data_type::{DataType, ValueType};
use crate::error::{Error, Result};
use crate::event::{ChangeEvent, Destination, Header, Headers, Operation, Payload};
use crate::origin::SnapshotMark;
use crate::properties::Properties;
use crate::schema::TableId;
use crate::transform::Transform;
use crate::value::Value;

/// Names topics, splits deletes and key changes into their records, leaves out operations, and adds the headers that say
/// which connector made a record.
///
/// A table goes to `<topic.prefix>.<schema>.<table>`, what Kafka does not allow in a name replaced by `_`; logical
/// messages to `<topic.prefix>.message`, transaction markers to `<topic.prefix>.<topic.transaction>`.
#[derive(Debug, Clone)]
pub struct DebeziumRecords {
    prefix: Arc<str>,
    split: RecordSplit,
    skipped: SkippedOperations,
    context: Headers,
    topics: HashMap<Arc<TableId>, Destination>,
    /// The table of the last change: the next one is mostly of the same.
    last: Option<(Arc<TableId>, Destination)>,
    messages: Destination,
    transactions: Destination,
    made: Vec<ChangeEvent>,
}

impl DebeziumRecords {
    /// Reads `topic.prefix`, `topic.transaction`, `tombstones.on.delete`, `skipped.operations` and
    /// `extended.headers.enabled`.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for a value that an option cannot have.
    pub fn from_properties(
        properties: &Properties,
        profile: &ConnectProfile,
        connector: &str,
    ) -> Result<Self> {
        let prefix: Arc<str> = properties.required_string("topic.prefix")?.into();
        let tombstones = properties.bool("tombstones.on.delete", true)?;
        let transactions = properties.string("topic.transaction", "transaction");
        let context = match properties.bool("extended.headers.enabled", true)? {
            true => context_headers(&prefix, connector),
            false => Headers::default(),
        };
        Ok(DebeziumRecords {
            split: RecordSplit::new(profile.clone(), tombstones),
            skipped: SkippedOperations::from_properties(properties)?,
            context,
            topics: HashMap::new(),
            last: None,
            messages: Destination::named(&format!("{prefix}.message")),
            transactions: Destination::named(&format!("{prefix}.{transactions}")),
            prefix,
            made: Vec::new(),
        })
    }

    fn topic(&mut self, table: &Arc<TableId>) -> Destination {
        if let Some((last, topic)) = &self.last
            && Arc::ptr_eq(last, table)
        {
            return topic.clone();
        }
        let prefix = &self.prefix;
        let topic = self
            .topics
            .entry(Arc::clone(table))
            .or_insert_with(|| Destination::of_topic(&topic_name(Some(prefix), table), table));
        self.last = Some((Arc::clone(table), topic.clone()));
        topic.clone()
    }
}

impl Transform for DebeziumRecords {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        match &event.value {
            Payload::Change(_) => {}
            Payload::Message(_) => {
                event.destination = self.messages.clone();
                out.push(event);
                return Ok(());
            }
            Payload::Transaction(_) => {
                event.destination = self.transactions.clone();
                out.push(event);
                return Ok(());
            }
            _ => {
                out.push(event);
                return Ok(());
            }
        }
        if let Some(table) = event.origin().table.clone() {
            event.destination = self.topic(&table);
        }
        if event.operation() == Some(Operation::Table) {
            out.push(event);
            return Ok(());
        }
        self.split.apply(event, &mut self.made)?;
        let mut wanted = true;
        for mut record in self.made.drain(..) {
            // A tombstone belongs to the delete before it.
            if let Some(operation) = record.operation() {
                wanted = record.origin().snapshot != SnapshotMark::No
                    || !self.skipped.contains(operation);
            }
            if !wanted {
                continue;
            }
            if record.headers.is_empty() {
                record.headers = self.context.clone();
            } else {
                record.headers.to_mut().extend(self.context.iter().cloned());
            }
            out.push(record);
        }
        Ok(())
    }

    fn name(&self) -> &str {
        "records of Debezium"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

/// The headers of Debezium's `extended.headers.enabled`; a source has one task.
fn context_headers(prefix: &str, connector: &str) -> Headers {
    let text = Arc::new(ValueType::required(DataType::TEXT));
    let mut headers = Headers::default();
    for (name, value) in [
        ("connectorLogicalName", prefix),
        ("taskId", "0"),
        ("connectorName", connector),
        ("runId", &run_id()),
    ] {
        headers.push(Header {
            name: format!("__debezium.context.{name}").into(),
            schema: Some(Arc::clone(&text)),
            value: Value::text(value),
        });
    }
    headers
}

/// A UUID of version 7, which begins with the time: one for each start.
fn run_id() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.unwrap_or_default().as_millis();
    let random = u128::from(fastrand::u64(..)) << 64 | u128::from(fastrand::u64(..));
    let id = (millis & 0xffff_ffff_ffff) << 80
        | 7 << 76
        | (random & 0xfff) << 64
        | 2 << 62
        | (random >> 64) & 0x3fff_ffff_ffff_ffff;
    let hex = format!("{id:032x}");
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// `skipped.operations`: which operations of the stream have no record. The default is `t`. Rows of a snapshot have theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SkippedOperations {
    create: bool,
    update: bool,
    delete: bool,
    truncate: bool,
}

impl SkippedOperations {
    fn from_properties(properties: &Properties) -> Result<Self> {
        let name = "skipped.operations";
        let value = properties.string(name, "t");
        let mut skipped =
            SkippedOperations { create: false, update: false, delete: false, truncate: false };
        let invalid = |why: &str| {
            Error::configuration(format!("Invalid value {value} for configuration {name}: {why}"))
        };
        let words: Vec<&str> = value.split(',').map(str::trim).collect();
        for word in &words {
            match *word {
                "c" => skipped.create = true,
                "u" => skipped.update = true,
                "d" => skipped.delete = true,
                "t" => skipped.truncate = true,
                "none" if words.len() == 1 => {}
                "none" => {
                    return Err(invalid(
                        "'none' cannot be specified with other skipped operation types",
                    ));
                }
                other => {
                    return Err(invalid(&format!(
                        "Invalid operation {other:?}; there are c, u, d, t and none"
                    )));
                }
            }
        }
        Ok(skipped)
    }

    fn contains(self, operation: Operation) -> bool {
        match operation {
            Operation::Create => self.create,
            Operation::Update => self.update,
            Operation::Delete => self.delete,
            Operation::Truncate => self.truncate,
            Operation::Read | Operation::Table => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Change;
    use crate::origin::Origin;
    use crate::row::Row;
    use crate::schema::{Field, Schema};

    fn row(id: i32) -> Row {
        let schema = Schema::builder()
            .table(TableId::new("public", "Odd Names"))
            .field(Field::required("id", DataType::Int32))
            .key(["id"])
            .build()
            .unwrap();
        Row::new(schema, vec![id.into()]).unwrap()
    }

    fn records(properties: &str, change: Change) -> Vec<(String, Vec<String>)> {
        let properties: Properties = properties.parse().unwrap();
        let profile = ConnectProfile::builder().topic_prefix("shop").build();
        let mut records =
            DebeziumRecords::from_properties(&properties, &profile, "postgresql").unwrap();
        let table = Arc::new(TableId::new("public", "Odd Names"));
        let origin = Origin { table: Some(Arc::clone(&table)), ..Origin::of_pipeline() };
        let event = ChangeEvent::change(Destination::of_table(&table), change, origin);
        let mut out = Vec::new();
        records.apply(event, &mut out).unwrap();
        out.iter()
            .map(|event| {
                assert_eq!(event.destination.as_str(), "shop.public.Odd_Names");
                assert_eq!(event.destination.schema_and_table().1, "Odd Names");
                let code = event.operation().and_then(Operation::code).unwrap_or("tombstone");
                let headers = event.headers.iter().map(|header| header.name.to_string());
                (code.to_owned(), headers.collect())
            })
            .collect()
    }

    fn codes(properties: &str, change: Change) -> String {
        let records = records(properties, change);
        records.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>().join(",")
    }

    const SHOP: &str = r#"{"topic.prefix": "shop"}"#;

    #[test]
    fn records_say_which_connector_made_them_after_the_headers_of_a_key_change() {
        let moved = records(SHOP, Change::update(Some(row(1)), row(2)));
        assert_eq!(
            moved.iter().map(|(code, _)| code.as_str()).collect::<Vec<_>>(),
            ["d", "tombstone", "c"]
        );
        assert_eq!(moved[0].1[0], "__debezium.newkey");
        assert_eq!(moved[1].1, moved[0].1);
        assert_eq!(moved[2].1[0], "__debezium.oldkey");
        assert_eq!(moved[2].1[1..], records(SHOP, Change::create(row(1)))[0].1);
        assert_eq!(moved[2].1[4], "__debezium.context.runId");
        let without = r#"{"topic.prefix": "shop", "extended.headers.enabled": "false"}"#;
        assert!(records(without, Change::create(row(1)))[0].1.is_empty());
    }

    #[test]
    fn operations_are_left_out_with_their_tombstones() {
        let truncate = || Change::truncate(Arc::clone(row(1).schema()));
        assert_eq!(codes(SHOP, truncate()), "");
        let none = r#"{"topic.prefix": "shop", "skipped.operations": "none"}"#;
        assert_eq!(codes(none, truncate()), "t");
        let deletes = r#"{"topic.prefix": "shop", "skipped.operations": "d, u"}"#;
        assert_eq!(codes(deletes, Change::delete(row(1))), "");
        assert_eq!(codes(deletes, Change::update(Some(row(1)), row(2))), "c");
        assert_eq!(codes(deletes, Change::update(None, row(2))), "");
        let bare = r#"{"topic.prefix": "shop", "tombstones.on.delete": "false"}"#;
        assert_eq!(codes(bare, Change::delete(row(1))), "d");
    }

    #[test]
    fn operations_that_do_not_exist_are_refused() {
        for value in ["x", "c,none", "r"] {
            let properties: Properties = [("skipped.operations", value)].into_iter().collect();
            let error = SkippedOperations::from_properties(&properties).unwrap_err().to_string();
            assert!(error.starts_with(&format!("Invalid value {value} ")), "{error}");
        }
    }

    #[test]
    fn the_id_of_a_run_is_a_uuid_that_begins_with_the_time() {
        let id = run_id();
        assert_eq!(id.len(), 36);
        assert_eq!(&id[14..15], "7");
        assert!(matches!(&id[19..20], "8" | "9" | "a" | "b"), "{id}");
    }
}
