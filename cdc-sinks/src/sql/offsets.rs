//! The offset that is committed with the data, and the fence.
//!
//! `cdc_offsets` has a row a pipeline: the offset as JSON, and an epoch. An instance that loads the offset raises the epoch, and every
//! commit of it demands that the epoch is still its own: so an instance that was replaced writes nothing more, however
//! late it wakes up. Epochs start at the time in microseconds, so that one that was forgotten does not come again.

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
    /// Pipeline, first epoch: raises the epoch and returns epoch and offset.
    pub(crate) load: String,
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
                 ON CONFLICT (pipeline) DO UPDATE SET epoch = x.epoch + 1, updated = {now} \
                 RETURNING epoch, \"offset\""
            ),
            save: format!(
                "UPDATE {table} SET \"offset\" = $1, updated = {now} WHERE pipeline = $2 AND epoch = $3"
            ),
            forget: format!("DELETE FROM {table} WHERE pipeline = $1"),
        }
    }
}

/// The epoch of a pipeline that is not known yet.
pub(crate) fn first_epoch() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_micros()).unwrap_or(i64::MAX / 2)
}

/// The epoch that a loaded sink writes under.
#[derive(Debug, Clone)]
pub(crate) struct Fence {
    pub(crate) pipeline: String,
    pub(crate) epoch: i64,
}
