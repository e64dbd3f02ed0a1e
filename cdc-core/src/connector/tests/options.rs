//! The options that belong to every connector, as docs/connector-options.md lists them.

use std::fmt::Write as _;

use super::{base, read};
use crate::connector::unsupported::{ONLY, REFUSED};

/// Name, default, a value that is accepted, what it is.
const SUPPORTED: [(&str, &str, &str, &str); 47] = [
    ("name", "`topic.prefix`", "shop", "the pipeline's name, by which its state is found again"),
    (
        "connector.class",
        "(required)",
        "Memory",
        "the full name of Debezium's class, or its short forms",
    ),
    ("topic.prefix", "(required)", "shop", "in front of the names of topics and schemas"),
    (
        "topic.transaction",
        "`transaction`",
        "tx",
        "the topic of transaction metadata, behind `topic.prefix`",
    ),
    (
        "topic.heartbeat.prefix",
        "`__debezium-heartbeat`",
        "beat",
        "in front of `topic.prefix` in the topic of heartbeats",
    ),
    ("topic.heartbeat.name", "", "beats", "the whole name of the topic of heartbeats"),
    (
        "heartbeat.interval.ms",
        "`0`",
        "1000",
        "0 is none. An idle database needs none: its position is saved and confirmed by itself",
    ),
    (
        "tombstones.on.delete",
        "`true`",
        "false",
        "whether a record with the key alone follows a delete",
    ),
    ("skipped.operations", "`t`", "u,d", "c, u, d, t, or none"),
    (
        "provide.transaction.metadata",
        "`false`",
        "true",
        "numbers the events of transactions; BEGIN and END in a topic of their own, both under the LSN of the commit",
    ),
    (
        "extended.headers.enabled",
        "`true`",
        "false",
        "headers `__debezium.context.*` that say which connector made a record",
    ),
    (
        "time.precision.mode",
        "`adaptive`",
        "connect",
        "adaptive, adaptive_time_microseconds, connect, isostring, microseconds, nanoseconds",
    ),
    ("decimal.handling.mode", "`precise`", "string", "precise, double, string"),
    ("binary.handling.mode", "`bytes`", "hex", "bytes, base64, base64-url-safe, hex"),
    ("interval.handling.mode", "`numeric`", "string", "numeric, string"),
    ("hstore.handling.mode", "`json`", "map", "json, map"),
    ("money.fraction.digits", "`2`", "3", ""),
    (
        "unavailable.value.placeholder",
        "`__debezium_unavailable_value`",
        "gone",
        "stands for what the server did not send (TOAST)",
    ),
    (
        "include.unknown.datatypes",
        "`false`",
        "true",
        "columns of other types, as bytes of their text",
    ),
    ("include.schema.comments", "`false`", "true", ""),
    ("schema.name.adjustment.mode", "`none`", "avro", "none, avro, avro_unicode"),
    ("field.name.adjustment.mode", "`none`", "avro", "none, avro, avro_unicode"),
    (
        "event.converting.failure.handling.mode",
        "`warn`",
        "fail",
        "warn (NULL and a warning) or fail",
    ),
    ("column.propagate.source.type", "", ".*", "expressions for `schema.table.column`"),
    ("datatype.propagate.source.type", "", ".*\\.INT4", "expressions for `schema.table.type`"),
    (
        "errors.retry.delay.initial.ms",
        "`100`",
        "10",
        "the longest first pause after a transient error; pauses are random up to a bound that doubles",
    ),
    ("errors.retry.delay.max.ms", "`10000`", "1000", "the bound of these pauses"),
    (
        "key.converter",
        "JsonConverter",
        "org.apache.kafka.connect.storage.StringConverter",
        "JsonConverter, StringConverter, ByteArrayConverter, SimpleHeaderConverter, or those of booleans and numbers, by their full names",
    ),
    ("value.converter", "JsonConverter", "org.apache.kafka.connect.json.JsonConverter", "the same"),
    (
        "header.converter",
        "SimpleHeaderConverter",
        "org.apache.kafka.connect.json.JsonConverter",
        "the same",
    ),
    (
        "key.converter.schemas.enable",
        "`true`",
        "false",
        "of JsonConverter; so for values and headers",
    ),
    ("value.converter.schemas.enable", "`true`", "false", ""),
    ("value.converter.decimal.format", "`BASE64`", "NUMERIC", "of JsonConverter"),
    (
        "value.converter.replace.null.with.default",
        "`false`",
        "true",
        "of JsonConverter, which has true: NULL becomes the column's default",
    ),
    ("value.converter.schemas.cache.size", "`1000`", "10", "of JsonConverter"),
    (
        "post.processors",
        "",
        "",
        "names of post processors, each with `post.processors.<name>.type`; docs/transforms.md says which there are",
    ),
    ("transforms", "", "", "names of transforms; docs/transforms.md lists them with their options"),
    ("predicates", "", "", "names of predicates"),
    (
        "config.providers",
        "`file,env,directory`",
        "",
        "names of providers for values such as `${file:/etc/shop.properties:password}`",
    ),
    ("tasks.max", "`1`", "1", ""),
    (
        "errors.tolerance",
        "",
        "all",
        "`all`: events that fail become dead letters, for which the pipeline needs a place; `none`: the first one ends it",
    ),
    ("errors.max.retries", "`-1`", "-1", ""),
    (
        "topic.naming.strategy",
        "SchemaTopicNamingStrategy",
        "io.debezium.schema.SchemaTopicNamingStrategy",
        "",
    ),
    ("topic.delimiter", "`.`", ".", ""),
    (
        "errors.log.enable",
        "`false`",
        "true",
        "logs each event that becomes a dead letter; the error that stops a pipeline is always told",
    ),
    ("errors.log.include.messages", "`false`", "true", "with the values of the event"),
    ("exactly.once.support", "", "requested", ""),
];

