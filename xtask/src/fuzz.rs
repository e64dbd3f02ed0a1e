//! `cargo xtask fuzz`: the targets of the package `cdc-fuzz`, one after the other.

use crate::{
    Failure, Result,
    arguments::Arguments,
    cargo::{self, cargo},
    interrupt,
};

pub(crate) const HELP: &str = "
usage: cargo xtask fuzz [--seconds N] [--seed N] [TARGET...]

Runs every fuzz target, or those named, for N seconds each (30). The first that fails ends it, with
the seed and the file of the input (target/fuzz/*.hex).

A target is one line in fuzz/src/main.rs.
";

/// Builds and runs `cdc-fuzz`, optimised and with overflow checks.
const PROGRAM: [&str; 6] = ["run", "--quiet", "--profile=fuzzing", "--package", "cdc-fuzz", "--"];

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let seconds: u64 = arguments.value("--seconds")?.unwrap_or(30);
    let seed: Option<u64> = arguments.value("--seed")?;
    let mut targets = arguments.names();
    arguments.end()?;
    interrupt::watch()?;

    println!("building the fuzz targets");
    let known = cargo::output(&mut cargo(PROGRAM.into_iter().chain(["--list"])))?;
    let known: Vec<_> = known.lines().map(str::to_owned).collect();
    if let Some(name) = targets.iter().find(|name| !known.contains(name)) {
        let known = known.join(", ");
        return Err(Failure::new(format!("there is no target `{name}`; there are: {known}")));
    }
    if targets.is_empty() {
        targets = known;
    }
    for target in &targets {
        let mut command = cargo(PROGRAM);
        command.args([target, "--seconds", &seconds.to_string()]);
        if let Some(seed) = seed {
            command.args(["--seed", &seed.to_string()]);
        }
        if !cargo::succeeds(&mut command)? {
            return Err(Failure::new(format!(
                "the fuzz target {target} failed: its input is the newest file \
                 target/fuzz/{target}*.hex; run it with `cargo run --profile fuzzing -p cdc-fuzz -- \
                 {target} --replay FILE`"
            )));
        }
    }
    println!("{} fuzz targets ran without a failure", targets.len());
    Ok(())
}
