//! What SQLite's result codes mean to a pipeline.

use cdc_core::ErrorKind;
use rusqlite::ErrorCode;

use crate::error::SinkError;

/// The error of a statement, with what it was for.
pub(super) fn refused(target: &str, what: impl Into<String>, error: &rusqlite::Error) -> SinkError {
    let (kind, remedy) = match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            (ErrorKind::Transient, "free space on the disk; the write is tried again")
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (ErrorKind::Transient, "another process writes to the file; the write is tried again")
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => (ErrorKind::Transient, ""),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => (
            ErrorKind::Configuration,
            "check that the folder exists and that the file and its folder can be written",
        ),
        Some(ErrorCode::NotADatabase) => {
            (ErrorKind::Configuration, "the file holds something else; give another path")
        }
        Some(ErrorCode::DatabaseCorrupt) => (
            ErrorKind::Configuration,
            "the file is damaged; restore it, or delete it and copy again",
        ),
        Some(ErrorCode::ConstraintViolation) => {
            (ErrorKind::Data, "drop the constraint in the target, which the source does not have")
        }
        Some(ErrorCode::TypeMismatch | ErrorCode::TooBig) => (ErrorKind::Data, ""),
        _ => (ErrorKind::Configuration, ""),
    };
    SinkError::Refused {
        target: target.to_owned(),
        what: what.into(),
        reason: error.to_string().replace('\n', " "),
        remedy: remedy.to_owned(),
        kind,
    }
}
