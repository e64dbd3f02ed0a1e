//! What can go wrong on the way to a server. Each message is one line with what to do.

use std::{env, io, path::Path};

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A variable or an option is missing or cannot be used; the text says which and what to do.
    #[error("{0}")]
    Setting(String),

    /// A program that is needed is not on this machine.
    #[error(
        "`{program}` is not on this machine: {remedy}, or give the URL of a PostgreSQL with \
         CDC_TEST_POSTGRES_URL"
    )]
    MissingProgram {
        /// The program's name.
        program: String,
        /// What to install.
        remedy: &'static str,
    },

    /// A program ran and failed.
    #[error("{what} failed: {detail}")]
    Program {
        /// What the program was to do.
        what: String,
        /// The last line that it printed about it.
        detail: String,
    },

    /// A file, folder or process could not be used.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, on which path.
        what: String,
        /// The system's error.
        source: io::Error,
    },

    /// A downloaded package is not what was expected.
    #[error("{0}")]
    Package(String),
}

/// Adds to an I/O error what was tried.
pub(crate) trait Tried<T> {
    /// `verb path: system's error`.
    fn tried(self, verb: &str, path: &Path) -> Result<T>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, verb: &str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::Io { what: format!("{verb} {}", path.display()), source })
    }
}

/// An environment variable; one that is empty counts as not set.
pub(crate) fn setting(name: &str) -> Result<Option<String>> {
    match env::var(name) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => {
            Err(Error::Setting(format!("{name} is not UTF-8: give it as UTF-8 text")))
        }
    }
}
