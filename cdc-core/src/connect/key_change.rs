//! What becomes of one change in Debezium's stream: a delete and its tombstone, a key change as delete and create.

use std::sync::Arc;

use crate::error::Result;
use crate::event::{Change, ChangeEvent, Header, Operation, Payload};
use crate::value::Value;

use super::envelope::completed;
use super::profile::ConnectProfile;

/// Splits changes into the records of Debezium's stream.
///
/// An update that changes the key becomes a delete of the old key, with the new one in the header `__debezium.newkey`,
/// its tombstone, and a create of the new key, with the old one in `__debezium.oldkey`. A delete is followed by its
/// tombstone.
#[derive(Debug, Clone)]
pub struct RecordSplit {
    profile: ConnectProfile,
    tombstones: bool,
}

impl RecordSplit {
    /// A split; `tombstones` is `tombstones.on.delete`.
    pub fn new(profile: ConnectProfile, tombstones: bool) -> Self {
        RecordSplit { profile, tombstones }
    }

    /// Pushes the records of an event.
    ///
    /// # Errors
    /// None in practice: keys have schemas of their own.
    pub fn apply(&self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let Payload::Change(change) = &event.value else {
            out.push(event);
            return Ok(());
        };
        match change.operation {
            Operation::Delete => {
                let tombstone = self.tombstone(&event);
                out.push(event);
                out.extend(tombstone);
            }
            Operation::Update => match change.old_record_key().zip(change.record_key()) {
                Some((old, new)) => {
                    let header = |name: &str, key| -> Result<Header> {
                        let key = self.profile.key(key)?;
                        Ok(Header { name: name.into(), schema: None, value: Value::Struct(key) })
                    };
                    let mut deleted = event.clone();
                    deleted.key = Payload::row(old.clone());
                    deleted.value = Payload::Change(Change {
                        operation: Operation::Delete,
                        schema: Arc::clone(&change.schema),
                        before: change.before.clone(),
                        after: None,
                        transaction: change.transaction,
                        record_keys: None,
                    });
                    deleted.headers.push(header("__debezium.newkey", &new)?);
                    let tombstone = self.tombstone(&deleted);
                    let mut created = event.clone();
                    created.key = Payload::row(new.clone());
                    created.value = Payload::Change(Change {
                        operation: Operation::Create,
                        schema: Arc::clone(&change.schema),
                        before: None,
                        after: completed(change),
                        transaction: change.transaction,
                        record_keys: None,
                    });
                    created.headers.push(header("__debezium.oldkey", &old)?);
                    out.push(deleted);
                    out.extend(tombstone);
                    out.push(created);
                }
                None => out.push(event),
            },
            _ => out.push(event),
        }
        Ok(())
    }

    /// A record with the key alone; none without a key.
    fn tombstone(&self, event: &ChangeEvent) -> Option<ChangeEvent> {
        if !self.tombstones || event.key.is_absent() {
            return None;
        }
        let mut tombstone = event.clone();
        tombstone.value = Payload::Absent;
        Some(tombstone)
    }
}
