//! No dependency in two versions: each costs every user its compilation.

use std::collections::{BTreeMap, BTreeSet};

use super::policy::{Policy, Skip};
use crate::{
    Result,
    cargo::{self, cargo},
};

/// Asks `cargo tree` for duplicates among what users compile.
pub(super) fn check() -> Result<bool> {
    let policy = Policy::read()?;
    let tree = cargo::output(&mut cargo([
        "tree",
        "--workspace",
        "--all-features",
        "--duplicates",
        "--edges=normal",
        "--depth=0",
        "--prefix=none",
        "--locked",
    ]))?;
    let found = duplicates(&tree, &policy.bans.skip);
    for (name, versions) in &found {
        let versions = versions.iter().cloned().collect::<Vec<_>>().join(" and ");
        println!(
            "{name} is there in {versions}: choose versions that agree (`cargo tree -d --edges \
             normal`), or list one in deny.toml with the reason"
        );
    }
    Ok(found.is_empty())
}

/// Names with the versions that are there twice and not skipped.
fn duplicates(tree: &str, skip: &[Skip]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        let version = version.trim_start_matches('v');
        if !skip.iter().any(|skip| skip.covers(name, version)) {
            found.entry(name.to_owned()).or_default().insert(version.to_owned());
        }
    }
    // The same version twice is one crate with two sets of features.
    found.retain(|_, versions| versions.len() > 1);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_versions_are_found_unless_one_is_skipped() {
        let tree = "base64 v0.22.1\n\nbase64 v0.23.1\n\nserde v1.0.0\n\nserde v1.0.0 (*)\n";
        assert_eq!(duplicates(tree, &[]).into_keys().collect::<Vec<_>>(), ["base64"]);
        let skip = [Skip { package: "base64@0.22.1".to_owned(), reason: "a reason".to_owned() }];
        assert!(duplicates(tree, &skip).is_empty());
    }
}
