//! Large values that an update did not change (TOAST).
//!
//! PostgreSQL keeps values beyond about 2 kB outside their row. When an update leaves such a value alone, the log has
//! only a pointer to it and the server sends the column as *unchanged*. Such a column is
//! [`Value::Unavailable`](cdc_core::Value::Unavailable): sinks leave it as it is, and it is never confused with NULL. With
//! `REPLICA IDENTITY FULL` the row before has the value, and
//! [`Change::completed_after`](cdc_core::Change::completed_after) puts it in.

use bytes::Bytes;
use cdc_core::RowsBuilder;

use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::pgoutput::{ColumnSlice, RowMessage};
use crate::relations::Relation;

/// Which columns of a tuple are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Image {
    /// A row that was inserted: nothing may be left out.
    Inserted,
    /// A row after an update: unchanged TOAST values are left out.
    Updated,
    /// A whole row before a change (REPLICA IDENTITY FULL).
    Before,
    /// The identity's columns before a change; the others stand there as NULL and are not known.
    Key,
}

/// Where a row stands whose values are added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) relation: &'a Relation,
    /// Its position in the log.
    pub(crate) at: Lsn,
    /// The buffer that its message is a part of.
    pub(crate) owner: &'a Bytes,
}

/// Adds the values of the tuple that follows in a message. Whether one is left out that had not to be sent: of an update, or of
/// the insert that the log has for an update which moved a row into a row filter.
///
/// # Errors
/// For such an insert into a table without a key, whose rows nobody could find again.
pub(crate) fn append(
    message: &mut RowMessage<'_>,
    count: usize,
    image: Image,
    place: Place<'_>,
    rows: &mut RowsBuilder,
) -> Result<bool, PostgresError> {
    let Place { relation, at, owner } = place;
    if count != relation.columns.len() {
        return Err(PostgresError::Log {
            position: at,
            reason: format!(
                "a row of {} with {count} columns where the table has {}",
                relation.table,
                relation.columns.len()
            ),
        });
    }
    let mut lacks = false;
    for described in &relation.columns {
        let column = message
            .next_column()
            .map_err(|source| PostgresError::Decode { position: at, source })?;
        if image == Image::Key && !described.is_identity {
            rows.unavailable();
            continue;
        }
        match column {
            ColumnSlice::Text(text) => {
                crate::types::append(&described.column_type.kind, text, owner, rows)
                    .map_err(|error| described.refuse(&error, relation, at))?;
            }
            ColumnSlice::Null => rows.null(),
            ColumnSlice::Unchanged if image == Image::Inserted && !relation.schema.has_key() => {
                return Err(PostgresError::InsertWithoutToast {
                    table: relation.table.as_ref().clone(),
                    column: described.name.clone(),
                    position: at,
                });
            }
            ColumnSlice::Unchanged => {
                lacks = true;
                rows.unavailable();
            }
            ColumnSlice::Binary(_) => {
                return Err(PostgresError::Log {
                    position: at,
                    reason: format!(
                        "a binary value of {}.{}, which was not asked for",
                        relation.table, described.name
                    ),
                });
            }
        }
    }
    Ok(lacks)
}

impl crate::relations::Column {
    #[cold]
    fn refuse(
        &self,
        error: &crate::types::ValueError,
        relation: &Relation,
        at: Lsn,
    ) -> PostgresError {
        PostgresError::Value {
            table: relation.table.as_ref().clone(),
            column: self.name.clone(),
            position: at,
            reason: error.to_string(),
        }
    }
}
