//! What the server says of itself, by SQL: server, tables, columns, types, publications.
//!
//! The catalog speaks of now, the log of then: what the log carries itself is taken from the log (see
//! [`relations`](crate::relations)).

pub(crate) mod columns;
pub(crate) mod publications;
pub(crate) mod server;
pub(crate) mod tables;
pub(crate) mod types;

use cdc_pgconn::{ConnectError, PINNED_SETTINGS, Session, SqlClient, connect_sql};

use crate::error::{FAILED_TRANSACTION, PostgresError};
use crate::options::SqlAccess;

/// Opens a session for the catalog or for reading rows.
pub(crate) async fn connect(access: &SqlAccess) -> Result<SqlClient, PostgresError> {
    let session = Session::default().with_application_name("cdc");
    let client = connect_sql(&access.config, &session).await?;
    if !access.statements.is_empty() {
        for statement in &access.statements {
            let what = "running the initial statements";
            client.batch_execute(statement).await.map_err(failed(&client, what))?;
        }
        // What values look like must not depend on them.
        let pin: String = PINNED_SETTINGS
            .iter()
            .map(|(name, value)| format!("SET SESSION {name} = '{value}';"))
            .collect();
        client.batch_execute(&pin).await.map_err(failed(&client, "setting up the session"))?;
    }
    if let Some(timeout) = access.query_timeout {
        client
            .batch_execute(&format!("SET SESSION statement_timeout = {}", millis(timeout)))
            .await
            .map_err(failed(&client, "setting up the session"))?;
    }
    Ok(client)
}

/// A time as the server's settings take it, at most some 24 days; less than a millisecond would be no limit at all.
pub(crate) fn millis(time: std::time::Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// The results of two statements that were sent together. Where the first to be carried out fails in a transaction, the other
/// says nothing but that.
pub(crate) fn both<A, B>(
    one: Result<A, PostgresError>,
    other: Result<B, PostgresError>,
) -> Result<(A, B), PostgresError> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(error), Err(cause)) if error.sqlstate() == Some(FAILED_TRANSACTION) => Err(cause),
        (Err(error), _) | (_, Err(error)) => Err(error),
    }
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

#[cfg(test)]
mod tests {
    use cdc_pgconn::ServerError;

    use super::*;

    #[test]
    fn of_two_statements_that_failed_together_the_first_says_why() {
        let failed = |code: &str| {
            let said = ServerError { code: code.to_owned(), ..ServerError::default() };
            let error = ConnectError::from_server("postgres://db/shop", said);
            Err::<(), _>(PostgresError::statement("reading", error))
        };
        for (one, other) in [("57014", FAILED_TRANSACTION), (FAILED_TRANSACTION, "57014")] {
            let error = both(failed(one), failed(other)).unwrap_err();
            assert_eq!(error.sqlstate(), Some("57014"));
        }
        assert!(both(failed("57014"), Ok(())).is_err() && both(Ok(()), failed("57014")).is_err());
        assert_eq!(both(Ok(1), Ok(2)).unwrap(), (1, 2));
    }
}
