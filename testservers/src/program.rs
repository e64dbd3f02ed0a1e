//! Runs a program to its end and makes a one-line error of a failure.

use std::{
    io,
    process::{Command, Output, Stdio},
};

use crate::error::{Error, Result};

/// Runs `command`, without standard input, and returns what it printed.
///
/// # Errors
/// [`Error::MissingProgram`] with `remedy` where there is no such program; [`Error::Program`] with
/// its last words where it fails.
pub(crate) fn run(command: &mut Command, what: &str, remedy: &'static str) -> Result<Output> {
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| not_started(command, what, remedy, error))?;
    if output.status.success() {
        return Ok(output);
    }
    let mut detail = last_words(&output.stderr);
    if detail.is_empty() {
        detail = last_words(&output.stdout);
    }
    if detail.is_empty() {
        detail = output.status.to_string();
    }
    Err(Error::Program { what: what.to_owned(), detail })
}

/// The error of a program that could not even be started.
pub(crate) fn not_started(
    command: &Command,
    what: &str,
    remedy: &'static str,
    error: io::Error,
) -> Error {
    let program = command.get_program().to_string_lossy().into_owned();
    // A folder of PATH that this user cannot read makes it the other error.
    let missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied);
    if missing && !program.contains('/') {
        Error::MissingProgram { program, remedy }
    } else {
        Error::Io { what: format!("{what}: starting {program}"), source: error }
    }
}

/// The line of a program's output that says most about its failure: the last one that speaks of
/// an error, else the last one.
pub(crate) fn last_words(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let marks = ["E: ", "error", "ERR", "FATAL"];
    let telling = lines().find(|line| marks.iter().any(|mark| line.contains(mark)));
    telling.or_else(|| lines().next()).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_with_the_error_is_preferred_to_the_last_line() {
        assert_eq!(last_words(b"E: no such package\nsee the manual\n\n"), "E: no such package");
        assert_eq!(last_words(b"one\ntwo\n"), "two");
        assert_eq!(last_words(b""), "");
    }

    #[test]
    fn a_missing_program_is_named_with_what_to_install() {
        let error = run(&mut Command::new("no-such-program"), "looking", "install it").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`no-such-program` is not on this machine: install it, or give the URL of a \
             PostgreSQL with CDC_TEST_POSTGRES_URL"
        );
    }
}
