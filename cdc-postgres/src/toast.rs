//! Large values that an update did not change (TOAST).
//!
//! PostgreSQL keeps values beyond about 2 kB outside their row. When an update leaves such a value alone, the log has
//! only a pointer to it and the server sends the column as *unchanged*. Such a column is
//! [`Value::Unavailable`](cdc_core::Value::Unavailable): sinks leave it as it is, and it is never confused with NULL. With
//! `REPLICA IDENTITY FULL` the row before has the value, and
//! [`Change::completed_after`](cdc_core::Change::completed_after) puts it in.

use bytes::Bytes;
use cdc_core::Value;

use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::pgoutput::{Tuple, TupleColumn};
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

/// The values of a tuple.
pub(crate) fn values(
    tuple: &Tuple,
    relation: &Relation,
    image: Image,
    at: Lsn,
) -> Result<Vec<Value>, PostgresError> {
    if tuple.len() != relation.columns.len() {
        return Err(PostgresError::Log {
            position: at,
            reason: format!(
                "a row of {} with {} columns where the table has {}",
                relation.table,
                tuple.len(),
                relation.columns.len()
            ),
        });
    }
    tuple
        .columns()
        .zip(&relation.columns)
        .map(|(column, described)| {
            if image == Image::Key && !described.is_identity {
                return Ok(Value::Unavailable);
            }
            match column {
                TupleColumn::Null => Ok(Value::Null),
                TupleColumn::Unchanged if image == Image::Inserted => {
                    // A row that an update moved into a row filter is sent as an insert of its changed columns.
                    Err(PostgresError::InsertWithoutToast {
                        table: relation.table.as_ref().clone(),
                        column: described.name.clone(),
                        position: at,
                    })
                }
                TupleColumn::Unchanged => Ok(Value::Unavailable),
                TupleColumn::Text(text) => described.parse(text, relation, at),
                TupleColumn::Binary(_) => Err(PostgresError::Log {
                    position: at,
                    reason: format!(
                        "a binary value of {}.{}, which was not asked for",
                        relation.table, described.name
                    ),
                }),
            }
        })
        .collect()
}

impl crate::relations::Column {
    fn parse(&self, text: Bytes, relation: &Relation, at: Lsn) -> Result<Value, PostgresError> {
        crate::types::parse(&self.column_type.kind, text).map_err(|error| PostgresError::Value {
            table: relation.table.as_ref().clone(),
            column: self.name.clone(),
            position: at,
            reason: error.to_string(),
        })
    }
}
