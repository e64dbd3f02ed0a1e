//! What the real converters of Kafka Connect and Debezium did, compared case by case.
//!
//! Cases stand in `converters/` beside this file, or in the folder that `GOLDEN_CONVERTERS_DIR` (an absolute path)
//! names. Deliberate differences stand in `docs/compat-exceptions.tsv` of the repository. The last line is
//! `passed P failed F skipped S excused E`.

// Without a harness no function is marked as a test.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod adjust_cases;
mod json_cases;
mod string_cases;

use std::path::Path;
use std::process::ExitCode;

use cdc_core::testkit::golden::{Cases, Verdict};
use serde_json::Value as Json;

fn main() -> ExitCode {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = Cases {
        kind: "converters",
        folder: here.join("tests/golden/converters"),
        variable: "GOLDEN_CONVERTERS_DIR",
        exceptions: here.join("../docs/compat-exceptions.tsv"),
    };
    cases.run(|file, _| -> Option<fn(&Json) -> Verdict> {
        match file {
            "json.jsonl" => Some(json_cases::run),
            "string.jsonl" => Some(string_cases::run),
            "adjust.jsonl" => Some(adjust_cases::run),
            _ => None,
        }
    })
}

/// The bytes that a case gives in hexadecimal.
fn bytes_of_hex(hex: &str) -> Vec<u8> {
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(byte).collect()
}