#[test]
fn every_supported_option_is_accepted() {
    for (name, _, example, _) in SUPPORTED {
        let mut properties = base();
        properties.set(name, example);
        read(&properties).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/connector-options.md");

/// `UPDATE_DOCS=1` writes the page.
#[test]
fn the_page_of_the_options_is_true() {
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let found = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        found == page,
        "docs/connector-options.md is not what the code says; run UPDATE_DOCS=1 cargo test -p cdc-core --lib connector"
    );
}

fn page() -> String {
    let mut page = include_str!("page_head.md").to_owned();
    page.push_str("\n## Supported\n\n| option | default | |\n|---|---|---|\n");
    for (name, default, _, what) in SUPPORTED {
        if !ONLY.iter().any(|(only, ..)| *only == name) {
            let _ = writeln!(page, "| `{name}` | {default} | {what} |");
        }
    }
    page.push_str("\n## Accepted with a value that describes what happens here\n\n| option | value | why |\n|---|---|---|\n");
    for (name, values, why) in ONLY {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        let _ = writeln!(page, "| `{name}` | {} | {why} |", values.join(", "));
    }
    page.push_str("\n## Refused by name\n\n| option | what to do |\n|---|---|\n");
    for (name, remedy) in REFUSED {
        let all = if name.ends_with('.') { "*" } else { "" };
        let _ = writeln!(page, "| `{name}{all}` | {remedy} |");
    }
    page
}

#[test]
fn tolerance_and_a_place_for_what_is_tolerated_go_together() {
    let build = |tolerance: Option<&str>, letters: bool| {
        let mut properties = base();
        if let Some(tolerance) = tolerance {
            properties.set("errors.tolerance", tolerance);
        }
        let target = crate::testkit::MemoryTarget::new();
        let mut pipeline = read(&properties).unwrap().pipeline.sink(target.transactional("t"));
        if letters {
            pipeline = pipeline.dead_letters(crate::testkit::MemoryDeadLetters::new());
        }
        pipeline.build().map(drop).map_err(|error| error.to_string())
    };
    for (tolerance, letters) in
        [(Some("ALL"), true), (None, true), (None, false), (Some("none"), false)]
    {
        build(tolerance, letters).unwrap();
    }
    let error = build(Some("all"), false).unwrap_err();
    assert!(error.contains("errors.tolerance") && error.contains(".dead_letters("), "{error}");
    let error = build(Some("none"), true).unwrap_err();
    assert!(error.contains("errors.tolerance is none"), "{error}");
}
