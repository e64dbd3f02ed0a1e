//! Whole configurations, on a source in memory.

mod options;

use std::sync::Arc;

use async_trait::async_trait;

use super::*;
use crate::batch::Batch;
use crate::event::ChangeEvent;
use crate::offset::Offset;
use crate::request::{self, Request};
use crate::source::{Acknowledger, Positions, SourceContext};

/// A source that reads one option.
#[derive(Debug)]
struct Memory;

#[async_trait]
impl Source for Memory {
    async fn acquire(&mut self, _: &SourceContext) -> Result<()> {
        unreachable!("it is not run")
    }
    async fn start(&mut self, _: Option<Offset>) -> Result<()> {
        unreachable!("it is not run")
    }
    async fn next_batch(&mut self) -> Result<Option<Batch>> {
        unreachable!("it is not run")
    }
    fn acknowledger(&self) -> Acknowledger {
        unreachable!("it is not run")
    }
    fn positions(&self) -> Arc<dyn Positions> {
        unreachable!("it is not run")
    }
    async fn end_of_log(&mut self) -> Result<Offset> {
        unreachable!("it is not run")
    }
    fn control(&mut self, _: Request, _: request::Answer) -> Result<()> {
        unreachable!("it is not run")
    }
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl FromProperties for Memory {
    const CONNECTOR_CLASSES: &'static [&'static str] = &["io.debezium.Memory", "Memory"];
    const CONNECTOR_NAME: &'static str = "postgresql";

    fn from_properties(properties: &Properties) -> Result<Self> {
        match properties.get("memory.size") {
            Some("0") => Err(Error::configuration("memory.size must not be 0")),
            _ => Ok(Memory),
        }
    }

    const POST_PROCESSOR_CLASSES: &'static [&'static str] = &["io.debezium.Answering"];

    fn post_processor(&self, class: &str, options: &Properties) -> Result<Box<dyn Stage>> {
        Ok(Box::new(Answering(format!("{class} {}", options.required_string("to")?))))
    }
}

/// What must be there.
fn base() -> Properties {
    [("connector.class", "Memory"), ("topic.prefix", "shop")].into_iter().collect()
}

fn read(properties: &Properties) -> Result<Connector> {
    Pipeline::from_properties::<Memory>(properties, no_transforms)
}

fn refused(name: &str, value: &str) -> String {
    let mut properties = base();
    properties.set(name, value);
    read(&properties).map(drop).unwrap_err().to_string()
}

#[test]
fn a_configuration_makes_source_chain_and_converters() {
    let mut properties = base();
    properties.set("provide.transaction.metadata", "true");
    properties.set("decimal.handling.mode", "string");
    properties.set("key.converter", "org.apache.kafka.connect.storage.StringConverter");
    properties.set("memory.size", "7");
    let connector = read(&properties).unwrap();
    let shown = format!("{:?}", connector.pipeline);
    assert!(shown.contains(r#"name: "shop""#), "{shown}");
    assert!(shown.contains(r#"["records of Debezium", "transaction metadata"]"#), "{shown}");
    assert!(matches!(connector.converters.key, Converter::Basic(..)));
    assert_eq!(connector.profile.modes().topic_prefix.as_deref(), Some("shop"));
    properties.set("name", "shop-copy");
    let shown = format!("{:?}", read(&properties).unwrap().pipeline);
    assert!(shown.contains(r#"name: "shop-copy""#), "{shown}");
}

#[test]
fn what_is_wrong_is_named() {
    for (name, value, text) in [
        ("slot.nam", "x", "Unknown configuration \"slot.nam\""),
        ("memory.size", "0", "memory.size must not be 0"),
        ("tasks.max", "2", "\"tasks.max\" is not supported, only 1"),
        (
            "notification.enabled.channels",
            "log",
            "\"notification.enabled.channels\" is not supported",
        ),
        ("transforms", "unwrap", "this program has no transforms"),
        ("time.precision.mode", "structured", "time.precision.mode: Value must be one of adaptive"),
        (
            "connector.class",
            "io.debezium.connector.mysql.MySqlConnector",
            "it is no connector of this program",
        ),
        ("topic.prefix", "my shop", "only the underscore, hyphen, dot and alphanumeric"),
        ("topic.prefix", "", "Invalid value  for configuration topic.prefix"),
        ("value.converter.schemas.enabled", "x", "value.converter: schemas.enabled is no option"),
        (
            "column.propagate.source.type",
            "(",
            "column.propagate.source.type: Invalid regular expression",
        ),
        ("heartbeat.interval.ms", "-1", "heartbeat.interval.ms: Value must be at least 0"),
        ("database.password", "${env:NO_SUCH_VARIABLE}", "the value of database.password"),
    ] {
        let error = refused(name, value);
        assert!(error.contains(text), "{name}={value}: {error}");
    }
}

/// A post processor.
struct Answering(String);

#[async_trait]
impl Stage for Answering {
    fn name(&self) -> &str {
        &self.0
    }
    async fn apply(&mut self, _: &mut [ChangeEvent]) -> Result<Vec<(usize, Error)>> {
        unreachable!("it is not run")
    }
}

fn processed(options: &[(&str, &str)]) -> Result<String> {
    let mut properties = base();
    options.iter().for_each(|(name, value)| properties.set(*name, *value));
    Ok(format!("{:?}", read(&properties)?.pipeline))
}

#[test]
fn post_processors_are_stages_in_the_order_of_the_list() {
    let shown = processed(&[
        ("post.processors", "b, a"),
        ("post.processors.a.type", "io.debezium.Answering"),
        ("post.processors.a.to", "1"),
        // The prefix of older configurations.
        ("b.type", "Answering"),
        ("b.to", "2"),
    ])
    .unwrap();
    let says = r#"stages: ["io.debezium.Answering 2", "io.debezium.Answering 1"]"#;
    assert!(shown.contains(says), "{shown}");
}

#[test]
fn what_is_wrong_with_a_post_processor_is_named() {
    let list = ("post.processors", "a");
    let class = ("post.processors.a.type", "Answering");
    let to = ("post.processors.a.to", "1");
    for (options, text) in [
        (vec![list], "Post processor 'a' is missing 'post.processors.a.type'"),
        (vec![list, class], "post.processors.a: Missing required configuration \"to\""),
        (vec![list, class, to, ("post.processors.a.too", "1")], "post.processors.a: Unknown"),
        (
            vec![list, ("post.processors.a.type", "com.example.Mine"), to],
            "post.processors.a: Class com.example.Mine could not be found.; there is io.debezium.Answering",
        ),
        (vec![("post.processors", "a,a"), class, to], "post.processors: a name comes twice"),
        (vec![class, to], "Unknown configuration"),
    ] {
        let error = processed(&options).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}
