//! Target URLs to sinks.

use cdc_core::{Error, Result, Sink};
use cdc_sinks::{PostgresSink, SqliteSink};

/// The sink behind a target URL.
pub(crate) fn open(url: &str) -> Result<Box<dyn Sink>> {
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => {
            Ok(Box::new(SqliteSink::open(path.strip_prefix("//").unwrap_or(path))?))
        }
        Some(("postgres" | "postgresql", _)) => Ok(Box::new(PostgresSink::builder(url).build()?)),
        _ => Err(Error::configuration(format!("{:?} is not a target", redact(url)))
            .remedy("give postgres://user@host/database or sqlite:PATH")),
    }
}

/// The URL without what could be a password.
fn redact(url: &str) -> &str {
    match url.find('@') {
        Some(at) => &url[at + 1..],
        None => url,
    }
}
