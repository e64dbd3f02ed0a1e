//! What a streamed change means for the rows of a read that does not reflect it.

use super::key::Key;
use crate::error::{Error, Result};
use crate::event::{Change, ChangeEvent, Operation};
use crate::row::Row;

/// What is remembered of a change.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// The key was written with all its columns, or deleted: the target has it as it is.
    Whole(Key),
    /// Some columns of the key were written.
    Part(Key, Row),
    /// The row has another key now. Where it is `lost`, the change lacked columns and the target may not have had the row,
    /// so that the new key has to be read.
    Moved {
        from: Key,
        to: Key,
        lost: bool,
        #[cfg(test)]
        part: Option<Row>,
    },
    /// A row came into view without all its columns: its key has to be read.
    Lost(Key),
    /// All rows were removed.
    Emptied,
    /// A change of a table without a key, which waits for the rows.
    Held(Box<ChangeEvent>),
}

impl Effect {
    /// The effect of a change of a table with a key; nothing for what changes no row. `missing` tells whether the row with a
    /// key may be missing in the target.
    ///
    /// # Errors
    /// Where the change does not tell its key.
    pub(super) fn of(
        change: &Change,
        missing: impl FnOnce(&Key) -> bool,
    ) -> Result<Option<Effect>> {
        let key = || match change.key() {
            Some(key) => Key::of(&key),
            None => Err(Error::data("a change without its key")),
        };
        let effect = match change.operation {
            Operation::Read | Operation::Table => return Ok(None),
            Operation::Truncate => Effect::Emptied,
            Operation::Delete => Effect::Whole(key()?),
            Operation::Create | Operation::Update => {
                let to = key()?;
                let lacks = change.lacks_columns();
                match (change.old_key(), &change.after) {
                    (Some(old), _) => {
                        let from = Key::of(&old)?;
                        Effect::Moved {
                            lost: lacks && missing(&from),
                            from,
                            to,
                            #[cfg(test)]
                            part: change.after.clone(),
                        }
                    }
                    (None, _) if !lacks => Effect::Whole(to),
                    (None, Some(after)) if change.operation == Operation::Update => {
                        Effect::Part(to, after.detached())
                    }
                    _ => Effect::Lost(to),
                }
            }
        };
        Ok(Some(effect))
    }

    /// Roughly how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        size_of::<Effect>()
            + match self {
                Effect::Whole(key) | Effect::Lost(key) => key.size(),
                Effect::Part(key, row) => key.size() + row.size(),
                Effect::Moved { from, to, .. } => from.size() + to.size(),
                Effect::Emptied => 0,
                Effect::Held(event) => event.size(),
            }
    }
}

/// A copy that pins no buffer of a batch.
pub(super) fn detached(mut event: ChangeEvent) -> ChangeEvent {
    if let crate::event::Payload::Change(change) = &mut event.value {
        change.before = change.before.as_ref().map(Row::detached);
        change.after = change.after.as_ref().map(Row::detached);
    }
    event.key = crate::event::Payload::Absent;
    event
}
