//! What the real transforms of Kafka Connect and Debezium did, compared case by case.
//!
//! Cases stand in `smt/` beside this file, or in the folder that `GOLDEN_SMT_DIR` (an absolute path) names. Deliberate
//! differences stand in `docs/compat-exceptions.tsv` of the repository. The last line is
//! `passed P failed F skipped S excused E`.

// Without a harness no function is marked as a test.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod case;
mod record;

use std::path::Path;
use std::process::ExitCode;

use cdc_core::testkit::golden::Cases;

fn main() -> ExitCode {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = Cases {
        kind: "smt",
        folder: here.join("tests/golden/smt"),
        variable: "GOLDEN_SMT_DIR",
        exceptions: here.join("../docs/compat-exceptions.tsv"),
    };
    let only = std::env::args().nth(1);
    cases.run(|file, cases| {
        let wanted = only.as_deref().is_none_or(|only| file.starts_with(only));
        (wanted && cases.iter().all(case::exists)).then_some(case::run)
    })
}
