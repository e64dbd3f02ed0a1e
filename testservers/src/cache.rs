//! The folder that holds what was fetched and what runs.
//!
//! `CDC_CACHE_DIR`; else for root `/var/cache/cdc-rs`, because the unprivileged user that runs
//! PostgreSQL then must reach it; else `$XDG_CACHE_HOME/cdc-rs` or `~/.cache/cdc-rs`.
//!
//! ```text
//! postgres/NAME/      one unpacked PostgreSQL
//! run/PORT/           one server: its data, socket, log and certificates
//! services/           which servers `cargo xtask services up` keeps, a file a checkout
//! ```

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
};

use crate::{
    account::Account,
    error::{Error, Result, Tried, setting},
};

/// The cache folder; it is made where it is missing.
///
/// # Errors
/// [`Error::Setting`] where no folder can be named or the servers' user cannot enter it;
/// [`Error::Io`] where it cannot be made.
pub fn folder() -> Result<PathBuf> {
    let folder = name(
        setting("CDC_CACHE_DIR")?,
        rustix::process::geteuid().is_root(),
        setting("XDG_CACHE_HOME")?,
        setting("HOME")?,
    )?;
    make(&folder)?;
    Account::of_this_process()?.check_reach(&folder)?;
    Ok(folder)
}

fn name(
    chosen: Option<String>,
    root: bool,
    xdg: Option<String>,
    home: Option<String>,
) -> Result<PathBuf> {
    let folder = match (chosen, xdg, home) {
        (Some(chosen), _, _) => PathBuf::from(chosen),
        (None, _, _) if root => PathBuf::from("/var/cache/cdc-rs"),
        (None, Some(xdg), _) => Path::new(&xdg).join("cdc-rs"),
        (None, None, Some(home)) => Path::new(&home).join(".cache/cdc-rs"),
        (None, None, None) => {
            return Err(Error::Setting(
                "no cache folder: set CDC_CACHE_DIR or HOME to an absolute path".to_owned(),
            ));
        }
    };
    if folder.is_absolute() {
        Ok(folder)
    } else {
        Err(Error::Setting(format!(
            "the cache folder {} is relative: set CDC_CACHE_DIR to an absolute path",
            folder.display()
        )))
    }
}

/// A folder inside the cache folder; it is made where it is missing.
pub(crate) fn subfolder(name: &str) -> Result<PathBuf> {
    let folder = folder()?.join(name);
    make(&folder)?;
    Ok(folder)
}

/// Makes a folder and those above it; root's are open to the servers' user whatever the umask is.
pub(crate) fn make(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        make(parent)?;
    }
    match fs::create_dir(folder) {
        Err(_) if folder.is_dir() => Ok(()),
        result => {
            result.tried("making", folder)?;
            if rustix::process::geteuid().is_root() {
                open_to_all(folder)?;
            }
            Ok(())
        }
    }
}

/// Lets everyone read and enter a folder or run a program.
pub(crate) fn open_to_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).tried("opening", path)
}

/// A lock between processes; it is free again when the file is dropped or its process dies.
pub(crate) fn lock(file: &Path, waiting_for: &str) -> Result<File> {
    let lock = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .tried("opening the lock file", file)?;
    if lock.try_lock().is_err() {
        if !waiting_for.is_empty() {
            eprintln!("waiting for {waiting_for}");
        }
        lock.lock().tried("locking", file)?;
    }
    Ok(lock)
}

/// The programs in `postgres/NAME`, which is filled at the first call.
///
/// `programs` finds them in a filled folder. `fill` is given an empty folder to fill and the place
/// that it will have: a folder of that name is complete, whatever was killed. Of several processes
/// one fills it and the others wait.
pub(crate) fn fill_once(
    name: &str,
    programs: impl Fn(&Path) -> Option<PathBuf>,
    fill: impl FnOnce(&Path, &Path) -> Result<()>,
) -> Result<PathBuf> {
    let postgres = subfolder("postgres")?;
    let place = postgres.join(name);
    if let Some(bin) = programs(&place) {
        return Ok(bin);
    }
    let file = postgres.join(format!("{name}.lock"));
    let _lock = lock(&file, "another process that fetches PostgreSQL")?;
    if let Some(bin) = programs(&place) {
        return Ok(bin);
    }
    let prefix = format!("{name}.unfinished-");
    for entry in fs::read_dir(&postgres).tried("listing", &postgres)?.flatten() {
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            // Left by a process that was killed. A program that it had started may still write
            // there: then it is for the next one to remove.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
    let unfinished = postgres.join(format!("{prefix}{}", std::process::id()));
    make(&unfinished)?;
    if let Err(error) = fill(&unfinished, &place) {
        fs::remove_dir_all(&unfinished).ok();
        return Err(error);
    }
    fs::rename(&unfinished, &place).tried("renaming", &unfinished)?;
    programs(&place).ok_or_else(|| {
        Error::Package(format!(
            "{} holds no programs: remove it, and install PostgreSQL or give a URL with \
             CDC_TEST_POSTGRES_URL",
            place.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &str) -> Option<String> {
        Some(value.to_owned())
    }

    #[test]
    fn the_chosen_folder_wins_then_that_of_root_then_xdg_then_home() {
        let named = |chosen, root, xdg, home| name(chosen, root, xdg, home).unwrap();
        assert_eq!(named(text("/c"), true, text("/x"), text("/h")), Path::new("/c"));
        assert_eq!(named(None, true, text("/x"), text("/h")), Path::new("/var/cache/cdc-rs"));
        assert_eq!(named(None, false, text("/x"), text("/h")), Path::new("/x/cdc-rs"));
        assert_eq!(named(None, false, None, text("/h")), Path::new("/h/.cache/cdc-rs"));
    }

    #[test]
    fn a_relative_or_missing_folder_is_refused_with_the_remedy() {
        for folder in [name(text("here"), false, None, None), name(None, false, None, None)] {
            assert!(folder.unwrap_err().to_string().contains("set CDC_CACHE_DIR"));
        }
    }
}
