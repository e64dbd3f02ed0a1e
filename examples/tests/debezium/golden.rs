//! The records of `debezium_json` are those of Debezium's PostgreSQL connector, for the same statements on a real server:
//! byte for byte, but for what `docs/compat-exceptions.tsv` excepts.

use std::path::PathBuf;

use cdc_core::offset_store::{FileOffsetStore, OffsetStore};

use crate::comparer::compare;
use crate::connector::Connector;
use crate::exceptions::{self, Exceptions};

const VARIANTS: [&str; 11] = [
    "semantics/default",
    "semantics/full",
    "semantics/filtered",
    "semantics/unwrap",
    "semantics/unwrap_fields",
    "types/default",
    "types/connect",
    "types/isostring",
    "types/micro",
    "types/nano",
    "types/adaptive_micro",
];

fn golden(name: &str) -> String {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../cdc-core/tests/golden/postgres");
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a variant and compares its records. `set` replaces properties, `left_out` are reasons of exceptions that do not
/// apply then.
async fn equal(variant: &str, set: &[(&str, &str)], left_out: &str) {
    let (folder, _) = variant.split_once('/').unwrap();
    let mut connector = Connector::new("golden", &golden(&format!("{variant}.json"))).await;
    for (name, value) in set {
        connector.set(name, value);
    }
    let version = connector.database.one("SHOW server_version_num").await.unwrap();
    let version: u32 = version.parse().unwrap();
    if version < 140_000 {
        eprintln!("{variant} is left out: its statements need PostgreSQL 14");
        return connector.database.drop_now().await;
    }
    for statement in statements(&golden(&format!("{folder}/setup.sql"))) {
        connector.database.run(statement).await;
    }
    let mut program = connector.start(&["--until", "public.zz_done"]);
    program.streaming().await;
    for statement in statements(&golden(&format!("{folder}/stream.sql"))) {
        connector.database.run(statement).await;
    }
    let status = program.end().await;
    assert!(status.success(), "{variant} ended with {status}: {}", program.errors());
    let expected =
        golden(&format!("{variant}.jsonl")).replace("golden_pg", &connector.database.name);
    let name = format!("postgres/{variant}");
    let text = exceptions::text();
    let not = |reason: &str| !left_out.is_empty() && reason.contains(left_out);
    let mut exceptions = Exceptions::of_text_but(&text, &name, not);
    let mut lines = program.lines();
    if version < 150_000 {
        leave_empty_transactions_out(&mut lines);
    }
    let verdict = compare(&name, &expected, &lines.join("\n"), &mut exceptions);
    assert!(
        verdict.wrong.is_empty(),
        "{variant}: {} equal, {} excepted, and\n{}",
        verdict.equal,
        verdict.excepted,
        verdict.wrong.join("\n")
    );
    assert!(verdict.equal > 0);
    connector.database.drop_now().await;
}

/// Before PostgreSQL 15 the log has transactions in it of which nothing is for us.
fn leave_empty_transactions_out(lines: &mut Vec<String>) {
    let key = |line: &String| {
        line.split_once("\"key\":")
            .and_then(|(_, rest)| rest.split_once(",\"value\":"))
            .map(|(key, _)| key.to_owned())
    };
    let empty: Vec<_> =
        lines.iter().filter(|line| line.contains("\"event_count\":0,")).map(key).collect();
    lines.retain(|line| !line.contains(".transaction\"") || !empty.contains(&key(line)));
}

fn statements(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty())
}

#[tokio::test]
async fn changes_keys_and_tombstones_with_the_default_options() {
    equal("semantics/default", &[], "").await;
}

#[tokio::test]
async fn transaction_metadata_truncates_comments_and_partition_roots() {
    equal("semantics/full", &[], "").await;
}

#[tokio::test]
async fn column_lists_masks_hashes_and_keys_of_other_columns() {
    equal("semantics/filtered", &[], "").await;
}

#[tokio::test]
async fn rows_unwrapped_and_routed() {
    equal("semantics/unwrap", &[], "").await;
}

#[tokio::test]
async fn rows_unwrapped_with_fields_headers_and_rewritten_deletes() {
    equal("semantics/unwrap_fields", &[], "").await;
}

#[tokio::test]
async fn every_type_with_the_default_modes() {
    equal("types/default", &[], "").await;
}

#[tokio::test]
async fn every_type_as_connects_own_doubles_base64_and_maps() {
    equal("types/connect", &[], "").await;
}

#[tokio::test]
async fn every_type_as_iso_strings_decimal_text_and_hex() {
    equal("types/isostring", &[], "").await;
}

#[tokio::test]
async fn every_type_in_microseconds_with_adjusted_names_and_source_types() {
    equal("types/micro", &[], "").await;
}

#[tokio::test]
async fn times_and_arrays_in_nanoseconds() {
    equal("types/nano", &[], "").await;
}

#[tokio::test]
async fn times_in_adaptive_microseconds_and_decimals_as_numbers() {
    equal("types/adaptive_micro", &[], "").await;
}

#[tokio::test]
async fn null_becomes_the_default_where_that_is_asked_for() {
    let set = [("value.converter.replace.null.with.default", "true")];
    equal("types/default", &set, "replace.null.with.default").await;
}

#[tokio::test]
async fn what_connect_shows_of_each_connector_can_be_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileOffsetStore::open(folder.path()).unwrap();
    for variant in VARIANTS {
        let shown = golden(&format!("{variant}.offsets.json"));
        store.import_connect(variant, &["stdout"], &shown).await.unwrap();
        let offsets = OffsetStore::open(&store, variant).await.unwrap();
        assert!(offsets["stdout"].get("lsn").is_some(), "{variant}");
    }
}

#[test]
fn every_exception_is_of_a_file_that_there_is() {
    let text = exceptions::text();
    for [file, _, _, reason] in
        exceptions::lines(&text).filter(|[file, ..]| file.starts_with("postgres"))
    {
        let name = |variant: &&str| exceptions::matches(file, &format!("postgres/{variant}"));
        assert!(VARIANTS.iter().any(name), "{file}: {reason}");
    }
}
