//! One writer at a time: a lock file beside what is written, shared by offsets and dead letters.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind as IoErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// The lock on a file (or on a path that files are named after), held until dropped.
#[derive(Debug)]
pub(crate) struct FileLock {
    lock: File,
    path: PathBuf,
}

/// A file as messages name it: `offset file /var/state/shop.json`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Locked<'a> {
    pub(crate) what: &'static str,
    pub(crate) file: &'a Path,
}

impl Locked<'_> {
    /// The error while somebody else has the lock.
    pub(crate) fn held(self, holder: &str) -> Error {
        Error::fenced(format!("{} {} is held by {holder}", self.what, self.file.display()))
            .remedy("stop the other instance, or give this one another folder")
    }

    fn unusable(self, path: &Path, what: &str) -> Error {
        Error::configuration(format!("{} {} {what}", self.what, path.display()))
    }

    /// Takes the lock, and writes into it whose it is.
    ///
    /// # Errors
    /// [`Fenced`](ErrorKind::Fenced), saying who, while another process has it.
    pub(crate) fn lock(self) -> Result<FileLock> {
        let path = beside(self.file, "lock");
        loop {
            let opened =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
            let mut lock = opened.map_err(|error| {
                self.unusable(&path, &format!("cannot be opened: {error}"))
                    .remedy("give a path that this user can write to")
            })?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // Who holds it is a help for the reader only.
                    let _ = lock.read_to_string(&mut holder);
                    let holder = holder.trim();
                    return Err(self.held(if holder.is_empty() {
                        "another process"
                    } else {
                        holder
                    }));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(self
                        .unusable(&path, &format!("cannot be locked: {error}"))
                        .remedy("keep it on a file system that knows locks"));
                }
            }
            // Whoever forgets a pipeline removes the lock file: a lock on a removed file is none.
            if !is_same_file(&lock, &path) {
                continue;
            }
            let holder = format!("process {} on {}", std::process::id(), host());
            let written = lock.set_len(0).and_then(|()| lock.write_all(holder.as_bytes()));
            if let Err(error) = written {
                tracing::debug!(path = %path.display(), %error, "the lock does not say who holds it");
            }
            return Ok(FileLock { lock, path });
        }
    }

    /// Takes the lock even from a process that holds it: that one keeps a lock on a file that is no more, and finds this out
    /// before its next write.
    pub(crate) fn take_lock(self) -> Result<FileLock> {
        match self.lock() {
            Err(error) if error.kind() == ErrorKind::Fenced => {
                let path = beside(self.file, "lock");
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != IoErrorKind::NotFound => {
                        Err(self.unusable(&path, &format!("cannot be removed: {error}")))
                    }
                    _ => self.lock(),
                }
            }
            locked => locked,
        }
    }

    /// The error when the lock was [taken](Self::take_lock) by another process.
    pub(crate) fn check(self, lock: &FileLock) -> Result<()> {
        if is_same_file(&lock.lock, &lock.path) {
            return Ok(());
        }
        Err(Error::fenced(format!(
            "{} {} was taken over by another process",
            self.what,
            self.file.display()
        )))
    }
}

/// The folder that a file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The file with another extension behind its name.
pub(crate) fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

/// The name of a pipeline with only characters that every file system takes; others become `%` and their code.
pub(crate) fn file_name(pipeline: &str) -> String {
    let mut name = String::with_capacity(pipeline.len());
    for byte in pipeline.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02x}"));
        }
    }
    name
}

/// No room on the disk, in the quota or below the process's limit of a file's size.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        IoErrorKind::StorageFull | IoErrorKind::QuotaExceeded | IoErrorKind::FileTooLarge
    )
}

#[cfg(unix)]
fn is_same_file(open: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (open.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// Where open files cannot be removed there is nothing to compare.
#[cfg(not(unix))]
fn is_same_file(_open: &File, path: &Path) -> bool {
    path.exists()
}

fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .or_else(|| std::env::var("HOSTNAME").ok())
        .or_else(|| std::env::var("COMPUTERNAME").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this host".to_owned())
}
