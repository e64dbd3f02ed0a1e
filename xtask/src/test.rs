//! `cargo xtask test`: servers, then tests, then no servers.

use std::{
    env,
    process::{Command, ExitStatus},
};

use cdc_testservers::{MATRIX, Options, PostgresInstall, PostgresServer, sweep};

use crate::{
    Failure, Result,
    arguments::Arguments,
    cargo::{self, cargo},
    interrupt,
};

pub(crate) const HELP: &str = "
usage: cargo xtask test [--matrix | --version N] [-- CARGO TEST ARGUMENTS]

Starts the servers that the tests need, runs every test of the workspace (unit, doc, integration)
with all features, and stops the servers, also after a failure or Ctrl-C. Ends with the exit code
of the tests.

  --version N   on PostgreSQL N (12 to 18) instead of the usual one
  --matrix      the tests that use PostgreSQL, on each of 12 to 18

What stands after `--` goes to `cargo test`; if it names packages (-p), only these are tested.

  CDC_TEST_POSTGRES_URL     a server of your own (superuser, wal_level=logical); no other is shared
  CDC_TEST_POSTGRES_BIN     folder of the PostgreSQL programs to use
  CDC_TEST_POSTGRES_FETCH   1: fetch PostgreSQL even where one is installed
  CDC_CACHE_DIR             where servers lie (~/.cache/cdc-rs; root: /var/cache/cdc-rs)
";

/// The packages whose tests depend on PostgreSQL's version.
const OF_POSTGRES: [&str; 4] = ["cdc-pgconn", "cdc-postgres", "cdc-sinks", "cdc-examples"];

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let matrix = arguments.flag("--matrix");
    let version: Option<u32> = arguments.value("--version")?;
    let rest = arguments.rest();
    if matrix && version.is_some() {
        return Err(arguments.wrong("--matrix and --version exclude each other"));
    }
    arguments.end()?;
    interrupt::watch()?;

    let outcome = if matrix {
        on_every_version(&rest)
    } else {
        on_one(version, &rest).and_then(|status| code(status).map_or(Ok(()), Err))
    };
    // What tests that were killed, or that keep a server in a static, have left.
    sweep()?;
    outcome
}

fn on_every_version(rest: &[String]) -> Result<()> {
    if env::var_os("CDC_TEST_POSTGRES_URL").is_some_and(|url| !url.is_empty()) {
        return Err(Failure::new(
            "--matrix starts the servers itself: unset CDC_TEST_POSTGRES_URL",
        ));
    }
    let mut words: Vec<_> =
        OF_POSTGRES.iter().flat_map(|name| ["-p".to_owned(), (*name).to_owned()]).collect();
    words.extend(rest.iter().cloned());
    let rest = if names_packages(rest) { rest } else { &words };
    let mut failed = Vec::new();
    for version in MATRIX {
        println!("== PostgreSQL {version}");
        if !on_one(Some(version), rest)?.success() {
            failed.push(version.to_string());
        }
        interrupt::check()?;
    }
    if failed.is_empty() {
        println!("the tests pass on PostgreSQL {} to {}", MATRIX[0], MATRIX[MATRIX.len() - 1]);
        return Ok(());
    }
    Err(Failure::new(format!(
        "tests failed on PostgreSQL {}: run `cargo xtask test --version {}`",
        failed.join(", "),
        failed[0]
    )))
}

/// Runs the tests against the user's own server, or one that is started for them.
fn on_one(version: Option<u32>, rest: &[String]) -> Result<ExitStatus> {
    let given = env::var_os("CDC_TEST_POSTGRES_URL").is_some_and(|url| !url.is_empty());
    if given && version.is_none() {
        println!("the tests share the server of CDC_TEST_POSTGRES_URL");
        return cargo::run(&mut tests(rest));
    }
    if given {
        return Err(Failure::new(
            "--version starts the server itself: unset CDC_TEST_POSTGRES_URL",
        ));
    }
    let install = PostgresInstall::find_or_fetch(version)?;
    interrupt::check()?;
    let server = PostgresServer::start(&install, Options::new())?;
    println!("the tests share a PostgreSQL {} on port {}", server.version(), server.port());
    let mut tests = tests(rest);
    tests.envs(server.variables());
    let status = cargo::run(&mut tests);
    server.delete()?;
    status
}

fn tests(rest: &[String]) -> Command {
    let mut command = cargo(["test", "--all-features"]);
    if !names_packages(rest) {
        command.arg("--workspace");
    }
    command.args(rest);
    command
}

/// Whether arguments of `cargo test` select packages.
fn names_packages(arguments: &[String]) -> bool {
    arguments
        .iter()
        .take_while(|word| *word != "--")
        .any(|word| word == "-p" || word == "--package" || word.starts_with("--package="))
}

/// The failure that stands for an exit status, if it is one.
fn code(status: ExitStatus) -> Option<Failure> {
    if interrupt::count() > 0 {
        return Some(Failure::Code(130));
    }
    match status.code() {
        Some(0) => None,
        Some(code) => Some(Failure::Code(u8::try_from(code).unwrap_or(1))),
        None => Some(Failure::Code(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_looked_for_before_the_arguments_of_the_test_program() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(names_packages(&words("--lib -p cdc-core")));
        assert!(names_packages(&words("--package=cdc-core")));
        assert!(!names_packages(&words("name -- -p")));
    }
}
