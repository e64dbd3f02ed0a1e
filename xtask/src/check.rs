//! `cargo xtask check`: all that is checked without running a test.

mod advisories;
mod duplicates;
mod features;
mod licences;
mod policy;
mod texts;

use std::time::Instant;

use crate::{
    Failure, Result,
    arguments::Arguments,
    cargo::{self, cargo},
    interrupt,
};

pub(crate) const HELP: &str = "
usage: cargo xtask check [STEP...]

Checks the workspace; every step runs, and the failed ones are named at the end.

  fmt         formatting
  clippy      clippy without warnings: every published crate without features, with each feature
              alone and with all, then the whole workspace
  doc         rustdoc without warnings
  duplicates  no dependency in two versions, but for those that deny.toml lists with a reason
  licences    every dependency under a licence that deny.toml allows
  advisories  known vulnerabilities (skipped where neither cargo-deny nor cargo-audit is installed,
              or their database cannot be reached)
  texts       no path of a developer's machine in the repository; a warning for long source files
";

/// A step by name. What it finds it prints; `false` is a failed check.
type Step = (&'static str, fn() -> Result<bool>);

const STEPS: [Step; 7] = [
    ("fmt", formatting),
    ("clippy", features::clippy),
    ("doc", docs),
    ("duplicates", duplicates::check),
    ("licences", licences::check),
    ("advisories", advisories::check),
    ("texts", texts::check),
];

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let names = arguments.names();
    if let Some(name) = names.iter().find(|name| STEPS.iter().all(|step| step.0 != *name)) {
        return Err(arguments.wrong(&format!("there is no step `{name}`")));
    }
    arguments.end()?;
    interrupt::watch()?;
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        println!("== {name}");
        let start = Instant::now();
        let good = step().or_else(|failure| {
            interrupt::check()?;
            println!("error: {failure}");
            Ok::<_, Failure>(false)
        })?;
        let outcome = if good { "ok" } else { "FAILED" };
        println!("== {name}: {outcome} ({:.0} s)", start.elapsed().as_secs_f64());
        if !good {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let failed = failed.join(" ");
    Err(Failure::new(format!("checks failed: run `cargo xtask check {failed}` after mending them")))
}

fn formatting() -> Result<bool> {
    cargo::succeeds(&mut cargo(["fmt", "--all", "--", "--check"]))
}

fn docs() -> Result<bool> {
    let mut command =
        cargo(["doc", "--quiet", "--workspace", "--no-deps", "--all-features", "--locked"]);
    cargo::succeeds(command.env("RUSTDOCFLAGS", "-Dwarnings"))
}
