//! `ExtractChangedRecordState`: headers that list the columns an update changed.

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, complete_before};
use cdc_core::value::Array;
use cdc_core::{
    ChangeEvent, ConnectAttributes, DataType, Header, Operation, Payload, Properties, Result, Row,
    Transform, Value, ValueRef, ValueType,
};

use crate::derive::plain;
use crate::envelope::Envelope;

/// Adds headers with the names of the columns that an update changed and left
/// (`io.debezium.transforms.ExtractChangedRecordState`).
///
/// | option | default | |
/// |---|---|---|
/// | `header.changed.name` | | the header for the names of the columns that changed |
/// | `header.unchanged.name` | | the header for those that did not |
///
/// Without a row before, or after, both lists are empty. A value that was not sent because it did not change did not
/// change.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::ExtractChangedRecordState;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut extract = ExtractChangedRecordState::new(Some("changed"), None);
/// let change = Change::update(Some(shop::order(1, "pen")), shop::order(1, "ink"));
/// let event = ChangeEvent::change(Destination::named("orders"), change, some_origin());
/// let mut out = Vec::new();
/// extract.apply(event, &mut out)?;
/// assert_eq!(out[0].headers.len(), 1);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExtractChangedRecordState {
    profile: ConnectProfile,
    changed: Option<List>,
    unchanged: Option<List>,
}

#[derive(Debug, Clone)]
struct List {
    name: Arc<str>,
    schema: Arc<ValueType>,
}

impl List {
    fn new(name: &str) -> Self {
        let mut schema = plain(DataType::Array(Arc::new(plain(DataType::TEXT, true))), true);
        schema.connect = Some(Arc::new(ConnectAttributes {
            name: Some(name.into()),
            ..ConnectAttributes::default()
        }));
        List { name: name.into(), schema: Arc::new(schema) }
    }

    fn header(&self, names: Vec<Value>) -> Header {
        Header {
            name: Arc::clone(&self.name),
            schema: Some(Arc::clone(&self.schema)),
            value: Value::Array(Arc::new(Array::new(names))),
        }
    }
}

impl ExtractChangedRecordState {
    /// The names of the two headers; without one the list is not made.
    pub fn new(changed: Option<&str>, unchanged: Option<&str>) -> Self {
        ExtractChangedRecordState {
            profile: ConnectProfile::default(),
            changed: changed.map(List::new),
            unchanged: unchanged.map(List::new),
        }
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// None: every name is a name of a header.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let mut transform = Self::new(
            properties.get("header.changed.name"),
            properties.get("header.unchanged.name"),
        );
        transform.profile = profile.clone();
        Ok(transform)
    }

    fn push(&self, event: &mut ChangeEvent, images: Option<(Row, Row)>) {
        let (mut changed, mut unchanged) = (Vec::new(), Vec::new());
        if let Some((before, after)) = images {
            for (index, (field, value)) in after.iter().enumerate() {
                let same = matches!(value, ValueRef::Unavailable)
                    || before.get(index).is_some_and(|old| old == value);
                let names = if same { &mut unchanged } else { &mut changed };
                names.push(Value::text(&*field.name));
            }
        }
        for (list, names) in [(&self.changed, changed), (&self.unchanged, unchanged)] {
            if let Some(list) = list {
                event.headers.push(list.header(names));
            }
        }
    }
}

impl Transform for ExtractChangedRecordState {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let images = match &event.value {
            Payload::Change(change) if change.operation == Operation::Table => None,
            Payload::Change(change) => {
                let before = change.before.as_ref().map(complete_before);
                Some(before.zip(change.completed_after()))
            }
            value => Envelope::of(value).map(|envelope| envelope.before().zip(envelope.after())),
        };
        if let Some(images) = images {
            self.push(&mut event, images);
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "ExtractChangedRecordState"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
