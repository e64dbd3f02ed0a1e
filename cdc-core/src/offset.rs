//! Positions of a source, opaque to everything but the source.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::error::{Error, Result};

/// A position of a source: a JSON object with Debezium's keys, ours nested under `cdc`.
///
/// The pipeline and the sinks keep it and give it back; only the source that made it reads it. Cloning is O(1).
///
/// ```
/// use cdc_core::Offset;
///
/// let offset: Offset = r#"{"lsn":23752056,"cdc":{"phase":"streaming"}}"#.parse()?;
/// assert_eq!(offset.get("lsn").and_then(|lsn| lsn.as_u64()), Some(23752056));
/// assert_eq!(offset.to_string(), r#"{"lsn":23752056,"cdc":{"phase":"streaming"}}"#);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Offset(Arc<Map<String, Json>>);

impl Offset {
    /// An offset from its keys.
    pub fn new(keys: Map<String, Json>) -> Self {
        Offset(Arc::new(keys))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.get(key)
    }

    /// All keys in order.
    pub fn as_map(&self) -> &Map<String, Json> {
        &self.0
    }
}

impl std::str::FromStr for Offset {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        serde_json::from_str(text).map(Offset::new).map_err(|error| {
            Error::configuration("an offset must be a JSON object").with_source(error)
        })
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(&*self.0).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
