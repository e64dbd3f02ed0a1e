//! The offset that is committed with the data, and the fence.
//!
//! `cdc_offsets` has a row a pipeline: the offset as JSON, and an epoch. An instance that loads the offset puts an epoch of its
//! own, and every commit of it demands that the epoch is still there: so an instance that was replaced writes nothing
//! more, however late it wakes up. Nor does it take the fence back: it loads again only over an epoch that it may have put
//! itself, be it in a load whose answer was lost.

use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use super::dialect::Dialect;
use super::naming::TableName;

/// The name of the table where nothing else was chosen.
pub(crate) const OFFSET_TABLE: &str = "cdc_offsets";

/// The statements about one table of offsets.
#[derive(Debug, Clone)]
pub(crate) struct OffsetStatements {
    /// Makes the table.
    pub(crate) create: String,
    /// Pipeline, epoch: puts the epoch and returns the offset.
    load: String,
    /// Pipeline: returns the offset.
    pub(crate) peek: String,
    /// Offset, pipeline, epoch: stores the offset. No row is changed where the epoch has passed on.
    pub(crate) save: String,
    /// Pipeline: forgets it.
    pub(crate) forget: String,
}

impl OffsetStatements {
    pub(crate) fn new<D: Dialect>(dialect: &D, name: &TableName) -> Self {
        let table = dialect.table(name);
        let (now, time) = (D::NOW, D::TIME_TYPE);
        OffsetStatements {
            create: format!(
                "CREATE TABLE {table} (pipeline text NOT NULL PRIMARY KEY, epoch bigint NOT NULL, \
                 \"offset\" text, updated {time} NOT NULL)"
            ),
            load: format!(
                "INSERT INTO {table} AS x (pipeline, epoch, updated) VALUES ($1, $2, {now}) \
                 ON CONFLICT (pipeline) DO UPDATE SET epoch = excluded.epoch, updated = {now}"
            ),
            peek: format!("SELECT \"offset\" FROM {table} WHERE pipeline = $1"),
            save: format!(
                "UPDATE {table} SET \"offset\" = $1, updated = {now} WHERE pipeline = $2 AND epoch = $3"
            ),
            forget: format!("DELETE FROM {table} WHERE pipeline = $1"),
        }
    }
}

impl OffsetStatements {
    /// The statement that loads (pipeline, epoch): it returns the offset, and no row where the fence is another's.
    pub(crate) fn load(&self, claim: &Claim) -> String {
        let ours: Vec<_> = claim.epochs.iter().map(ToString::to_string).collect();
        let condition = match ours.is_empty() {
            true => String::new(),
            false => format!(" WHERE x.epoch IN ({})", ours.join(", ")),
        };
        format!("{}{condition} RETURNING \"offset\"", self.load)
    }
}

/// What an instance remembers of its fence for as long as it lives, over all its connections.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) pipeline: String,
    /// Epochs that it may have put: the one it wrote under, and those of loads without an answer. Empty before the first load
    /// that had one, which takes the fence from whoever has it.
    epochs: Vec<i64>,
}

/// So many loads without an answer are remembered.
const REMEMBERED: usize = 64;

impl Claim {
    pub(crate) fn new(pipeline: &str) -> Self {
        Claim { pipeline: pipeline.to_owned(), epochs: Vec::new() }
    }

    /// The epoch that a load puts. Call it after the statement was made and before it is run.
    pub(crate) fn ask(&mut self) -> i64 {
        let epoch = new_epoch();
        if !self.epochs.is_empty() {
            self.epochs.push(epoch);
            if self.epochs.len() > REMEMBERED {
                self.epochs.remove(1);
            }
        }
        epoch
    }

    /// The load had an answer.
    pub(crate) fn answered(&mut self, epoch: i64) {
        self.epochs = vec![epoch];
    }
}

/// A number that no other load has put: the time in microseconds, and what is random below them.
fn new_epoch() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let micros = i64::try_from(now.as_micros()).unwrap_or_default();
    let random = RandomState::new().hash_one(micros) % 1_024;
    micros.saturating_mul(1_024).saturating_add(i64::try_from(random).unwrap_or_default())
}

/// The epoch that a loaded sink writes under.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    pub(crate) pipeline: String,
    pub(crate) epoch: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_without_an_answer_is_still_ones_own() {
        let mut claim = Claim::new("copy");
        let first = claim.ask();
        assert!(claim.epochs.is_empty(), "the first load takes the fence from whoever has it");
        claim.answered(first);
        let lost = claim.ask();
        assert_eq!(claim.epochs, [first, lost]);
        let second = claim.ask();
        claim.answered(second);
        assert_eq!(claim.epochs, [second]);
    }

    #[test]
    fn what_is_remembered_of_a_long_outage_is_bounded() {
        let mut claim = Claim::new("copy");
        let held = claim.ask();
        claim.answered(held);
        let last = (0..1_000).map(|_| claim.ask()).last();
        assert_eq!(claim.epochs.len(), REMEMBERED);
        assert_eq!((claim.epochs.first(), claim.epochs.last()), (Some(&held), last.as_ref()));
    }
}
