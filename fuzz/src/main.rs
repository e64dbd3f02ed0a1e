//! Fuzz targets as an ordinary program: they build and run on the stable toolchain.
//!
//! A target is a function that must not panic, loop or use up the memory, whatever bytes it is
//! given. To add one, add a line to [`TARGETS`]; the files in `fuzz/corpus/NAME/` are where its
//! inputs start from.
//!
//! ```text
//! cargo xtask fuzz [--seconds N] [TARGET...]
//! cargo run --profile fuzzing -p cdc-fuzz -- TARGET [--seconds N] [--seed N]
//! cargo run --profile fuzzing -p cdc-fuzz -- TARGET --replay FILE
//! ```

mod driver;
mod mutate;

use std::{path::Path, process::ExitCode, time::Duration};

/// A function under test, by name.
pub(crate) struct Target {
    name: &'static str,
    run: fn(&[u8]),
}

/// Every target: its name, which is also that of its folder in `fuzz/corpus`, and its function.
const TARGETS: &[Target] = &[
    Target { name: "pgoutput", run: cdc_postgres::pgoutput::decode_any },
    Target { name: "postgres_values", run: cdc_postgres::parse_any_value },
    Target { name: "copy_text", run: copy_text },
    Target { name: "connect_json", run: connect_json },
];

/// A record of JsonConverter, with its schema and without.
fn connect_json(bytes: &[u8]) {
    use cdc_core::connect::{ConnectProfile, JsonConverter, JsonOptions};
    for enable in ["true", "false"] {
        let mut options = JsonOptions::default();
        if options.set("schemas.enable", enable).is_err() {
            continue;
        }
        let Ok(mut converter) = JsonConverter::new(options, ConnectProfile::default()) else {
            continue;
        };
        if let Ok(payload) = converter.decode(Some(bytes)) {
            let mut out = Vec::new();
            // What was decoded may not fit its own schema; it must not panic.
            let _ = converter.encode(&payload, &mut out);
        }
    }
}

/// Rows of COPY's text format, in messages and as messages.
fn copy_text(bytes: &[u8]) {
    use cdc_postgres::copy_text::{LineSplitter, fields};
    let mut lines = LineSplitter::default();
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let message = |body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        [b"d", &length.to_be_bytes()[..], body].concat()
    };
    for run in [message(first), message(second), bytes.to_vec()] {
        lines.push(run.into());
        while let Some(line) = lines.next_line() {
            fields(line.text).for_each(drop);
        }
    }
}

const USAGE: &str =
    "usage: cdc-fuzz --list | TARGET [--seconds N] [--seed N] | TARGET --replay FILE";

fn main() -> ExitCode {
    match command(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn command(arguments: &[String]) -> Result<(), String> {
    let (name, options) = arguments.split_first().ok_or(USAGE)?;
    if name == "--list" {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return Ok(());
    }
    let target = TARGETS.iter().find(|target| target.name == name).ok_or_else(|| {
        let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
        format!("there is no target `{name}`; there are: {}", names.join(", "))
    })?;
    let (mut seconds, mut seed, mut replay) = (30, fastrand::u64(..), None);
    for pair in options.chunks(2) {
        match pair {
            [option, value] if option == "--seconds" => seconds = number(option, value)?,
            [option, value] if option == "--seed" => seed = number(option, value)?,
            [option, value] if option == "--replay" => replay = Some(value),
            _ => return Err(USAGE.to_owned()),
        }
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let failures = here.parent().unwrap_or(here).join("target/fuzz");
    match replay {
        Some(file) => driver::replay(target, Path::new(file)),
        None => driver::Run {
            target,
            corpus: &here.join("corpus").join(target.name),
            failures: &failures,
            time: Duration::from_secs(seconds),
            seed,
        }
        .go(),
    }
}

fn number(option: &str, value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| format!("{option} takes a whole number, not `{value}`"))
}
