//! Clippy over the feature matrix.

use crate::{
    Result,
    cargo::{self, Metadata, Package, cargo},
};

/// Runs clippy for every published crate and every selection of its features, then for all.
pub(super) fn clippy() -> Result<bool> {
    let metadata = Metadata::read()?;
    let mut good = true;
    for package in metadata.members().filter(|package| is_published(package)) {
        for selection in selections(package) {
            // With its tests, and without: the features that they turn on in other crates must
            // not be what makes the library build.
            for targets in [&["--lib"][..], &["--all-targets"]] {
                let mut words = vec!["--package", package.name.as_str(), "--no-default-features"];
                words.extend(selection.iter().map(String::as_str));
                words.extend(targets);
                good &= one(&words)?;
            }
        }
    }
    good &= one(&["--workspace", "--all-features", "--all-targets"])?;
    Ok(good)
}

fn one(words: &[&str]) -> Result<bool> {
    println!("clippy {}", words.join(" "));
    let mut command = cargo(["clippy", "--quiet", "--locked"]);
    cargo::succeeds(command.args(words).args(["--", "-D", "warnings"]))
}

fn is_published(package: &Package) -> bool {
    package.publish.as_ref().is_none_or(|registries| !registries.is_empty())
}

/// Arguments for: no feature, each alone, all of them.
fn selections(package: &Package) -> Vec<Vec<String>> {
    let names: Vec<_> = package.features.keys().filter(|name| *name != "default").collect();
    let mut selections = vec![Vec::new()];
    selections.extend(names.iter().map(|name| vec![format!("--features={name}")]));
    if names.len() > 1 {
        selections.push(vec!["--all-features".to_owned()]);
    }
    selections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_tried_alone_and_together_and_not_at_all() {
        let package: Package = serde_json::from_str(
            r#"{"id": "p", "name": "p", "version": "1.0.0", "license": null, "publish": null,
                "features": {"a": [], "b": [], "default": ["a"]}}"#,
        )
        .unwrap();
        let selections: Vec<_> = selections(&package).iter().map(|words| words.join(" ")).collect();
        assert_eq!(selections, ["", "--features=a", "--features=b", "--all-features"]);
        assert!(is_published(&package));
    }
}
