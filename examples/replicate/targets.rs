//! Target URLs to sinks.

use cdc_core::{Error, Result, Sink};
use cdc_sinks::{PostgresSink, SqliteSink};

const FORMS: &str = "give postgres://user@host/database or sqlite:PATH";

/// The sink behind a target URL.
pub(crate) fn open(url: &str) -> Result<Box<dyn Sink>> {
    match url.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => {
            Ok(Box::new(SqliteSink::open(path.strip_prefix("//").unwrap_or(path))?))
        }
        Some(("postgres" | "postgresql", _)) => Ok(Box::new(PostgresSink::builder(url).build()?)),
        // What was given may hold a password, so only its scheme is repeated.
        Some((scheme, _)) if scheme.chars().all(|c| c.is_ascii_alphanumeric()) => {
            Err(Error::configuration(format!("there is no target of the kind {scheme}:"))
                .remedy(FORMS))
        }
        _ => Err(Error::configuration("a target is not a URL").remedy(FORMS)),
    }
}
