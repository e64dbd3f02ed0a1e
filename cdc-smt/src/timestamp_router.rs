//! `TimestampRouter`: a destination with the time of the record in its name.

use cdc_core::{ChangeEvent, Destination, Error, Properties, Result, TableMapping, Transform};

use crate::options;
use crate::simple_date_format::SimpleDateFormat;

/// Puts the record's timestamp, at UTC, into the name of the destination
/// (`org.apache.kafka.connect.transforms.TimestampRouter`).
///
/// | option | default | |
/// |---|---|---|
/// | `topic.format` | `${topic}-${timestamp}` | the new name |
/// | `timestamp.format` | `yyyyMMdd` | a pattern of Java's `SimpleDateFormat` |
///
/// A record without a timestamp is an error. Tables are made at their first row.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
/// use cdc_smt::TimestampRouter;
///
/// let mut route = TimestampRouter::new("${topic}-${timestamp}", "yyyy-MM")?;
/// # let mut event = ChangeEvent::new(Destination::named("orders"), Payload::Absent, Payload::Absent, cdc_core::testkit::some_origin());
/// event.timestamp_ms = Some(1_546_398_245_678);
/// let mut out = Vec::new();
/// route.apply(event, &mut out)?;
/// assert_eq!(out[0].destination.as_str(), "orders-2019-01");
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TimestampRouter {
    topic: String,
    format: SimpleDateFormat,
}

impl TimestampRouter {
    /// A router by a format of names and one of times.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when the second is no pattern of `SimpleDateFormat`.
    pub fn new(topic_format: &str, timestamp_format: &str) -> Result<Self> {
        let format = SimpleDateFormat::new(timestamp_format)
            .map_err(|error| options::invalid("timestamp.format", timestamp_format, &error))?;
        Ok(TimestampRouter { topic: topic_format.to_owned(), format })
    }

    /// A router by Connect's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words.
    pub fn from_properties(properties: &Properties) -> Result<Self> {
        let topic = properties.string("topic.format", "${topic}-${timestamp}");
        Self::new(&topic, &properties.string("timestamp.format", "yyyyMMdd"))
    }
}

impl Transform for TimestampRouter {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let Some(millis) = event.timestamp_ms else {
            return Err(Error::data(format!("Timestamp missing on record: {}", event.destination)));
        };
        let time = self.format.format(millis);
        let mut name = String::with_capacity(self.topic.len() + 32);
        let mut rest = self.topic.as_str();
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            name.push_str(before);
            let known = [("${topic}", event.destination.as_str()), ("${timestamp}", time.as_str())];
            match known.iter().find_map(|(word, text)| from.strip_prefix(word).map(|r| (*text, r)))
            {
                Some((text, after)) => {
                    name.push_str(text);
                    rest = after;
                }
                None => {
                    name.push_str("${");
                    rest = from.get(2..).unwrap_or_default();
                }
            }
        }
        name.push_str(rest);
        event.destination = Destination::named(&name);
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "TimestampRouter"
    }

    fn tables(&self) -> TableMapping {
        TableMapping::ByContent
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
