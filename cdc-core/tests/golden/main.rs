//! What the real converters of Kafka Connect and Debezium did, compared case by case.
//!
//! Cases stand in `converters/` beside this file, or in the folder that `GOLDEN_CONVERTERS_DIR` (an absolute path)
//! names. Deliberate differences stand in `docs/compat-exceptions.tsv` of the repository. The last line is
//! `passed P failed F skipped S excused E`.

// Without a harness no function is marked as a test.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod adjust_cases;
mod exceptions;
mod json_cases;
mod model;
mod string_cases;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value as Json;

use exceptions::Exceptions;

/// A case's verdict: what differs, or nothing.
type Verdict = Result<(), String>;

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
    excused: usize,
}

fn main() -> ExitCode {
    let given = std::env::var_os("GOLDEN_CONVERTERS_DIR").map(PathBuf::from);
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = given.clone().unwrap_or_else(|| here.join("tests/golden/converters"));
    if !folder.is_absolute() || !folder.is_dir() {
        println!("{} is no folder with an absolute path", folder.display());
        return ExitCode::FAILURE;
    }
    let mut exceptions = Exceptions::load(&here.join("../docs/compat-exceptions.tsv"));
    let mut count = Count::default();
    for file in files(&folder) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let run: fn(&Json) -> Verdict = match name.as_str() {
            "json.jsonl" => json_cases::run,
            "string.jsonl" => string_cases::run,
            "adjust.jsonl" => adjust_cases::run,
            _ => {
                count.skipped += cases(&file).len();
                continue;
            }
        };
        for case in cases(&file) {
            let case_name = case["name"].as_str().unwrap_or_default().to_owned();
            let excused = exceptions.matching(&format!("converters/{name}"), &case_name);
            match (run(&case), excused) {
                (Ok(()), _) => count.passed += 1,
                (Err(_), Some(exception)) => {
                    exceptions.meet(exception);
                    count.excused += 1;
                }
                (Err(difference), None) => {
                    println!("{name} {case_name}: {difference}");
                    count.failed += 1;
                }
            }
        }
    }
    for stale in exceptions.stale(given.is_some()) {
        println!("stale exception: {stale}");
        count.failed += 1;
    }
    let Count { passed, failed, skipped, excused } = count;
    println!("passed {passed} failed {failed} skipped {skipped} excused {excused}");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder of cases can be read");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files
}

fn cases(file: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(file).expect("the cases can be read");
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| serde_json::from_str(&whole_pairs(line)).expect("a case is JSON"))
        .collect()
}

/// Half a surrogate pair, which only Java can keep, becomes the replacement character.
fn whole_pairs(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\\u") {
        let escaped_backslash =
            rest[..at].bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1;
        let code = |text: &str| text.get(..4).and_then(|hex| u16::from_str_radix(hex, 16).ok());
        let first = code(&rest[at + 2..]);
        let second =
            rest.get(at + 6..at + 8).filter(|s| *s == "\\u").and_then(|_| code(&rest[at + 8..]));
        out.push_str(&rest[..at]);
        match (first, second) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => {
                out.push_str(&rest[at..at + 12]);
                rest = &rest[at + 12..];
            }
            (Some(0xd800..=0xdfff), _) if !escaped_backslash => {
                out.push_str("\\ufffd");
                rest = &rest[at + 6..];
            }
            _ => {
                out.push_str("\\u");
                rest = &rest[at + 2..];
            }
        }
    }
    out.push_str(rest);
    out
}
