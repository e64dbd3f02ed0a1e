//! The servers that `cargo xtask services up` keeps for a developer, apart for each checkout and
//! each user.

use std::{
    fs,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    cache,
    error::{Error, Result, Tried},
    install::PostgresInstall,
    options::Options,
    server::PostgresServer,
};

/// The file in a server's folder that says for which checkout it is kept.
pub(crate) const KEPT: &str = "kept";

/// A server that is kept. Dropping this value leaves the server as it is.
#[derive(Debug)]
pub struct Service {
    /// The version it was asked for by, `None` for the usual one.
    pub version: Option<u32>,
    /// The server.
    pub server: PostgresServer,
}

/// A line of the state file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    version: Option<u32>,
    port: u16,
}

/// The checkout that this was built from: the folder of the workspace's Cargo.toml.
#[must_use]
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Every server that is kept for this checkout, running or not: the usual one first, then by
/// version.
///
/// # Errors
/// [`Error::Io`] or [`Error::Setting`] where the state cannot be read.
pub fn all() -> Result<Vec<Service>> {
    let mut services = Vec::new();
    for entry in read(&state_file()?)? {
        if let Some(server) = PostgresServer::attach(entry.port)? {
            services.push(Service { version: entry.version, server });
        }
    }
    services.sort_by_key(|service| service.version);
    Ok(services)
}

/// Those of [`all`] that run.
///
/// # Errors
/// As [`all`].
pub fn running() -> Result<Vec<Service>> {
    let mut services = all()?;
    services.retain(|service| service.server.is_running());
    Ok(services)
}

/// Makes sure that a server of this version (`None`: the usual one) runs and is kept.
///
/// # Errors
/// As [`PostgresInstall::find_or_fetch`] and [`PostgresServer::start`].
pub fn up(version: Option<u32>) -> Result<Service> {
    let state = state_file()?;
    let _lock = cache::lock(&state.with_extension("lock"), "another `cargo xtask services`")?;
    for mut service in all()?.into_iter().filter(|service| service.version == version) {
        if service.server.is_running() || service.server.restart(&[]).is_ok() {
            return Ok(service);
        }
        // Its port or its programs are gone: a new one takes its place.
        service.server.delete()?;
    }
    let install = PostgresInstall::find_or_fetch(version)?;
    let mut server = PostgresServer::start(&install, Options::new())?;
    let mut entries = read(&state)?;
    entries.retain(|entry| entry.version != version);
    entries.push(Entry { version, port: server.port() });
    write(&state, &entries)?;
    server.keep(workspace())?;
    Ok(Service { version, server })
}

/// Stops and deletes every server that is kept for this checkout, and says how many there were.
///
/// # Errors
/// As [`PostgresServer::delete`].
pub fn down() -> Result<usize> {
    let state = state_file()?;
    let _lock = cache::lock(&state.with_extension("lock"), "another `cargo xtask services`")?;
    let services = all()?;
    let count = services.len();
    for service in services {
        service.server.delete()?;
    }
    write(&state, &[])?;
    Ok(count)
}

/// The state file of this checkout.
fn state_file() -> Result<PathBuf> {
    let path = workspace().as_os_str().as_bytes();
    Ok(cache::subfolder("services")?.join(format!("{:016x}.json", fnv1a(path))))
}

/// A hash that is the same in every build (FNV-1a, 64 bits).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn read(file: &Path) -> Result<Vec<Entry>> {
    let text = match fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.tried("reading", file)?,
    };
    serde_json::from_slice(&text).map_err(|error| {
        Error::Setting(format!("{} is damaged ({error}): remove it", file.display()))
    })
}

fn write(file: &Path, entries: &[Entry]) -> Result<()> {
    let text = serde_json::to_vec(entries).map_err(|error| Error::Program {
        what: format!("writing {}", file.display()),
        detail: error.to_string(),
    })?;
    let new = file.with_extension("new");
    fs::write(&new, text).tried("writing", &new)?;
    fs::rename(&new, file).tried("renaming", &new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_the_folder_above_this_package() {
        assert!(workspace().join("testservers/Cargo.toml").is_file());
    }

    #[test]
    fn the_hash_is_that_of_the_specification() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }
}
