//! `DropHeaders`, `InsertHeader`: headers taken away and added.

use std::sync::Arc;

use cdc_core::connect::BasicConverter;
use cdc_core::{ChangeEvent, Header, Payload, Properties, Result, Transform, Value};

use crate::options;

/// Takes away all headers of some names (`org.apache.kafka.connect.transforms.DropHeaders`).
///
/// Option: `headers` (required), a list of names.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
/// use cdc_smt::{DropHeaders, InsertHeader};
///
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::Absent, cdc_core::testkit::some_origin());
/// let (mut with, mut out) = (Vec::new(), Vec::new());
/// InsertHeader::new("retries", "3")?.apply(event, &mut with)?;
/// assert_eq!(with[0].headers.iter().next().map(|h| h.value.clone()), Some(3i8.into()));
/// DropHeaders::new(["retries"]).apply(with.remove(0), &mut out)?;
/// assert!(out[0].headers.is_empty());
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct DropHeaders {
    names: Arc<[String]>,
}

impl DropHeaders {
    /// Takes away the headers of these names.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        DropHeaders { names: names.into_iter().map(Into::into).collect() }
    }

    /// The transform by Connect's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words.
    pub fn from_properties(properties: &Properties) -> Result<Self> {
        Ok(Self::new(options::required_list(properties, "headers")?))
    }
}

impl Transform for DropHeaders {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let listed = |header: &Header| self.names.iter().any(|name| **name == *header.name);
        if event.headers.iter().any(listed) {
            event.headers.to_mut().retain(|header| !listed(header));
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "DropHeaders"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

/// Adds a header with a fixed value after the others (`org.apache.kafka.connect.transforms.InsertHeader`).
///
/// Options: `header` (required), its name, and `value.literal` (required), whose type is guessed as Connect does for
/// headers: `42` is an INT8, `[1,2]` an array, `2026-11-21` a date, what is nothing else a text. See [`DropHeaders`] for
/// an example.
#[derive(Debug, Clone)]
pub struct InsertHeader {
    header: Header,
}

impl InsertHeader {
    /// Adds a header with the value of a literal.
    ///
    /// # Errors
    /// None in practice: what is no literal of another type is a text.
    pub fn new(name: &str, literal: &str) -> Result<Self> {
        let value = match literal {
            "" => Payload::Value {
                schema: Some(Arc::new(crate::derive::plain(cdc_core::DataType::TEXT, false))),
                value: Value::text(""),
            },
            literal => BasicConverter::SimpleHeader.decode(Some(literal.as_bytes()))?,
        };
        let (schema, value) = match value {
            Payload::Value { schema, value } => (schema, value),
            _ => (None, Value::Null),
        };
        Ok(InsertHeader { header: Header { name: name.into(), schema, value } })
    }

    /// The transform by Connect's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words.
    pub fn from_properties(properties: &Properties) -> Result<Self> {
        let name = properties.required_string("header")?;
        Self::new(&name, properties.required("value.literal")?)
    }
}

impl Transform for InsertHeader {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        event.headers.push(self.header.clone());
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "InsertHeader"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
