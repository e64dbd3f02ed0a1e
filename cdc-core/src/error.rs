//! The error of the crate, with the kind that the pipeline acts on.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The result of every fallible operation of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the pipeline does about an error. The policy depends on the kind alone, never on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Goes away by itself (a lost connection, a server that restarts): retried with full jitter
    /// for as long as it takes, and what failed is restarted.
    Transient,
    /// An event that cannot be decoded, transformed or written: the pipeline stops. Repeating it would fail again.
    Data,
    /// A setting, a right or a prerequisite that only a human can change: the pipeline stops.
    Configuration,
    /// Another instance has taken over: this one stops at once and writes nothing more.
    Fenced,
    /// The operation was given up on request.
    Cancelled,
}

impl ErrorKind {
    /// The name used in logs and status reports.
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Transient => "transient",
            ErrorKind::Data => "data",
            ErrorKind::Configuration => "configuration",
            ErrorKind::Fenced => "fenced",
            ErrorKind::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error of the library: a [kind](ErrorKind), what happened to what, and the cause where there is one.
///
/// `Display` is one line that says what happened and what to do. The cause is reached through
/// [`std::error::Error::source`]; it is not repeated in the text.
///
/// ```
/// use cdc_core::{Error, ErrorKind};
///
/// let error = Error::configuration("Postgres server wal_level property must be 'logical' but is: 'replica'")
///     .remedy("run ALTER SYSTEM SET wal_level = 'logical' and restart the server");
/// assert_eq!(error.kind(), ErrorKind::Configuration);
/// assert!(error.to_string().ends_with("restart the server"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    remedy: Option<Cow<'static, str>>,
    retry_unreachable: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error(Box::new(Inner {
            kind,
            message: message.into(),
            remedy: None,
            retry_unreachable: false,
            source: None,
        }))
    }

    /// An error that goes away by itself.
    pub fn transient(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Transient, message)
    }

    /// An error of one event.
    pub fn data(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// An error that only a changed setting, right or prerequisite mends.
    pub fn configuration(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Configuration, message)
    }

    /// Another instance has taken over.
    pub fn fenced(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Fenced, message)
    }

    /// Given up on request.
    pub fn cancelled(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Cancelled, message)
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.0.remedy = Some(remedy.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts where it happened in front of the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message).into();
        self
    }

    /// Marks a transient error as "nothing answers at this address": at a first start it is
    /// probably a typing error, so the pipeline ends with it unless an offset shows that the
    /// address was right once.
    #[must_use]
    pub fn unreachable(mut self) -> Self {
        self.0.retry_unreachable = true;
        self
    }

    /// What the pipeline does about it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether repeating the operation can help.
    pub fn is_transient(&self) -> bool {
        self.0.kind == ErrorKind::Transient
    }

    /// Whether nothing answered at the address. See [`Error::unreachable`].
    pub fn is_unreachable(&self) -> bool {
        self.0.retry_unreachable
    }

    /// The message without the remedy.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What the user can do about it.
    pub fn remedy_text(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }

    /// A copy without the cause, for reporting one failure in several places.
    pub fn duplicate(&self) -> Error {
        Error(Box::new(Inner {
            kind: self.0.kind,
            message: self.0.message.clone(),
            remedy: self.0.remedy.clone(),
            retry_unreachable: self.0.retry_unreachable,
            source: None,
        }))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(remedy) = &self.0.remedy {
            write!(f, "; {remedy}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Error");
        out.field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(remedy) = &self.0.remedy {
            out.field("remedy", remedy);
        }
        if let Some(source) = &self.0.source {
            out.field("source", source);
        }
        out.finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_says_what_happened_where_and_what_to_do() {
        let error = Error::data("value out of range")
            .context("public.orders.total")
            .remedy("widen the column");
        assert_eq!(error.to_string(), "public.orders.total: value out of range; widen the column");
        assert_eq!(error.kind(), ErrorKind::Data);
    }

    #[test]
    fn the_cause_is_kept_apart_from_the_text() {
        let cause = std::io::Error::other("disk full");
        let error = Error::transient("offsets.json cannot be written").with_source(cause);
        assert_eq!(StdError::source(&error).map(ToString::to_string).as_deref(), Some("disk full"));
        assert!(!error.to_string().contains("disk full"));
    }
}
