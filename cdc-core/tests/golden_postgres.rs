//! Records of a real Debezium PostgreSQL connector (`golden/postgres`): read and written again they are the same bytes,
//! and the same rows under other handling modes are the bytes of the connector that had these modes.

// Helpers of a test are not marked as tests.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "golden_postgres/records.rs"]
mod records;
#[path = "golden_postgres/tables.rs"]
mod tables;

use cdc_core::connect::{
    ConnectProfile, JsonConverter, JsonOptions, Processed, RecordSplit, SourceTypeColumns,
};
use cdc_core::{ChangeEvent, Payload};
use proptest::prelude::*;

use records::{Record, first_difference, records};
use tables::{Rebuilt, rebuild};

fn converter(schemas_enable: bool, profile: &ConnectProfile) -> JsonConverter {
    let mut options = JsonOptions::default();
    options.schemas_enable = schemas_enable;
    JsonConverter::new(options, profile.clone()).unwrap()
}

const FILES: [&str; 10] = [
    "types/default",
    "types/connect",
    "types/isostring",
    "types/micro",
    "types/nano",
    "types/adaptive_micro",
    "semantics/default",
    "semantics/full",
    "semantics/filtered",
    "semantics/unwrap",
];

#[test]
fn every_record_is_written_as_it_was_read() {
    for file in FILES {
        for Record { line, key, value, .. } in records(file) {
            for bytes in [key, value].into_iter().flatten() {
                let mut converter =
                    converter(bytes.starts_with("{\"schema\":"), &ConnectProfile::default());
                let payload = converter.decode(Some(bytes.as_bytes())).unwrap();
                let mut out = Vec::new();
                assert!(converter.encode(&payload, &mut out).unwrap());
                first_difference(&String::from_utf8(out).unwrap(), &bytes, file, line);
            }
        }
    }
}

/// The profile of a variant's connector.
fn profile(prefix: &str, properties: &[(&str, &str)]) -> ConnectProfile {
    let mut builder = ConnectProfile::builder().topic_prefix(prefix);
    builder.modes_mut().version = "3.6.1.Final".into();
    for (name, value) in properties {
        builder = builder.property(name, value).unwrap();
    }
    builder.build()
}

/// Writes the events of the original rows and compares whole records.
fn compare(file: &str, profile: &ConnectProfile, only: impl Fn(&Record) -> bool) -> usize {
    let mut compared = 0;
    let mut events: Vec<ChangeEvent> = Vec::new();
    for record in records(file).iter().filter(|record| only(record)) {
        let Some(Rebuilt { event, processed }) = rebuild(file, record) else { continue };
        let enabled = record.value.as_deref().is_some_and(|v| v.starts_with("{\"schema\":"));
        let mut converter = converter(enabled, profile);
        events.clear();
        events.push(event);
        let event = &events[0];
        let mut out = Vec::new();
        assert!(converter.encode_value(event, processed, &mut out).unwrap());
        let written = String::from_utf8(out).unwrap();
        first_difference(&written, record.value.as_deref().unwrap(), file, record.line);

        let lowered = profile.lower(event, processed).unwrap().unwrap();
        let mut out = Vec::new();
        converter.encode(&lowered.value, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), written, "lowered, {file} {}", record.line);

        let mut options = JsonOptions::default();
        options.set("converter.type", "key").unwrap();
        options.schemas_enable = record.key.as_deref().is_some_and(|k| k.starts_with("{\"schema"));
        let mut keys = JsonConverter::new(options, profile.clone()).unwrap();
        let mut out = Vec::new();
        let there = keys.encode_key(event, processed, &mut out).unwrap();
        let key = there.then(|| String::from_utf8(out).unwrap());
        assert_eq!(key.as_deref(), record.key.as_deref(), "key, {file} line {}", record.line);
        compared += 1;
    }
    compared
}

#[test]
fn rows_of_all_types_are_those_of_the_default_modes() {
    let profile = profile("pg_types_default", &[]);
    assert!(compare("types/default", &profile, |_| true) >= 30);
}

#[test]
fn rows_of_all_types_are_those_of_connects_own_types_doubles_base64_and_maps() {
    let profile = profile(
        "pg_types_connect",
        &[
            ("time.precision.mode", "connect"),
            ("decimal.handling.mode", "double"),
            ("binary.handling.mode", "base64"),
            ("hstore.handling.mode", "map"),
            ("interval.handling.mode", "string"),
        ],
    );
    assert!(compare("types/connect", &profile, |_| true) >= 18);
}

#[test]
fn rows_of_all_types_are_those_of_iso_strings_decimal_text_hex_and_unknown_types() {
    let profile = profile(
        "pg_types_isostring",
        &[
            ("time.precision.mode", "isostring"),
            ("decimal.handling.mode", "string"),
            ("binary.handling.mode", "hex"),
            ("include.unknown.datatypes", "true"),
        ],
    );
    // In the snapshot Debezium counts days before Christ by the Julian calendar and loses the era.
    let gregorian =
        |record: &Record| !record.value.as_deref().is_some_and(|v| v.contains("\"0044-03-15Z\""));
    assert!(compare("types/isostring", &profile, gregorian) >= 30);
}

