//! What the server says of itself, by SQL: server, tables, columns, types, publications.
//!
//! The catalog speaks of now, the log of then: what the log carries itself is taken from the log (see
//! [`relations`](crate::relations)).

pub(crate) mod columns;
pub(crate) mod publications;
pub(crate) mod server;
pub(crate) mod tables;
pub(crate) mod types;

use cdc_pgconn::{ConnectConfig, ConnectError, Session, SqlClient, connect_sql};

use crate::error::PostgresError;

/// Opens a session for the catalog or for reading rows.
pub(crate) async fn connect(config: &ConnectConfig) -> Result<SqlClient, PostgresError> {
    Ok(connect_sql(config, &Session::default().with_application_name("cdc")).await?)
}

/// Names what a statement was for, in its error.
pub(crate) fn failed<'a>(
    client: &'a SqlClient,
    what: &'a str,
) -> impl FnOnce(cdc_pgconn::tokio_postgres::Error) -> PostgresError + 'a {
    move |error| PostgresError::statement(what, client.error(error))
}

/// A value of a row, of the type that is asked for.
pub(crate) fn get<'a, T>(
    client: &SqlClient,
    row: &'a cdc_pgconn::tokio_postgres::Row,
    column: &str,
) -> Result<T, PostgresError>
where
    T: cdc_pgconn::tokio_postgres::types::FromSql<'a>,
{
    row.try_get(column)
        .map_err(|error| ConnectError::protocol(client.target(), error.to_string()).into())
}
