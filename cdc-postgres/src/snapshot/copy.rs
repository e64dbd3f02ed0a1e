//! The rows of one table, by COPY.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cdc_core::{Row, RowsBuilder, Schema, TableId};
use cdc_pgconn::tokio_postgres::CopyOutStream;
use cdc_pgconn::{ConnectError, SqlClient};
use futures_util::StreamExt as _;

use super::SnapshotTable;
use crate::catalog::failed;
use crate::copy_text::{LineSplitter, fields};
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::types::{ColumnType, append};

/// Rows as lines of COPY, streamed.
pub(crate) struct TableRows {
    stream: Pin<Box<CopyOutStream>>,
    lines: LineSplitter,
    ready: VecDeque<Bytes>,
    table: Arc<TableId>,
    target: String,
}

impl TableRows {
    pub(crate) async fn open(
        client: &SqlClient,
        statement: &str,
        table: Arc<TableId>,
    ) -> Result<Self, PostgresError> {
        let what = format!("reading the rows of {table}");
        let stream = client.copy_out(statement).await.map_err(failed(client, &what))?;
        Ok(TableRows {
            stream: Box::pin(stream),
            lines: LineSplitter::default(),
            ready: VecDeque::new(),
            table,
            target: client.target().to_owned(),
        })
    }

    /// The next row's line; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, PostgresError> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Ok(Some(line));
            }
            match self.stream.next().await {
                Some(Ok(chunk)) => {
                    self.lines.push(chunk);
                    while let Some(line) = self.lines.next_line() {
                        self.ready.push_back(line);
                    }
                }
                Some(Err(error)) => {
                    return Err(PostgresError::statement(
                        format!("reading the rows of {}", self.table),
                        ConnectError::from_sql(self.target.as_str(), error),
                    ));
                }
                None if self.lines.has_rest() => {
                    return Err(self.broken("ended in the middle of a row"));
                }
                None => return Ok(None),
            }
        }
    }

    fn broken(&self, reason: &str) -> PostgresError {
        let reason = format!("COPY of {} {reason}", self.table);
        ConnectError::protocol(self.target.as_str(), reason).into()
    }
}

impl SnapshotTable {
    /// A row from its line; its values are there when the rows are sealed.
    pub(crate) fn row(
        &self,
        line: &Bytes,
        at: Lsn,
        rows: &mut RowsBuilder,
    ) -> Result<Row, PostgresError> {
        row_of_line(line, &self.schema, &self.types, rows)
            .map_err(|refused| refused.of(&self.id, &self.schema, at))
    }
}

/// A line that is no row of its table.
#[derive(Debug)]
pub(crate) struct RefusedLine {
    column: Option<usize>,
    reason: String,
}

impl RefusedLine {
    pub(crate) fn of(self, table: &TableId, schema: &Schema, position: Lsn) -> PostgresError {
        let column = self.column.and_then(|at| schema.field(at));
        let column = column.map_or("*", |field| &*field.name).to_owned();
        PostgresError::Value { table: table.clone(), column, position, reason: self.reason }
    }
}

/// A row of these columns from its line; its values are there when the rows are sealed.
pub(crate) fn row_of_line(
    line: &Bytes,
    schema: &Arc<Schema>,
    types: &[ColumnType],
    rows: &mut RowsBuilder,
) -> Result<Row, RefusedLine> {
    let first = rows.position();
    let row = append_line(line, types, rows).and_then(|()| {
        rows.row(schema, first)
            .map_err(|error| RefusedLine { column: None, reason: error.to_string() })
    });
    if row.is_err() {
        rows.truncate(first);
    }
    row
}

/// Adds the values of a line, or says which column is wrong.
fn append_line(
    line: &Bytes,
    types: &[ColumnType],
    rows: &mut RowsBuilder,
) -> Result<(), RefusedLine> {
    // A table without columns still has rows: empty lines.
    if types.is_empty() {
        return Ok(());
    }
    let refused = |column, error: &dyn std::fmt::Display| RefusedLine {
        column: Some(column),
        reason: error.to_string(),
    };
    if memchr::memchr(b'\\', line).is_none() {
        // Without a backslash there is neither NULL nor anything to undo.
        let mut tabs = memchr::memchr_iter(b'\t', line);
        let mut start = 0;
        for (index, column) in types.iter().enumerate() {
            let end = tabs.next();
            let text = line.get(start..end.unwrap_or(line.len())).unwrap_or_default();
            append(&column.kind, text, line, rows).map_err(|error| refused(index, &error))?;
            match end {
                Some(end) => start = end + 1,
                None => break,
            }
        }
        return Ok(());
    }
    for (index, (field, column)) in fields(line).zip(types).enumerate() {
        match field.map_err(|error| refused(index, &error))? {
            None => rows.null(),
            Some(text) => {
                append(&column.kind, &text, &text, rows).map_err(|error| refused(index, &error))?;
            }
        }
    }
    Ok(())
}

impl std::fmt::Debug for TableRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableRows").field("table", &self.table).finish_non_exhaustive()
    }
}