#[test]
fn rows_of_all_types_are_those_of_microseconds_adjusted_names_and_source_types() {
    let mut builder = ConnectProfile::builder().topic_prefix("pg_types_micro");
    builder.modes_mut().version = "3.6.1.Final".into();
    builder.modes_mut().source_type = SourceTypeColumns::matching(|_| true);
    let profile = builder
        .property("time.precision.mode", "microseconds")
        .and_then(|b| b.property("binary.handling.mode", "base64-url-safe"))
        .and_then(|b| b.property("money.fraction.digits", "3"))
        .and_then(|b| b.property("schema.name.adjustment.mode", "avro"))
        .and_then(|b| b.property("field.name.adjustment.mode", "avro"))
        .unwrap()
        .build();
    // Debezium tells other lengths of an unbounded numeric in the snapshot.
    let stream = |record: &Record| {
        !(record.topic.ends_with("t_number")
            && record.value.as_deref().is_some_and(|v| v.contains("\"131089\"")))
    };
    assert!(compare("types/micro", &profile, stream) >= 17);
}

#[test]
fn times_are_those_of_nanoseconds_and_of_adaptive_microseconds() {
    let nano = profile("pg_types_nano", &[("time.precision.mode", "nanoseconds")]);
    assert!(compare("types/nano", &nano, |_| true) >= 6);
    let modes = [("time.precision.mode", "adaptive_time_microseconds")];
    let micro = profile("pg_types_adaptive_micro", &modes);
    assert!(compare("types/adaptive_micro", &micro, |_| true) >= 4);
}

#[test]
fn changes_have_the_before_images_placeholders_and_blocks_of_debezium() {
    let plain = profile("pg_semantics_default", &[]);
    let tables = ["customers", "customers_full", "toast", "keyless"];
    let known = |record: &Record| {
        tables.iter().any(|table| record.topic.ends_with(&format!(".public.{table}")))
    };
    assert!(compare("semantics/default", &plain, known) >= 25);
}

#[test]
fn a_key_change_is_a_delete_a_tombstone_and_a_create_with_their_headers() {
    let profile = profile("pg_semantics_default", &[]);
    let records = records("semantics/default");
    let at = records
        .iter()
        .position(|r| r.topic.ends_with(".customers") && r.headers.contains("__debezium.newkey"))
        .unwrap();
    let deleted = rebuild("semantics/default", &records[at]).unwrap();
    let created = rebuild("semantics/default", &records[at + 2]).unwrap();
    let before = deleted.event.before().cloned();
    let after = created.event.after().cloned().unwrap();
    let change = cdc_core::Change::update(before, after);
    let destination = deleted.event.destination.clone();
    let moved = ChangeEvent::change(destination, change, deleted.event.origin().clone());
    let mut out = Vec::new();
    RecordSplit::new(profile.clone(), true).apply(moved, &mut out).unwrap();
    assert_eq!(out.len(), 3);
    let processed = [deleted.processed, deleted.processed, created.processed];
    for (position, (event, processed)) in out.iter().zip(processed).enumerate() {
        let record = &records[at + position];
        let mut value = Vec::new();
        let there = converter(true, &profile).encode_value(event, processed, &mut value).unwrap();
        let value = there.then(|| String::from_utf8(value).unwrap());
        assert_eq!(value.as_deref(), record.value.as_deref());
        let header = event.headers.iter().next().unwrap();
        let payload = Payload::Value { schema: header.schema.clone(), value: header.value.clone() };
        let mut shown = Vec::new();
        converter(false, &profile).encode(&payload, &mut shown).unwrap();
        let shown: serde_json::Value = serde_json::from_slice(&shown).unwrap();
        let headers: serde_json::Value = serde_json::from_str(&record.headers).unwrap();
        assert_eq!(headers[0][0], *header.name);
        assert_eq!(headers[0][1], shown);
    }
}

#[test]
fn messages_and_transactions_have_the_records_of_debezium() {
    let profile = profile("pg_semantics_full", &[]);
    for topic in ["pg_semantics_full.message", "pg_semantics_full.transaction"] {
        let compared = compare("semantics/full", &profile, |record| record.topic == topic);
        assert!(compared >= 2, "{topic}");
    }
    let plain = self::profile("pg_semantics_default", &[]);
    let message = |record: &Record| record.topic == "pg_semantics_default.message";
    assert_eq!(compare("semantics/default", &plain, message), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_damage_to_a_record_panics_the_decoder(file in 0usize..10, pick: usize, at: usize, byte: u8, cut: bool) {
        let all = records(FILES[file]);
        let record = &all[pick % all.len()];
        if let Some(value) = &record.value {
            let mut bytes = value.clone().into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            if cut {
                bytes.truncate(at);
            }
            for enabled in [true, false] {
                let _ = converter(enabled, &ConnectProfile::default()).decode(Some(&bytes));
            }
        }
        let _ = Processed::now();
    }
}
