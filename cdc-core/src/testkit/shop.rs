//! A table for tests: orders with a number and a note, with and without a key.

use std::sync::Arc;

use crate::data_type::DataType;
use crate::row::Row;
use crate::schema::{Field, Schema, SchemaBuilder, TableId};
use crate::value::Value;

fn columns(table: &str) -> SchemaBuilder {
    Schema::builder()
        .table(TableId::new("public", table))
        .field(Field::required("id", DataType::Int64))
        .field(Field::optional("note", DataType::TEXT))
}

/// `public.orders (id bigint primary key, note text)`.
pub fn orders() -> Arc<Schema> {
    built(columns("orders").key(["id"]))
}

/// `public.visits (id bigint not null, note text)`, without a key.
pub fn visits() -> Arc<Schema> {
    built(columns("visits"))
}

fn built(schema: SchemaBuilder) -> Arc<Schema> {
    schema.build().unwrap_or_else(|_| unreachable!("the columns are known"))
}

/// A row of `public.orders`.
pub fn order(id: i64, note: impl Into<Value>) -> Row {
    row(orders(), id, note)
}

/// A row of `public.visits`.
pub fn visit(id: i64, note: impl Into<Value>) -> Row {
    row(visits(), id, note)
}

fn row(schema: Arc<Schema>, id: i64, note: impl Into<Value>) -> Row {
    Row::new(schema, vec![id.into(), note.into()]).unwrap_or_else(|_| unreachable!("two columns"))
}
