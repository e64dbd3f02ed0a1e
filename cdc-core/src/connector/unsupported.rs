//! Options of Debezium and Kafka Connect that belong to every connector and are refused, each with what to do instead.

use crate::error::Result;
use crate::properties::Properties;

/// Options with the values that describe what happens here, and why there is no other.
pub(super) const ONLY: [(&str, &[&str], &str); 14] = [
    ("tasks.max", &["1"], "a source has one reader"),
    ("tasks.max.enforce", &["true"], "a source has one reader"),
    ("config.action.reload", &["none"], "start the pipeline again after a change"),
    (
        "errors.deadletterqueue.context.headers.enable",
        &["true"],
        "a dead letter always says what failed, where and why",
    ),
    ("errors.retry.timeout", &["-1"], "transient errors are retried for as long as it takes"),
    ("errors.max.retries", &["-1"], "transient errors are retried for as long as it takes"),
    ("event.processing.failure.handling.mode", &["fail"], "an event that fails stops the pipeline"),
    ("exactly.once.support", &["requested"], "a sink that is transactional is exactly-once"),
    ("topic.delimiter", &["."], "route records by a transform, RegexRouter"),
    (
        "topic.naming.strategy",
        &["io.debezium.schema.SchemaTopicNamingStrategy"],
        "route records by a transform, RegexRouter",
    ),
    ("queue.provider.type", &["memory"], "queues are in memory and bounded in bytes"),
    ("statistics.metrics.enabled", &["true"], "the status of a pipeline is always kept"),
    ("openlineage.integration.enabled", &["false"], "there is no OpenLineage here"),
    ("transaction.boundary", &["poll"], "the batches of a source end as it reads"),
];

/// Options that are refused whatever they say. A name that ends in `.` stands for all that begin so.
pub(super) const REFUSED: [(&str, &str); 35] = [
    ("admin.override.", "give clients their options where the sink is built"),
    ("connector.plugin.version", "there is one version of each connector"),
    ("consumer.override.", "give clients their options where the sink is built"),
    ("converters", "handling modes say how types are written; a transform changes single fields"),
    ("custom.metric.tags", "name pipelines apart by `name`"),
    ("custom.sanitize.pattern", "values of options are never logged"),
    (
        "errors.deadletterqueue.",
        "dead letters go to files: add .dead_letters(FileDeadLetters::open(..)?) where the pipeline is built",
    ),
    ("guardrail.", "name the tables in table.include.list"),
    (
        "heartbeat.action.query",
        "leave it out: the position of an idle database is saved and confirmed by itself",
    ),
    ("internal.", "it belongs to Debezium's implementation"),
    ("notification.", "the status of a pipeline and its log tell how a snapshot goes"),
    ("offset.flush.interval.ms", "it is set where the pipeline is built, by save_interval"),
    ("offset.flush.timeout.ms", "saving is tried until it works"),
    ("offset.storage", "the store is chosen where the pipeline is built, by offsets"),
    ("offset.storage.", "the store is chosen where the pipeline is built, by offsets"),
    ("offsets.storage.topic", "the store is chosen where the pipeline is built, by offsets"),
    ("openlineage.", "there is no OpenLineage here"),
    (
        "poll.dispatch.interval.ms",
        "batches go on as soon as they are full or a few milliseconds old",
    ),
    ("producer.override.", "give clients their options where the sink is built"),
    ("retriable.restart.connector.wait.ms", "use errors.retry.delay.initial.ms and .max.ms"),
    ("schema.history.", "leave it out: the schema of a change comes from the log"),
    ("streaming.delay.ms", "start the pipeline later"),
    ("topic.cache.size", "the cache of topic names needs no size"),
    ("topic.creation.", "topics are made by the sink"),
    ("topic.regex", "route records by a transform, RegexRouter"),
    ("topic.replacement", "route records by a transform, RegexRouter"),
    ("topics", "it is an option of sink connectors"),
    ("topics.regex", "it is an option of sink connectors"),
    (
        "bootstrap.servers",
        "it is an option of Connect's workers; give clients their options where the sink is built",
    ),
    ("custom.retriable.exception", "an error's kind alone decides whether it is tried again"),
    ("plugin.path", "it is an option of Connect's workers; everything is built in"),
    ("record.processing.", "transforms run in the order of the log, as fast as one thread does"),
    ("sourceinfo.struct.maker", "a transform changes the source block"),
    ("task.management.timeout.ms", "a stop has the time that is set where the pipeline is built"),
    ("transaction.boundary.interval.ms", "the batches of a source end as it reads"),
];

/// Refuses what is there of them.
pub(super) fn refuse(properties: &Properties) -> Result<()> {
    for (name, values, why) in ONLY {
        properties.accept_only(name, values, why)?;
    }
    let names: Vec<&str> = properties.names().collect();
    for (refused, remedy) in REFUSED {
        let matches = |name: &&str| match refused.ends_with('.') {
            true => name.starts_with(refused),
            false => **name == *refused,
        };
        for name in names.iter().copied().filter(|name| matches(name)) {
            // What is accepted with one value is not refused by its family.
            if !ONLY.iter().any(|(only, ..)| *only == name) {
                properties.refuse(name, remedy)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_refused_by_its_name_with_something_to_do() {
        for (name, remedy) in REFUSED {
            let name = if name.ends_with('.') { format!("{name}x") } else { name.to_owned() };
            let properties: Properties = [(name.as_str(), "1")].into_iter().collect();
            let error = refuse(&properties).unwrap_err().to_string();
            assert_eq!(error, format!("The configuration {name:?} is not supported; {remedy}"));
        }
        for (name, values, why) in ONLY {
            let properties: Properties = [(name, "other")].into_iter().collect();
            let error = refuse(&properties).unwrap_err().to_string();
            assert!(error.contains(name) && error.ends_with(why), "{error}");
            for value in values {
                refuse(&[(name, *value)].into_iter().collect()).unwrap();
            }
        }
    }

    #[test]
    fn options_that_are_supported_are_not_refused_by_a_family() {
        for name in [
            "topic.prefix",
            "topic.heartbeat.prefix",
            "topic.transaction",
            "errors.retry.delay.max.ms",
        ] {
            refuse(&[(name, "x")].into_iter().collect()).unwrap();
        }
    }
}
