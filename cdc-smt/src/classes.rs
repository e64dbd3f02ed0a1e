//! The classes there are, by their original names.

use cdc_core::connect::ConnectProfile;
use cdc_core::{Properties, Result, Transform};

use crate::options;

type Make = fn(&str, &Properties, &ConnectProfile) -> Result<Box<dyn Transform>>;

fn boxed<T: Transform + 'static>(transform: Result<T>) -> Result<Box<dyn Transform>> {
    transform.map(|transform| Box::new(transform) as Box<dyn Transform>)
}

pub(crate) const CLASSES: &[(&str, Make)] = &[
    ("org.apache.kafka.connect.transforms.RegexRouter", |_, properties, _| {
        boxed(crate::RegexRouter::from_properties(properties))
    }),
    ("io.debezium.transforms.ExtractNewRecordState", |_, properties, profile| {
        boxed(crate::ExtractNewRecordState::from_properties(properties, profile))
    }),
];

/// The transform of a class of Kafka Connect or Debezium, by its full or simple name, with its options.
///
/// Options that the class does not know are not looked at: [`Properties::finish`] tells them.
///
/// ```
/// use cdc_core::Properties;
/// use cdc_core::connect::ConnectProfile;
///
/// let options = [("regex", "shop\\.(.*)"), ("replacement", "$1")].into_iter().collect();
/// let transform = cdc_smt::transform_of_class("RegexRouter", &options, &ConnectProfile::default())?;
/// assert_eq!(transform.name(), "RegexRouter");
/// # Ok::<(), cdc_core::Error>(())
/// ```
///
/// # Errors
/// [`Configuration`](cdc_core::ErrorKind::Configuration): a class that does not exist, with those that do; an option that is
/// missing or cannot have its value.
pub fn transform_of_class(
    class: &str,
    properties: &Properties,
    profile: &ConnectProfile,
) -> Result<Box<dyn Transform>> {
    let names = CLASSES.iter().map(|(name, _)| *name);
    let known = options::known_class(class, names.clone())?;
    match CLASSES.iter().find(|(name, _)| *name == known) {
        Some((name, make)) => make(name, properties, profile),
        None => Err(options::no_class(class, names)),
    }
}
