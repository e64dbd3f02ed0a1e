//! What the server's SQLSTATEs mean to a pipeline.

use cdc_core::ErrorKind;
use cdc_pgconn::SqlClient;

use crate::error::SinkError;

/// The error of a statement, with what it was for. Values of rows stay out of the text: the server's DETAIL is left out.
pub(super) fn refused(
    client: &SqlClient,
    what: impl Into<String>,
    error: tokio_postgres::Error,
) -> SinkError {
    let Some(server) = error.as_db_error() else {
        return SinkError::Connection(client.error(error));
    };
    let code = server.code().code();
    let (kind, remedy) = classify(code);
    SinkError::Refused {
        target: client.target().to_owned(),
        what: what.into(),
        reason: format!("{} (SQLSTATE {code})", server.message().replace('\n', " ")),
        remedy: remedy.to_owned(),
        kind,
    }
}

/// Whether this statement failed because it waited too long for a lock.
pub(super) fn is_lock_timeout(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == "55P03")
}

fn classify(code: &str) -> (ErrorKind, &'static str) {
    match code {
        "42501" => (
            ErrorKind::Configuration,
            "grant the right to the role (CREATE on the schema, ownership or INSERT, UPDATE, DELETE, TRUNCATE on the table)",
        ),
        "42P01" | "42703" => (
            ErrorKind::Configuration,
            "the table was changed while the pipeline ran; start it again, and it will be brought into line",
        ),
        "25006" => (ErrorKind::Configuration, "connect to the primary server"),
        "53100" => {
            (ErrorKind::Transient, "free space on the server's disk; the write is tried again")
        }
        "23505" | "23514" | "23502" | "23503" | "23P01" => (
            ErrorKind::Data,
            "drop the constraint in the target, or let it hold what the source holds",
        ),
        "P0001" => (ErrorKind::Data, "look at the trigger of the table"),
        "57014" | "55P03" | "55006" => (ErrorKind::Transient, ""),
        _ => match code.get(..2) {
            Some("08" | "40" | "53" | "57" | "58") => (ErrorKind::Transient, ""),
            Some("22" | "23" | "27" | "44") => (ErrorKind::Data, ""),
            _ => (ErrorKind::Configuration, ""),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_an_error_decides_what_is_done() {
        for code in ["08006", "57P01", "57P03", "53300", "40001", "40P01", "58030"] {
            assert_eq!(classify(code).0, ErrorKind::Transient, "{code}");
        }
        for code in ["22003", "23505", "23514"] {
            assert_eq!(classify(code).0, ErrorKind::Data, "{code}");
        }
        for code in ["42804", "42501", "0A000", "428C9"] {
            assert_eq!(classify(code).0, ErrorKind::Configuration, "{code}");
        }
    }
}
