//! Whom a server runs as: whoever calls, or, as PostgreSQL refuses root, `nobody` for root.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

use crate::error::{Error, Result, Tried};

const UNPRIVILEGED: &str = "nobody";

/// The account of the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Account {
    /// The caller's own.
    Caller,
    /// The unprivileged user, because the caller is root.
    Unprivileged { uid: u32, gid: u32 },
}

impl Account {
    /// The account for servers that this process starts.
    pub(crate) fn of_this_process() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Caller);
        }
        let file = Path::new("/etc/passwd");
        let users = fs::read_to_string(file).tried("reading", file)?;
        let (uid, gid) = ids(&users, UNPRIVILEGED).ok_or_else(|| {
            Error::Setting(format!(
                "PostgreSQL refuses to run as root and there is no user `{UNPRIVILEGED}` here: \
                 run this as a plain user"
            ))
        })?;
        Ok(Self::Unprivileged { uid, gid })
    }

    /// A command that runs under this account in `folder`, with nothing in its environment that
    /// changes what PostgreSQL does.
    pub(crate) fn command(self, program: impl AsRef<OsStr>, folder: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("PG") || text.starts_with("LC_") || text == "LANG" {
                command.env_remove(&name);
            }
        }
        command.env("LC_ALL", "C").env("HOME", folder).current_dir(folder);
        if let Self::Unprivileged { uid, gid } = self {
            // The standard library also drops root's supplementary groups here.
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives one file or folder to this account.
    pub(crate) fn own(self, path: &Path) -> Result<()> {
        match self {
            Self::Caller => Ok(()),
            Self::Unprivileged { uid, gid } => {
                chown(path, Some(uid), Some(gid)).tried("giving away", path)
            }
        }
    }

    /// Checks that this account can enter `folder`, which exists.
    pub(crate) fn check_reach(self, folder: &Path) -> Result<()> {
        let Self::Unprivileged { uid, gid } = self else { return Ok(()) };
        for ancestor in folder.ancestors() {
            let metadata = fs::metadata(ancestor).tried("looking at", ancestor)?;
            let shift = match (metadata.uid() == uid, metadata.gid() == gid) {
                (true, _) => 6,
                (false, true) => 3,
                (false, false) => 0,
            };
            if (metadata.permissions().mode() >> shift) & 1 == 0 {
                return Err(Error::Setting(format!(
                    "{} cannot be entered by the user `{UNPRIVILEGED}`, who runs PostgreSQL for \
                     root: set CDC_CACHE_DIR to a folder that everyone can enter",
                    ancestor.display()
                )));
            }
        }
        Ok(())
    }
}

/// User and group number of `name` in the text of a passwd(5) file.
fn ids(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let (_password, uid, gid) = (fields.next()?, fields.next()?, fields.next()?);
        Some((uid.parse().ok()?, gid.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_group_are_read_from_passwd() {
        let passwd = "root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65533:n:/nonexistent:/bin/false\n";
        assert_eq!(ids(passwd, "nobody"), Some((65534, 65533)));
        assert_eq!(ids(passwd, "somebody"), None);
        assert_eq!(ids("nobody:x:many:1:", "nobody"), None);
    }
}
