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
    /// `name@version`.
    #[serde(rename = "crate")]
    pub(super) package: String,
    pub(super) reason: String,
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
