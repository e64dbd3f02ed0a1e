//! What `deny.toml` allows. The file is cargo-deny's, so that either can check it.

use std::fs;

use serde::Deserialize;

use crate::{Failure, Result, cargo::workspace};

/// The parts of `deny.toml` that the checks here use.
#[derive(Debug, Deserialize)]
pub(super) struct Policy {
    pub(super) licenses: Licences,
    pub(super) bans: Bans,
}

/// Which licences a dependency may have.
#[derive(Debug, Deserialize)]
pub(super) struct Licences {
    /// SPDX names.
    pub(super) allow: Vec<String>,
}

/// Which dependencies may be there twice.
#[derive(Debug, Deserialize)]
pub(super) struct Bans {
    #[serde(default)]
    pub(super) skip: Vec<Skip>,
}

/// A version that may stand beside another one of the same crate.
#[derive(Debug, Deserialize)]
pub(super) struct Skip {
    /// `name@version`, the version whole or its first numbers.
    #[serde(rename = "crate")]
    pub(super) package: String,
    pub(super) reason: String,
}

impl Skip {
    /// Whether this is about that version of that crate.
    pub(super) fn covers(&self, name: &str, version: &str) -> bool {
        self.package.split_once('@').is_some_and(|(skipped, numbers)| {
            let rest = version.strip_prefix(numbers);
            skipped == name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

impl Policy {
    pub(super) fn read() -> Result<Self> {
        let file = workspace().join("deny.toml");
        let text = fs::read_to_string(&file)
            .map_err(|error| Failure::new(format!("reading {}: {error}", file.display())))?;
        Self::parse(&text).map_err(|error| Failure::new(format!("deny.toml: {error}")))
    }

    pub(super) fn parse(text: &str) -> std::result::Result<Self, String> {
        let policy: Self = basic_toml::from_str(text).map_err(|error| error.to_string())?;
        match policy.bans.skip.iter().find(|skip| skip.reason.trim().is_empty()) {
            Some(skip) => Err(format!("{} is skipped without a reason: give one", skip.package)),
            None => Ok(policy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_covered_by_its_first_numbers_but_not_by_half_of_one() {
        let skip = Skip { package: "a@0.2".to_owned(), reason: String::new() };
        assert!(skip.covers("a", "0.2") && skip.covers("a", "0.2.17"));
        assert!(!skip.covers("a", "0.20.1") && !skip.covers("a", "0.3.0"));
        assert!(!skip.covers("b", "0.2.17"));
    }

    #[test]
    fn an_exception_needs_a_reason() {
        let policy = |reason: &str| {
            Policy::parse(&format!(
                "[licenses]\nallow = [\"MIT\"]\n[bans]\nmultiple-versions = \"deny\"\n\
                 skip = [{{ crate = \"a@1.0.0\", reason = \"{reason}\" }}]\n"
            ))
        };
        assert_eq!(policy("its user is slow").unwrap().bans.skip.len(), 1);
        assert!(policy(" ").unwrap_err().contains("a@1.0.0"));
    }
}
