//! Whole connector configurations: Debezium's and Kafka Connect's properties.

use crate::error::Result;
use crate::properties::Properties;
use crate::source::Source;

/// A source that is built from the properties of a Debezium connector.
pub trait FromProperties: Source + Sized {
    /// What `connector.class` may say, full names first: Debezium's class and its short forms.
    const CONNECTOR_CLASSES: &'static [&'static str];

    /// Reads the source's own options, with Debezium's names and defaults. Options that belong to the format, to
    /// transforms or converters are not read, and whether any is left that nobody knows is for the caller to ask by
    /// [`Properties::finish`].
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration), naming the option: a value that it cannot have, or an option
    /// of the original that is not supported, with what to do.
    fn from_properties(properties: &Properties) -> Result<Self>;
}
