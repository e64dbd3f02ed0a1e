//! The rows of one table, by COPY.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cdc_core::{Row, TableId, Value};
use cdc_pgconn::tokio_postgres::CopyOutStream;
use cdc_pgconn::{ConnectError, SqlClient};
use futures_util::StreamExt as _;

use super::SnapshotTable;
use crate::catalog::failed;
use crate::copy_text::{LineSplitter, fields};
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::types::parse;

/// Rows as lines of COPY, streamed.
pub(crate) struct TableRows {
    stream: Pin<Box<CopyOutStream>>,
    lines: LineSplitter,
    ready: VecDeque<Bytes>,
    table: Arc<TableId>,
    target: String,
}

impl TableRows {
    pub(super) async fn open(
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
    /// A row from its line.
    pub(crate) fn row(&self, line: &Bytes, at: Lsn) -> Result<Row, PostgresError> {
        let failed = |column: String, reason: String| PostgresError::Value {
            table: self.id.as_ref().clone(),
            column,
            position: at,
            reason,
        };
        let name = |index: usize| {
            self.schema.field(index).map_or_else(|| index.to_string(), |f| f.name.to_string())
        };
        let mut values = Vec::with_capacity(self.types.len());
        // A table without columns still has rows: empty lines.
        if !self.types.is_empty() {
            for (index, (field, column)) in fields(line).zip(&self.types).enumerate() {
                let field = field.map_err(|error| failed(name(index), error.to_string()))?;
                values.push(match field {
                    None => Value::Null,
                    Some(text) => parse(&column.kind, text)
                        .map_err(|error| failed(name(index), error.to_string()))?,
                });
            }
        }
        Row::new(Arc::clone(&self.schema), values)
            .map_err(|error| failed("*".to_owned(), error.to_string()))
    }
}

impl std::fmt::Debug for TableRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TableRows").field("table", &self.table).finish_non_exhaustive()
    }
}
