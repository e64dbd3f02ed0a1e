use std::fmt::Write as _;

use cdc_core::TableId;

use super::refused::{REFUSED, REFUSED_SNAPSHOT_MODES};
use super::supported::SUPPORTED;
use super::*;
use crate::options::{OriginFilter, PublicationMode, SnapshotMode};

fn minimal() -> Vec<(String, String)> {
    [("database.hostname", "db"), ("database.user", "app"), ("database.dbname", "shop")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn with(more: &[(&str, &str)]) -> Properties {
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    minimal().into_iter().chain(more).collect()
}

fn refused(more: &[(&str, &str)]) -> String {
    PostgresSource::from_properties(&with(more)).unwrap_err().to_string()
}

fn options(more: &[(&str, &str)]) -> crate::options::Options {
    PostgresSource::from_properties(&with(more)).unwrap().options().clone()
}

#[test]
fn the_defaults_are_debeziums() {
    let options = options(&[]);
    assert_eq!(options.slot_name("any"), "debezium");
    assert_eq!(options.publications("any"), ["dbz_publication"]);
    assert_eq!(options.settings.publication_mode, PublicationMode::AllTables);
    assert_eq!(options.settings.snapshot, SnapshotMode::Initial);
    assert_eq!(options.sql.config.to_string(), "postgres://app@db:5432/shop");
    assert!(
        options.shape.is_empty() && options.settings.create_slot && !options.settings.adopt_slot
    );
}

#[test]
fn what_must_be_there_is_named() {
    for (missing, _) in minimal() {
        let left = minimal().into_iter().filter(|(name, _)| *name != missing);
        let error = PostgresSource::from_properties(&left.collect()).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("Missing required configuration \"{missing}\" which has no default value.")
        );
    }
}

#[test]
fn every_supported_option_is_read() {
    for option in SUPPORTED {
        let name = option
            .name
            .replace(".N.", ".5.")
            .replace("ALGORITHM", "SHA-256")
            .replace("SALT", "pepper");
        let mut more = vec![(name.as_str(), option.example)];
        match option.name {
            "database.sslcert" => more.push(("database.sslkey", "key.pem")),
            "snapshot.select.statement.overrides" => more.push((
                "snapshot.select.statement.overrides.public.orders",
                "SELECT * FROM public.orders WHERE id > 5",
            )),
            "database.sslkey" => more.push(("database.sslcert", "client.pem")),
            _ => {}
        }
        let properties = with(&more);
        if let Err(error) = PostgresSource::from_properties(&properties) {
            panic!("{name}: {error}");
        }
        assert_eq!(properties.unknown(), [""; 0], "{name} is not read");
    }
}

#[test]
fn every_refused_option_is_named_with_its_remedy() {
    for (name, remedy) in REFUSED {
        let name = name.replace('*', "x");
        let error = refused(&[(&name, "1")]);
        assert!(error.contains(&format!("{name:?}")), "{error}");
        assert!(error.ends_with(remedy), "{error}");
        assert!(SUPPORTED.iter().all(|option| option.name != name), "{name}");
    }
    for (mode, remedy) in REFUSED_SNAPSHOT_MODES {
        let error = refused(&[("snapshot.mode", mode)]);
        assert!(error.contains(mode) && error.ends_with(remedy), "{error}");
    }
}

#[test]
fn values_that_do_not_describe_what_happens_are_refused() {
    for (name, value, part) in [
        ("database.hostname", "a,b", "a,b has invalid format (only the underscore"),
        ("database.port", "0", "Value must be at least 1"),
        ("database.port", "70000", "at most 65535"),
        ("database.sslmode", "always", "String must be one of"),
        ("database.sslcert", "x.pem", "database.sslkey"),
        ("database.tcpKeepAlive", "false", "only true"),
        ("plugin.name", "decoderbufs", "only pgoutput"),
        (
            "slot.name",
            "Shop",
            "Valid replication slot name must contain only digits, lowercase characters and underscores with length <= 63",
        ),
        ("slot.stream.params", "proto_version=2", "proto_version"),
        ("slot.stream.params", "origin=some", "origin=some"),
        ("publication.autocreate.mode", "some", "String must be one of"),
        ("replica.identity.autoset.values", "public.t:SOME", "public.t:SOME"),
        ("message.key.columns", "public.t", "has an invalid format"),
        ("table.include.list", "public.(", "Invalid regular expression"),
        ("column.mask.hash.SHA3-256.with.salt.x", ".*", "SHA3-256"),
        ("snapshot.mode", "sometimes", "String must be one of"),
        ("snapshot.isolation.mode", "read_committed", "only serializable, repeatable_read"),
        ("snapshot.locking.mode", "custom", "only none, shared"),
        ("snapshot.max.threads", "0", "Value must be at least 1"),
        ("snapshot.fetch.size", "0", "Value must be at least 1"),
        ("snapshot.select.statement.overrides", "orders", "schema.table"),
        (
            "snapshot.select.statement.overrides",
            "public.t",
            "snapshot.select.statement.overrides.public.t",
        ),
        ("incremental.snapshot.chunk.size", "0", "Value must be at least 1"),
        ("signal.enabled.channels", "source,kafka", "only source and file"),
        ("signal.data.collection", "signals", "schema.table"),
        ("read.only", "true", "only false"),
        ("lsn.flush.mode", "manual", "only connector"),
        ("max.batch.size", "0", "Value must be at least 1"),
        ("skip.messages.without.change", "maybe", "true or false"),
    ] {
        let error = refused(&[(name, value)]);
        let (name, _) = name.split_once(".with.salt.").unwrap_or((name, ""));
        assert!(error.contains(part) && error.contains(name), "{name}={value}: {error}");
    }
}

#[test]
fn include_and_exclude_lists_are_for_one_another() {
    for what in ["schema", "table", "column", "message.prefix"] {
        let (include, exclude) = (format!("{what}.include.list"), format!("{what}.exclude.list"));
        let error = refused(&[(&include, "a"), (&exclude, "b")]);
        assert!(
            error.starts_with(&format!(
                "Invalid value b for configuration {exclude}: \"{include}\" is already specified"
            )),
            "{error}"
        );
    }
}

#[test]
fn options_become_what_the_builder_has_for_them() {
    let options = options(&[
        ("snapshot.mode", "ALWAYS"),
        ("slot.stream.params", "origin=none;"),
        ("slot.max.retries", "3"),
        ("slot.retry.delay.ms", "2000"),
        ("snapshot.locking.mode", "shared"),
        ("publication.autocreate.mode", "no_tables"),
        ("publish.via.partition.root", "true"),
        ("cdc.slot.adopt", "true"),
        ("max.batch.size", "100"),
        ("database.query.timeout.ms", "0"),
        ("snapshot.select.statement.overrides", "public.orders, shop.a.b"),
        ("snapshot.select.statement.overrides.public.orders", "SELECT 1;"),
        ("snapshot.select.statement.overrides.shop.a.b", "SELECT 2"),
        ("incremental.snapshot.chunk.size", "1024"),
        ("snapshot.max.threads", "3"),
        ("signal.enabled.channels", "file, source"),
        ("signal.data.collection", "public.debezium_signal"),
        ("signal.poll.interval.ms", "250"),
    ]);
    let signals = &options.settings.signals;
    assert_eq!(signals.table, Some(TableId::new("public", "debezium_signal")));
    assert_eq!(signals.file.as_deref(), Some(std::path::Path::new("file-signals.txt")));
    assert_eq!(signals.interval.as_millis(), 250);
    let select_for = |schema, table| options.select_for(&TableId::new(schema, table));
    assert_eq!(select_for("public", "orders"), Some("SELECT 1"));
    assert_eq!(select_for("shop", "a.b"), Some("SELECT 2"));
    assert_eq!(select_for("shop", "a"), None);
    assert_eq!(options.settings.chunk_rows, Some(1_024));
    assert_eq!(options.settings.snapshot_connections.get(), 3);
    assert_eq!(options.settings.snapshot, SnapshotMode::Always);
    assert_eq!(options.settings.origin, Some(OriginFilter::None));
    assert_eq!(options.settings.slot_patience.map(|patience| patience.as_secs()), Some(6));
    assert_eq!(options.settings.snapshot_lock_timeout.map(|timeout| timeout.as_secs()), Some(10));
    assert_eq!(options.settings.publication_mode, PublicationMode::NoTables);
    assert!(options.settings.via_root && options.settings.adopt_slot);
    assert_eq!(options.settings.limits.max_events, Some(100));
    assert_eq!(options.sql.query_timeout, None);
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/postgres-options.md");

/// The page of the options. `UPDATE_DOCS=1` writes it.
#[test]
fn the_page_of_the_options_is_true() {
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let found = std::fs::read_to_string(PAGE).unwrap();
    assert!(
        found == page,
        "docs/postgres-options.md is not what the code says; run UPDATE_DOCS=1 cargo test -p cdc-postgres --lib options"
    );
}

fn page() -> String {
    let mut page = include_str!("page_head.md").to_owned();
    let cell = |text: &str| text.replace('|', "\\|");
    page.push_str("\n## Supported\n\n| option | default | |\n|---|---|---|\n");
    for option in SUPPORTED {
        let default = match option.default {
            "" => String::new(),
            "required" => "(required)".to_owned(),
            default => format!("`{default}`"),
        };
        let _ = writeln!(page, "| `{}` | {default} | {} |", option.name, cell(option.what));
    }
    page.push_str("\n## Refused by name\n\n| option | what to do |\n|---|---|\n");
    for (name, remedy) in REFUSED {
        let _ = writeln!(page, "| `{name}` | {} |", cell(remedy));
    }
    for (mode, remedy) in REFUSED_SNAPSHOT_MODES {
        let _ = writeln!(page, "| `snapshot.mode={mode}` | {} |", cell(remedy));
    }
    page.push_str("\n## The builder's names\n\n");
    page.push_str(include_str!("page_tail.md"));
    page
}
