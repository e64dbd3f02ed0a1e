//! Golden cases: what the real converters and transforms of Kafka Connect and Debezium did, one JSON object a line,
//! compared case by case.

mod exceptions;
mod model;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::Value as Json;

use crate::error::{Error, Result};
use exceptions::Exceptions;

pub use model::{payload, same, same_error, schemaless, shown};

/// A case's verdict: what differs, or nothing.
pub type Verdict = Result<(), String>;

/// A folder of cases, `<file>.jsonl` each, and the deliberate differences from them.
#[derive(Debug, Clone)]
pub struct Cases {
    /// What FILE begins with in the exceptions: `converters`, `smt`.
    pub kind: &'static str,
    /// The folder in the repository.
    pub folder: PathBuf,
    /// The environment variable that may name another folder, by an absolute path.
    pub variable: &'static str,
    /// `docs/compat-exceptions.tsv`.
    pub exceptions: PathBuf,
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: usize,
    skipped: usize,
    excused: usize,
}

impl Cases {
    /// Runs every case and prints what differs; the last line is `passed P failed F skipped S excused E`. `runner` gives
    /// what runs the cases of a file, whose name and cases it gets, `None` to skip them. An exception that no case needs is a failure.
    pub fn run<R: FnMut(&Json) -> Verdict>(
        &self,
        runner: impl Fn(&str, &[Json]) -> Option<R>,
    ) -> ExitCode {
        match self.count(runner) {
            Ok(Count { passed, failed, skipped, excused }) => {
                println!("passed {passed} failed {failed} skipped {skipped} excused {excused}");
                if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => {
                println!("{error}");
                ExitCode::FAILURE
            }
        }
    }

    fn count<R: FnMut(&Json) -> Verdict>(
        &self,
        runner: impl Fn(&str, &[Json]) -> Option<R>,
    ) -> Result<Count> {
        let given = std::env::var_os(self.variable).map(PathBuf::from);
        let folder = given.as_ref().unwrap_or(&self.folder);
        if !folder.is_absolute() || !folder.is_dir() {
            return Err(Error::configuration(format!(
                "{} is no folder with an absolute path",
                folder.display()
            )));
        }
        let mut exceptions = Exceptions::load(&self.exceptions, self.kind)?;
        let mut count = Count::default();
        for path in files(folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let cases = cases(&path)?;
            let Some(mut run) = runner(&name, &cases) else {
                count.skipped += cases.len();
                continue;
            };
            for case in cases {
                let case_name = case["name"].as_str().unwrap_or_default();
                let excused = exceptions.matching(&format!("{}/{name}", self.kind), case_name)?;
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
        Ok(count)
    }
}

fn unreadable(path: &Path, error: impl std::error::Error) -> Error {
    Error::configuration(format!("{} cannot be read: {error}", path.display()))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    Ok(files)
}

fn cases(file: &Path) -> Result<Vec<Json>> {
    let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, error))?;
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            serde_json::from_str(&whole_pairs(line)).map_err(|error| unreadable(file, error))
        })
        .collect()
}

/// Half a surrogate pair, which only Java can keep, becomes the replacement character.
fn whole_pairs(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("\\u") {
        let (before, escape) = rest.split_at(at);
        let escaped_backslash = before.bytes().rev().take_while(|&b| b == b'\\').count() % 2 == 1;
        let code = |at: usize| {
            let hex = escape.get(at..at + 4)?;
            u16::from_str_radix(hex, 16).ok()
        };
        let second = escape.get(6..8).filter(|next| *next == "\\u").and_then(|_| code(8));
        let (written, used) = match (code(2), second) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => (escape.get(..12), 12),
            (Some(0xd800..=0xdfff), _) if !escaped_backslash => (Some("\\ufffd"), 6),
            _ => (Some("\\u"), 2),
        };
        out.push_str(before);
        out.push_str(written.unwrap_or_default());
        rest = escape.get(used..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}
