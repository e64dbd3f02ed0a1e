//! Predicates: which events a transform is for (`org.apache.kafka.connect.transforms.predicates`).

use cdc_core::java_pattern::JavaPattern;
use cdc_core::{ChangeEvent, Payload, Properties, Result, Value};

use crate::options;

/// Says of an event whether a transform is for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Predicate {
    /// `HasHeaderKey`: there is a header with this name.
    HasHeaderKey(String),
    /// `RecordIsTombstone`: the value is null, with or without a schema.
    RecordIsTombstone,
    /// `TopicNameMatches`: the expression matches the whole name of the destination.
    TopicNameMatches(Box<JavaPattern>),
}

/// The classes there are.
pub(crate) const CLASSES: [&str; 3] = [
    "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
    "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
    "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
];

impl Predicate {
    /// The predicate of a class of Kafka Connect, by its full or simple name, with its options.
    ///
    /// ```
    /// use cdc_smt::Predicate;
    ///
    /// let options = [("pattern", "shop\\..*")].into_iter().collect();
    /// let predicate = Predicate::of_class("TopicNameMatches", &options)?;
    /// # Ok::<(), cdc_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words: an option that is missing or cannot
    /// have its value, a class that does not exist, with those that do.
    pub fn of_class(class: &str, properties: &Properties) -> Result<Self> {
        match options::known_class(class, CLASSES.into_iter())? {
            "org.apache.kafka.connect.transforms.predicates.HasHeaderKey" => {
                Ok(Predicate::HasHeaderKey(required(properties, "name")?))
            }
            "org.apache.kafka.connect.transforms.predicates.TopicNameMatches" => {
                let pattern = required(properties, "pattern")?;
                let pattern = options::regex("pattern", &pattern)?;
                Ok(Predicate::TopicNameMatches(Box::new(pattern)))
            }
            _ => Ok(Predicate::RecordIsTombstone),
        }
    }

    /// Whether the transform is for the event. A table that announces itself is no tombstone and has no headers.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when a regular expression needs too many attempts.
    pub fn test(&self, event: &ChangeEvent) -> Result<bool> {
        Ok(match self {
            Predicate::HasHeaderKey(name) => {
                event.headers.iter().any(|header| *header.name == **name)
            }
            Predicate::RecordIsTombstone => match &event.value {
                Payload::Absent => true,
                Payload::Value { value, .. } => matches!(value, Value::Null),
                _ => false,
            },
            Predicate::TopicNameMatches(pattern) => pattern.matches(event.destination.as_str())?,
        })
    }
}

fn required(properties: &Properties, name: &str) -> Result<String> {
    properties.required_string(name)
}
