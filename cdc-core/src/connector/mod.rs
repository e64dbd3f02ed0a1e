//! Whole connector configurations: Debezium's and Kafka Connect's properties.
//!
//! [`Pipeline::from_properties`] makes of one configuration the source, its post processors, the chain of transforms and the converters. An
//! option is accepted only with a value that describes what happens here; one that is unknown, or known and not
//! supported, is an error that names it.

mod config_values;
mod converters;
mod post_processors;
mod records;
mod transaction_numbers;
mod unsupported;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use converters::{Converter, Converters};
pub use records::DebeziumRecords;
pub use transaction_numbers::TransactionNumbers;

use crate::connect::{ConnectProfile, PROFILE_PROPERTIES, SourceTypeColumns};
use crate::error::{Error, Result};
use crate::java_pattern::JavaPattern;
use crate::pipeline::{Pipeline, PipelineBuilder, RetryPolicy};
use crate::properties::Properties;
use crate::source::Source;
use crate::stage::Stage;
use crate::transform::Transform;

/// A source that is built from the properties of a Debezium connector.
pub trait FromProperties: Source + Sized {
    /// What `connector.class` may say: Debezium's class, then its short forms.
    const CONNECTOR_CLASSES: &'static [&'static str];

    /// Debezium's name of the connector, which stands in the records: `postgresql`.
    const CONNECTOR_NAME: &'static str;

    /// Reads the source's own options, with Debezium's names and defaults. Options that belong to the format, to
    /// transforms or converters are not read, and whether any is left that nobody knows is for the caller to ask by
    /// [`Properties::finish`].
    ///
    /// With `provide.transaction.metadata` the source sends [markers](crate::TransactionMarker) of the begin and the end
    /// of each transaction, and goes on inside a transaction from its beginning: see [`TransactionNumbers`].
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration), naming the option: a value that it cannot have, or an option
    /// of the original that is not supported, with what to do.
    fn from_properties(properties: &Properties) -> Result<Self>;

    /// The classes that `post.processors.<name>.type` may say, by their full names. The default is none.
    const POST_PROCESSOR_CLASSES: &'static [&'static str] = &[];

    /// A post processor of this source: a stage that asks its database. `class` is one of
    /// [`POST_PROCESSOR_CLASSES`](Self::POST_PROCESSOR_CLASSES); `options` are the post processor's own.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration), naming the option, for a value that it cannot have.
    fn post_processor(&self, class: &str, options: &Properties) -> Result<Box<dyn Stage>> {
        let _ = options;
        Err(Error::configuration(format!("there is no post processor {class} of this source")))
    }
}

/// What a configuration describes: a pipeline that lacks a sink, and the converters for one that writes records.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connector {
    /// Source and chain. Add a sink, and an offset store where the sink needs one.
    pub pipeline: PipelineBuilder,
    /// What makes keys, values and headers of events.
    pub converters: Converters,
    /// The handling modes of chain and converters.
    pub profile: ConnectProfile,
}

impl Pipeline {
    /// Reads the configuration of a Debezium source connector: `name`, `connector.class`, the source's own options, the
    /// handling modes of the format, `post.processors`, `transforms` and `predicates`, and the converters. Values such as
    /// `${file:/etc/shop.properties:password}` are put in first.
    ///
    /// `transforms` makes the user's own chain: `cdc_smt::from_properties`, or [`no_transforms`] without that crate. The
    /// chain begins with [`DebeziumRecords`], so that transforms see what Debezium's see. The pipeline is named by `name`,
    /// else by `topic.prefix`.
    ///
    /// ```no_run
    /// use cdc_core::{Pipeline, Properties};
    ///
    /// # mod cdc_smt { pub use cdc_core::connector::no_transforms as from_properties; }
    /// # use cdc_core::connector::FromProperties;
    /// # fn example<PostgresSource: FromProperties + 'static>(sink: impl cdc_core::Sink + 'static) -> cdc_core::Result<()> {
    /// let text = std::fs::read_to_string("connector.json").unwrap_or_default();
    /// let properties: Properties = text.parse()?;
    /// let connector = Pipeline::from_properties::<PostgresSource>(&properties, cdc_smt::from_properties)?;
    /// let pipeline = connector.pipeline.sink(sink).build()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration), naming the option: a value that it cannot have, an option that
    /// is not supported, with what to do, or one that nobody knows.
    pub fn from_properties<S: FromProperties + 'static>(
        properties: &Properties,
        transforms: impl FnOnce(&Properties, &ConnectProfile) -> Result<Vec<Box<dyn Transform>>>,
    ) -> Result<Connector> {
        let properties = &config_values::resolve(properties)?;
        check_class::<S>(properties)?;
        unsupported::refuse(properties)?;
        let profile = profile(properties)?;
        let topic_prefix = properties.required_string("topic.prefix")?;
        check_prefix(&topic_prefix)?;
        let name = properties.string("name", &topic_prefix);
        let records = DebeziumRecords::from_properties(properties, &profile, S::CONNECTOR_NAME)?;
        let source = S::from_properties(properties)?;
        let stages = post_processors::stages(properties, &source)?;
        let mut pipeline = Pipeline::builder(name, source).transform(records);
        for stage in stages {
            pipeline = pipeline.stage(stage);
        }
        if properties.bool("provide.transaction.metadata", false)? {
            pipeline = pipeline.transform(TransactionNumbers::new());
        }
        for transform in transforms(properties, &profile)? {
            pipeline = pipeline.transform(transform);
        }
        let pipeline = running(with_heartbeat(pipeline, properties, &topic_prefix)?, properties)?;
        let converters = Converters::from_properties(properties, &profile)?;
        properties.finish()?;
        Ok(Connector { pipeline, converters, profile })
    }
}

