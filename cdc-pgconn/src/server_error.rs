//! What a server says when it refuses: an `ErrorResponse`, structured.

use std::fmt;

/// An error reported by the server, with its SQLSTATE.
///
/// Fields as in PostgreSQL's manual, "Error and Notice Message Fields". `Display` gives one line.
///
/// ```
/// use cdc_pgconn::ServerError;
///
/// let body = b"SFATAL\0VFATAL\0C3D000\0Mdatabase \"x\" does not exist\0\0";
/// let error = ServerError::parse(body);
/// assert_eq!(error.to_string(), "database \"x\" does not exist (SQLSTATE 3D000)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`, not translated (field `V`, present since 9.6).
    pub severity: String,
    /// The SQLSTATE, five characters such as `28P01`.
    pub code: String,
    /// The primary message, in the server's language.
    pub message: String,
    /// More detail, if the server gave any.
    pub detail: Option<String>,
    /// A suggestion, if the server gave any.
    pub hint: Option<String>,
}

impl ServerError {
    /// Parses the body of an `ErrorResponse` or `NoticeResponse` (after type byte and length).
    ///
    /// Never fails: what is missing or cut off stays empty, because an error that cannot be read
    /// whole is still better than none.
    pub fn parse(body: &[u8]) -> Self {
        let mut error = Self::default();
        for field in body.split(|&byte| byte == 0) {
            let Some((kind, text)) = field.split_first() else { break };
            let text = String::from_utf8_lossy(text).into_owned();
            match kind {
                b'V' => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                _ => {}
            }
        }
        error
    }

    /// Whether the SQLSTATE is in a class: its first two characters, as `08`.
    pub fn is_class(&self, class: &str) -> bool {
        self.code.get(..2) == Some(class)
    }
}

impl From<&tokio_postgres::error::DbError> for ServerError {
    fn from(error: &tokio_postgres::error::DbError) -> Self {
        use tokio_postgres::error::Severity;
        let severity = match error.parsed_severity() {
            Some(Severity::Panic) => "PANIC",
            Some(Severity::Fatal) => "FATAL",
            Some(Severity::Error) => "ERROR",
            _ => error.severity(),
        };
        Self {
            severity: severity.to_owned(),
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", OneLine(&self.message), OneLine(&self.code))?;
        if let Some(detail) = &self.detail {
            write!(f, "; {}", OneLine(detail))?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {}", OneLine(hint))?;
        }
        Ok(())
    }
}

impl std::error::Error for ServerError {}

/// Text from outside, on one line: control characters become spaces.
pub(crate) struct OneLine<'a>(pub(crate) &'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { ' ' } else { c }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_fields_are_read_and_shown_on_one_line() {
        let error = ServerError::parse(
            b"SFEHLER\0VERROR\0C42501\0Mno\nway\0Dbecause\0Hask\0F.c\0L1\0Rf\0\0",
        );
        assert_eq!(error.severity, "ERROR");
        assert_eq!(error.to_string(), "no way (SQLSTATE 42501); because; hint: ask");
        assert!(error.is_class("42") && !error.is_class("28"));
    }

    #[test]
    fn a_body_that_is_cut_off_gives_what_is_there() {
        assert_eq!(ServerError::parse(b"C57P01\0Mgoodb").message, "goodb");
        assert_eq!(ServerError::parse(b""), ServerError::default());
        assert!(!ServerError::parse(b"C\xc3").is_class("08"));
    }
}
