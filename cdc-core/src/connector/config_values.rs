//! Values that stand elsewhere: `${file:/etc/shop.properties:password}`, `${env:PASSWORD}`.
//!
//! The providers are Kafka Connect's `FileConfigProvider`, `EnvVarConfigProvider` and `DirectoryConfigProvider`, here under
//! the names `file`, `env` and `directory`, or those that `config.providers` gives them. Values are put in before anything
//! else is read, once (what comes in is not looked through again). A value that is not found is an error here; Connect
//! leaves the text as it stands, and it is used as a password.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::java_pattern::JavaPattern;
use crate::properties::Properties;

/// Where the values of a provider come from, and what it may read.
#[derive(Debug)]
enum Provider {
    /// A key in a Java `.properties` file.
    File(AllowedPaths),
    /// A variable of the environment.
    Environment(Option<Box<JavaPattern>>),
    /// The content of a file in a folder.
    Directory(AllowedPaths),
}

/// `allowed.paths`: the folders and files that may be read; all where it is not set.
#[derive(Debug, Default)]
struct AllowedPaths(Vec<PathBuf>);

/// The same properties with values put in and `config.providers` read.
pub(super) fn resolve(properties: &Properties) -> Result<Properties> {
    let providers = providers(properties)?;
    let mut resolved = Properties::new();
    for (name, value) in properties.iter() {
        if name == "config.providers" || name.starts_with("config.providers.") {
            continue;
        }
        let value = put_in(value, &providers)
            .map_err(|error| error.context(format_args!("the value of {name}")))?;
        resolved.set(name, value);
    }
    Ok(resolved)
}

fn providers(properties: &Properties) -> Result<BTreeMap<String, Provider>> {
    let mut providers = BTreeMap::from([
        ("file".to_owned(), Provider::File(AllowedPaths::default())),
        ("env".to_owned(), Provider::Environment(None)),
        ("directory".to_owned(), Provider::Directory(AllowedPaths::default())),
    ]);
    let names = properties.list("config.providers");
    for (name, _) in properties.iter().filter(|(name, _)| name.starts_with("config.providers.")) {
        let known =
            names.iter().any(|alias| name.starts_with(&format!("config.providers.{alias}.")));
        if !known {
            return Err(Error::configuration(format!("Unknown configuration {name:?}"))
                .remedy("name the provider in config.providers"));
        }
    }
    for alias in names {
        let options = properties.scoped(&format!("config.providers.{alias}."));
        let class = options.required_string("class").map_err(|_| {
            Error::configuration(format!(
                "Missing required configuration \"config.providers.{alias}.class\" which has no default value."
            ))
        })?;
        let paths = || {
            AllowedPaths(options.list("param.allowed.paths").iter().map(PathBuf::from).collect())
        };
        let provider = match class.rsplit('.').next().unwrap_or_default() {
            "FileConfigProvider" => Provider::File(paths()),
            "DirectoryConfigProvider" => Provider::Directory(paths()),
            "EnvVarConfigProvider" => {
                let option = "param.allowlist.pattern";
                Provider::Environment(
                    options
                        .get(option)
                        .map(|pattern| JavaPattern::new(option, pattern).map(Box::new))
                        .transpose()?,
                )
            }
            _ => {
                return Err(Error::configuration(format!(
                    "there is no config provider {class} here"
                ))
                .remedy("there are FileConfigProvider, EnvVarConfigProvider and DirectoryConfigProvider"));
            }
        };
        options
            .finish()
            .map_err(|error| error.context(format_args!("config.providers.{alias}")))?;
        providers.insert(alias, provider);
    }
    Ok(providers)
}

/// Replaces every `${provider:[path:]key}`.
fn put_in(value: &str, providers: &BTreeMap<String, Provider>) -> Result<String> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, from)) = rest.split_once("${") {
        let Some((reference, after)) = from.split_once('}') else { break };
        let Some((name, place)) = reference.split_once(':') else {
            // `${name}` is no reference to a value: regular expressions have such groups.
            out.push_str(before);
            out.push_str("${");
            rest = from;
            continue;
        };
        let (path, key) = place.split_once(':').unwrap_or(("", place));
        let Some(provider) = providers.get(name) else {
            return Err(Error::configuration(format!(
                "${{{reference}}} names the config provider {name:?}, which there is not"
            ))
            .remedy("there are file, env, directory and those that config.providers names"));
        };
        out.push_str(before);
        out.push_str(&provider.value(path, key)?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

impl Provider {
    fn value(&self, path: &str, key: &str) -> Result<String> {
        match self {
            Provider::File(allowed) => {
                let path = allowed.check(Path::new(path))?;
                let text =
                    std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))?;
                let file = Properties::from_properties_text(&text)
                    .map_err(|error| error.context(path.display()))?;
                file.get(key).map(str::to_owned).ok_or_else(|| {
                    Error::configuration(format!("{} has no key {key:?}", path.display()))
                })
            }
            Provider::Directory(allowed) => {
                // A key with a folder in it would lead out of the folder.
                if key.contains(['/', '\\']) || key == ".." {
                    return Err(Error::configuration(format!("{key:?} is no name of a file")));
                }
                let path = allowed.check(&Path::new(path).join(key))?;
                std::fs::read_to_string(&path).map_err(|error| unreadable(&path, error))
            }
            Provider::Environment(allowed) => {
                if let Some(pattern) = allowed
                    && !pattern.matches(key)?
                {
                    return Err(Error::configuration(format!(
                        "the variable {key} is not one that allowlist.pattern allows"
                    )));
                }
                std::env::var(key).map_err(|_| {
                    Error::configuration(format!("the environment has no variable {key}"))
                })
            }
        }
    }
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::configuration(format!("{} cannot be read: {error}", path.display())).with_source(error)
}