/// For programs without a crate of transforms: refuses `transforms` and `predicates`.
///
/// # Errors
/// [`Configuration`](crate::ErrorKind::Configuration) where the configuration has one.
pub fn no_transforms(
    properties: &Properties,
    _profile: &ConnectProfile,
) -> Result<Vec<Box<dyn Transform>>> {
    for name in ["transforms", "predicates"] {
        if !properties.list(name).is_empty() {
            return Err(Error::configuration(format!("this program has no {name}"))
                .remedy("give Pipeline::from_properties the function of a crate that has them"));
        }
    }
    Ok(Vec::new())
}

/// Debezium's rule and text: the prefix is part of names of topics.
fn check_prefix(prefix: &str) -> Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    if prefix.chars().all(fits) {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "Invalid value {prefix} for configuration topic.prefix: {prefix} has invalid format (only the underscore, hyphen, dot \
         and alphanumeric characters are allowed)"
    )))
}

fn check_class<S: FromProperties>(properties: &Properties) -> Result<()> {
    let class = properties.required_string("connector.class")?;
    if S::CONNECTOR_CLASSES.contains(&class.as_str()) {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "Invalid value {class} for configuration connector.class: it is no connector of this program"
    ))
    .remedy(format!("there is {}", S::CONNECTOR_CLASSES.join(", "))))
}

/// The handling modes.
fn profile(properties: &Properties) -> Result<ConnectProfile> {
    let mut builder = ConnectProfile::builder();
    for name in PROFILE_PROPERTIES {
        if let Some(value) = properties.get(name) {
            builder = builder.property(name, value)?;
        }
    }
    let list = |name: &str| -> Result<Vec<JavaPattern>> {
        properties.get(name).map_or(Ok(Vec::new()), |value| JavaPattern::list(name, value))
    };
    let columns = list("column.propagate.source.type")?;
    let types = list("datatype.propagate.source.type")?;
    if !columns.is_empty() || !types.is_empty() {
        let any = |list: Vec<JavaPattern>| {
            move |name: &str| {
                JavaPattern::any(&list, name).unwrap_or_else(|error| {
                    tracing::warn!(%error, name, "its source type is not told");
                    false
                })
            }
        };
        builder.modes_mut().source_type =
            SourceTypeColumns::matching(any(columns)).or_of_types(any(types));
    }
    Ok(builder.build())
}

fn with_heartbeat(
    pipeline: PipelineBuilder,
    properties: &Properties,
    topic_prefix: &str,
) -> Result<PipelineBuilder> {
    let interval = properties.millis("heartbeat.interval.ms", 0)?;
    let prefix = properties.string("topic.heartbeat.prefix", "__debezium-heartbeat");
    let topic = match properties.get("topic.heartbeat.name") {
        Some(name) => name.to_owned(),
        None => format!("{prefix}.{topic_prefix}"),
    };
    if interval.is_zero() {
        return Ok(pipeline);
    }
    Ok(pipeline.heartbeat(interval, &topic, topic_prefix))
}

/// How the pipeline runs.
fn running(pipeline: PipelineBuilder, properties: &Properties) -> Result<PipelineBuilder> {
    let millis = |name: &str, default: Duration| {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        properties.millis(name, default)
    };
    let usual = RetryPolicy::default();
    let base = millis("errors.retry.delay.initial.ms", usual.base)?;
    let max = millis("errors.retry.delay.max.ms", usual.max)?.max(base);
    let mut pipeline = pipeline.retry(RetryPolicy { base, max });
    if properties.get("errors.tolerance").is_some() {
        let tolerance = properties.one_of("errors.tolerance", &["none", "all"], "none")?;
        pipeline = pipeline.tolerate(tolerance == "all");
    }
    let values = properties.bool("errors.log.include.messages", false)?;
    if properties.bool("errors.log.enable", false)? {
        pipeline = pipeline.log_dead_letters(values);
    }
    Ok(pipeline)
}
