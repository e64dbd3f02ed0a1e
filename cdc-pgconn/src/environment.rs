//! The process environment as libpq reads it, as a value, so that parsing stays a pure function.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use crate::error::ConnectError;

/// The environment variables (`PG*`, `HOME`) and the operating system user that fill in what a
/// connection URL leaves out.
///
/// ```
/// use cdc_pgconn::{ConnectConfig, Environment};
///
/// let env = Environment::empty().with("PGUSER", "app").with("PGPORT", "5433");
/// let config = ConnectConfig::from_url_in("postgres://db/shop", &env)?;
/// assert_eq!(config.to_string(), "postgres://app@db:5433/shop");
/// # Ok::<(), cdc_pgconn::ConnectError>(())
/// ```
#[derive(Clone, Default)]
pub struct Environment {
    variables: HashMap<String, OsString>,
    os_user: Option<String>,
}

impl Environment {
    /// The environment of this process.
    pub fn process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
            .filter(|(name, _)| name == "HOME" || name.starts_with("PG"))
            .collect();
        Self { variables, os_user: whoami::username().ok() }
    }

    /// No variables and no operating system user.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds or replaces a variable.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Sets the operating system user, the default of the database user.
    #[must_use]
    pub fn with_os_user(mut self, name: impl Into<String>) -> Self {
        self.os_user = Some(name.into());
        self
    }

    /// The value of a variable; an empty one counts as not set, as in libpq.
    pub(crate) fn get(&self, name: &str) -> Result<Option<&str>, ConnectError> {
        match self.variables.get(name).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).ok_or_else(|| {
                ConnectError::configuration(format!("environment variable {name} is not UTF-8"))
            }),
        }
    }

    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.variables.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
    }

    pub(crate) fn os_user(&self) -> Option<&str> {
        self.os_user.as_deref()
    }
}

impl fmt::Debug for Environment {
    /// Names only: a value may be a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> = self.variables.keys().collect();
        names.sort();
        f.debug_struct("Environment")
            .field("variables", &names)
            .field("os_user", &self.os_user)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_names_variables_and_shows_no_value() {
        let env = Environment::empty().with("PGPASSWORD", "hunter2").with_os_user("me");
        let shown = format!("{env:?}");
        assert!(shown.contains("PGPASSWORD") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(Environment::empty().with("PGHOST", "").get("PGHOST").unwrap(), None);
    }

    #[test]
    fn a_variable_that_is_not_utf8_is_an_error_and_not_ignored() {
        use std::os::unix::ffi::OsStringExt;
        let env = Environment::empty().with("PGUSER", OsString::from_vec(vec![0xff]));
        assert!(env.get("PGUSER").unwrap_err().to_string().contains("PGUSER is not UTF-8"));
    }
}