impl AllowedPaths {
    fn check(&self, path: &Path) -> Result<PathBuf> {
        if self.0.is_empty() {
            return Ok(path.to_owned());
        }
        // What the path leads to counts, not how it is written.
        let real = std::fs::canonicalize(path).map_err(|error| unreadable(path, error))?;
        let allowed = self.0.iter().filter_map(|allowed| std::fs::canonicalize(allowed).ok());
        if allowed.into_iter().any(|allowed| real.starts_with(allowed)) {
            return Ok(real);
        }
        Err(Error::configuration(format!(
            "{} is in none of the folders of allowed.paths",
            path.display()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(properties: &[(&str, &str)]) -> Result<Properties> {
        resolve(&properties.iter().copied().collect())
    }

    fn refused(properties: &[(&str, &str)]) -> String {
        resolved(properties).unwrap_err().to_string()
    }

    #[test]
    fn values_come_from_files_folders_and_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("shop.properties");
        std::fs::write(&file, "user=app\npassword = s${x}cret\n").unwrap();
        let place = |key: &str| format!("${{file:{}:{key}}}", file.display());
        let properties = resolved(&[
            ("database.password", &place("password")),
            ("database.url", &format!("{0}-{0}!", place("user"))),
            ("folder", &format!("${{directory:{}:shop.properties}}", folder.path().display())),
            ("path", "${env:PATH}"),
            ("group", "outbox.${routedByValue}.$1"),
        ])
        .unwrap();
        assert_eq!(properties.get("database.password"), Some("s${x}cret"));
        assert_eq!(properties.get("database.url"), Some("app-app!"));
        assert!(properties.get("folder").unwrap().starts_with("user=app"));
        assert_eq!(properties.get("path").map(str::to_owned), std::env::var("PATH").ok());
        assert_eq!(properties.get("group"), Some("outbox.${routedByValue}.$1"));
    }

    #[test]
    fn what_is_not_found_is_an_error_that_names_the_option() {
        let error = refused(&[("database.password", "${env:NO_SUCH_VARIABLE_HERE}")]);
        assert_eq!(
            error,
            "the value of database.password: the environment has no variable NO_SUCH_VARIABLE_HERE"
        );
        assert!(refused(&[("a", "${file:/no/such/file:k}")]).contains("cannot be read"));
        assert!(refused(&[("a", "${vault:secret/x:k}")]).contains("\"vault\""));
    }

    #[test]
    fn providers_have_the_names_and_bounds_that_are_given_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside.properties");
        std::fs::write(&outside, "k=v\n").unwrap();
        let inside = folder.path().join("inside");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("a.properties"), "k=v\n").unwrap();
        let with = |value: &str| {
            resolved(&[
                ("a", value),
                ("config.providers", "secrets"),
                (
                    "config.providers.secrets.class",
                    "org.apache.kafka.common.config.provider.FileConfigProvider",
                ),
                ("config.providers.secrets.param.allowed.paths", inside.to_str().unwrap()),
            ])
        };
        let inside = format!("${{secrets:{}/a.properties:k}}", inside.display());
        let resolved = with(&inside).unwrap();
        assert_eq!(resolved.get("a"), Some("v"));
        assert!(resolved.names().eq(["a"]));
        let up = inside.replace("a.properties", "../outside.properties");
        assert!(with(&up).unwrap_err().to_string().contains("allowed.paths"));
        assert!(refused(&[("config.providers.x.class", "y")]).contains("config.providers"));
        assert!(
            refused(&[("config.providers", "v"), ("config.providers.v.class", "com.x.Vault")])
                .contains("com.x.Vault")
        );
    }
}
