//! What a fresh machine needs: test servers, tests, checks. `cargo xtask help` lists it.

mod arguments;
mod cargo;
mod check;
mod demo;
mod fuzz;
mod interrupt;
mod services;
mod test;

use std::process::ExitCode;

use arguments::Arguments;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line is wrong, or something that is needed is missing.
    #[error("{0}")]
    Message(String),
    /// Everything has been said already; only the exit code is left.
    #[error("exit code {0}")]
    Code(u8),
    /// A test server.
    #[error(transparent)]
    Server(#[from] cdc_testservers::Error),
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Message(message.into())
    }
}

/// A result with a [`Failure`].
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// A subcommand: its name, one line about it, its whole help and what it does.
struct Command {
    name: &'static str,
    about: &'static str,
    help: &'static str,
    run: fn(Arguments) -> Result<()>,
}

const COMMANDS: [Command; 5] = [
    Command {
        name: "demo",
        about: "a live copy of a small shop, from PostgreSQL into a SQLite file",
        help: demo::HELP,
        run: demo::run,
    },
    Command {
        name: "test",
        about: "start every server that the tests need, run all tests, stop the servers",
        help: test::HELP,
        run: test::run,
    },
    Command {
        name: "services",
        about: "start, show or stop the test servers for a developer",
        help: services::HELP,
        run: services::run,
    },
    Command {
        name: "check",
        about: "formatting, clippy over the feature matrix, docs, dependencies, licences, texts",
        help: check::HELP,
        run: check::run,
    },
    Command {
        name: "fuzz",
        about: "run the fuzz targets for a while each",
        help: fuzz::HELP,
        run: fuzz::run,
    },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    match dispatch(words.next().as_deref(), words.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Code(code)) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(name: Option<&str>, words: Vec<String>) -> Result<()> {
    let name = match name {
        None | Some("help" | "--help" | "-h") => {
            println!("usage: cargo xtask COMMAND [--help]\n");
            for command in &COMMANDS {
                println!("  {:<10} {}", command.name, command.about);
            }
            return Ok(());
        }
        Some(name) => name,
    };
    let command = COMMANDS.iter().find(|command| command.name == name).ok_or_else(|| {
        Failure::new(format!("there is no command `{name}`: see `cargo xtask help`"))
    })?;
    let arguments = Arguments::new(name, words);
    if arguments.ask_for_help() {
        println!("{}", command.help.trim());
        return Ok(());
    }
    (command.run)(arguments)
}
