//! The classes there are, by their original names.

use cdc_core::connect::ConnectProfile;
use cdc_core::{Properties, Result, Transform};

use crate::options;

type Make = fn(&str, &Properties, &ConnectProfile) -> Result<Box<dyn Transform>>;

fn boxed<T: Transform + 'static>(transform: Result<T>) -> Result<Box<dyn Transform>> {
    transform.map(|transform| Box::new(transform) as Box<dyn Transform>)
}

/// A class of Kafka Connect with a `$Key` and a `$Value`.
macro_rules! sides {
    ($class:literal, $type:ident) => {
        [
            (concat!("org.apache.kafka.connect.transforms.", $class, "$Key"), |_, p, profile| {
                boxed(crate::$type::from_properties(crate::Side::Key, p, profile))
            }),
            (concat!("org.apache.kafka.connect.transforms.", $class, "$Value"), |_, p, profile| {
                boxed(crate::$type::from_properties(crate::Side::Value, p, profile))
            }),
        ]
    };
}

/// A class that evaluates expressions.
macro_rules! with_expressions {
    ($type:ident, $properties:ident, $profile:ident) => {{
        #[cfg(feature = "expressions")]
        let transform = boxed(crate::$type::from_properties($properties, $profile));
        #[cfg(not(feature = "expressions"))]
        let transform = {
            let _ = ($properties, $profile);
            Err(cdc_core::Error::configuration(
                "this program was built without the evaluation of expressions",
            )
            .remedy("build it with the feature `expressions` of cdc-smt"))
        };
        transform
    }};
}

/// Two-sided classes of Kafka Connect.
const TWO_SIDED: &[[(&str, Make); 2]] = &[
    sides!("Cast", Cast),
    sides!("ExtractField", ExtractField),
    sides!("Flatten", Flatten),
    sides!("HeaderFrom", HeaderFrom),
    sides!("HoistField", HoistField),
    sides!("InsertField", InsertField),
    sides!("MaskField", MaskField),
    sides!("ReplaceField", ReplaceField),
    sides!("SetSchemaMetadata", SetSchemaMetadata),
    sides!("TimestampConverter", TimestampConverter),
];

/// All others.
const ONE_CLASS: &[(&str, Make)] = &[
    ("org.apache.kafka.connect.transforms.DropHeaders", |_, properties, _| {
        boxed(crate::DropHeaders::from_properties(properties))
    }),
    ("org.apache.kafka.connect.transforms.Filter", |_, _, _| Ok(Box::new(crate::Filter))),
    ("org.apache.kafka.connect.transforms.InsertHeader", |_, properties, _| {
        boxed(crate::InsertHeader::from_properties(properties))
    }),
    ("org.apache.kafka.connect.transforms.RegexRouter", |_, properties, _| {
        boxed(crate::RegexRouter::from_properties(properties))
    }),
    ("org.apache.kafka.connect.transforms.TimestampRouter", |_, properties, _| {
        boxed(crate::TimestampRouter::from_properties(properties))
    }),
    ("org.apache.kafka.connect.transforms.ValueToKey", |_, properties, profile| {
        boxed(crate::ValueToKey::from_properties(properties, profile))
    }),
    ("io.debezium.connector.mysql.transforms.ReadToInsertEvent", |_, _, _| {
        Ok(Box::new(crate::ReadToInsertEvent))
    }),
    ("io.debezium.transforms.ByLogicalTableRouter", |class, properties, profile| {
        boxed(crate::ByLogicalTableRouter::from_properties(class, properties, profile))
    }),
    ("io.debezium.transforms.ContentBasedRouter", |_, properties, profile| {
        with_expressions!(ContentBasedRouter, properties, profile)
    }),
    ("io.debezium.transforms.EnforceRecordSize", |_, properties, profile| {
        boxed(crate::EnforceRecordSize::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.ExtractChangedRecordState", |_, properties, profile| {
        boxed(crate::ExtractChangedRecordState::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.HeaderToValue", |_, properties, profile| {
        boxed(crate::HeaderToValue::from_properties(properties, profile))
    }),
    (
        "io.debezium.connector.postgresql.transforms.DecodeLogicalDecodingMessageContent",
        |_, properties, profile| {
            boxed(crate::DecodeLogicalDecodingMessageContent::from_properties(properties, profile))
        },
    ),
    ("io.debezium.transforms.ExtractSchemaToNewRecord", |_, properties, profile| {
        boxed(crate::ExtractSchemaToNewRecord::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.Filter", |_, properties, profile| {
        with_expressions!(ExpressionFilter, properties, profile)
    }),
    ("io.debezium.transforms.GeometryFormatTransformer", |_, properties, profile| {
        boxed(crate::GeometryFormatTransformer::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.SchemaChangeEventFilter", |_, properties, _| {
        boxed(crate::SchemaChangeEventFilter::from_properties(properties))
    }),
    ("io.debezium.transforms.SwapGeometryCoordinates", |_, properties, profile| {
        boxed(crate::SwapGeometryCoordinates::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.VectorToJsonConverter", |_, properties, profile| {
        boxed(crate::VectorToJsonConverter::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.outbox.EventRouter", |_, properties, profile| {
        boxed(crate::EventRouter::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.partitions.PartitionRouting", |_, properties, profile| {
        boxed(crate::PartitionRouting::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.TimezoneConverter", |_, properties, profile| {
        boxed(crate::TimezoneConverter::from_properties(properties, profile))
    }),
    ("io.debezium.transforms.ToLogicalTopicRouter", |class, properties, profile| {
        boxed(crate::ByLogicalTableRouter::from_properties(class, properties, profile))
    }),
    ("io.debezium.transforms.ExtractNewRecordState", |_, properties, profile| {
        boxed(crate::ExtractNewRecordState::from_properties(properties, profile))
    }),
];

fn classes() -> impl Iterator<Item = (&'static str, Make)> + Clone {
    TWO_SIDED.iter().flatten().chain(ONE_CLASS).copied()
}

/// The full names of all classes, transforms first, then predicates.
///
/// ```
/// assert!(cdc_smt::class_names().any(|class| class == "io.debezium.transforms.ExtractNewRecordState"));
/// ```
pub fn class_names() -> impl Iterator<Item = &'static str> {
    classes().map(|(name, _)| name).chain(crate::predicate::CLASSES)
}

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
    let names = classes().map(|(name, _)| name);
    let known = options::known_class(class, names.clone())?;
    match classes().find(|(name, _)| *name == known) {
        Some((name, make)) => make(name, properties, profile),
        None => Err(options::no_class(class, names)),
    }
}
