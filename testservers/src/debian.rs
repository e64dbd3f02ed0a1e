//! PostgreSQL from the packages of this machine's own Debian or Ubuntu suite, unpacked into the
//! cache folder.
//!
//! Nothing is installed and root is not needed: apt works on private lists and on a private, empty
//! record of what is installed, so that it names every package down to the C library. They are
//! unpacked into one tree, and each program in it is replaced by a script that runs it with the
//! tree's own loader and libraries.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    cache,
    error::{Error, Result, Tried},
    program,
};

const REMEDY: &str = "install PostgreSQL";

/// Packages that only maintainer scripts, perl programs or JIT compilation need. They count as
/// installed, so that neither they nor what they depend on is downloaded.
const LEFT_OUT: [&str; 22] = [
    "adduser",
    "base-passwd",
    "cdebconf",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "libjson-perl",
    "libc-l10n",
    "locales",
    "lsb-base",
    "openssl",
    "passwd",
    "perl",
    "perl-base",
    "postgresql-client-common",
    "postgresql-common",
    "postgresql-common-dev",
    "sensible-utils",
    "ssl-cert",
    "sysvinit-utils",
    "tar",
    "tzdata",
];

/// Folders of packages that no server reads.
const NOT_UNPACKED: [&str; 7] = [
    "./usr/share/doc",
    "./usr/share/man",
    "./usr/share/locale",
    "./usr/share/lintian",
    "./usr/share/info",
    "./usr/lib/*/gconv",
    "./usr/lib/postgresql/*/lib/bitcode",
];

/// The folder of the programs; it is fetched at the first call.
pub(crate) fn find_or_fetch() -> Result<PathBuf> {
    let system = System::of_this_machine()?;
    let name = format!("{}-{}-{}", system.id, system.suite, system.architecture);
    cache::fill_once(&name, bin_of, |unfinished, tree| fetch(&system, unfinished, tree))
}

fn bin_of(tree: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(tree.join("root/usr/lib/postgresql")).ok()?;
    versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.is_dir())
}

/// What decides which packages fit this machine.
struct System {
    id: String,
    suite: String,
    architecture: &'static str,
    /// The folder below `usr/lib` with the libraries of this architecture.
    libraries: &'static str,
    loader: &'static str,
}

impl System {
    fn of_this_machine() -> Result<Self> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let id = os_release(&release, "ID").unwrap_or_default();
        let suite = os_release(&release, "VERSION_CODENAME").unwrap_or_default();
        let (architecture, libraries, loader) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", "x86_64-linux-gnu", "ld-linux-x86-64.so.2"),
            "aarch64" => ("arm64", "aarch64-linux-gnu", "ld-linux-aarch64.so.1"),
            _ => ("", "", ""),
        };
        if !matches!(id.as_str(), "debian" | "ubuntu") || suite.is_empty() || loader.is_empty() {
            return Err(Error::Setting(
                "no PostgreSQL is installed, and it is unpacked by itself only on Debian and \
                 Ubuntu (amd64, arm64): install it, or give a URL with CDC_TEST_POSTGRES_URL"
                    .to_owned(),
            ));
        }
        Ok(Self { id, suite, architecture, libraries, loader })
    }
}

/// A value of os-release(5).
fn os_release(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix('=')?;
        Some(value.trim_matches(['"', '\'']).to_owned())
    })
}

/// Downloads and unpacks into `unfinished` what will stand in `tree`.
fn fetch(system: &System, unfinished: &Path, tree: &Path) -> Result<()> {
    eprintln!("fetching PostgreSQL from the packages of {} {}", system.id, system.suite);
    let apt = Apt::prepare(system, &unfinished.join("apt"))?;
    let server = apt.server_package()?;
    let packages = apt.closure(&server)?;
    let downloads = unfinished.join("downloads");
    cache::make(&downloads)?;
    let mut download = apt.command("apt-get", &["download", "--quiet=2"]);
    program::run(
        download.args(&packages).current_dir(&downloads),
        "downloading PostgreSQL's packages",
        REMEDY,
    )?;

    let root = unfinished.join("root");
    // The links of a merged /usr come first, so that old paths land in the same place.
    for folder in ["bin", "sbin", "lib", "lib64"] {
        cache::make(&root.join("usr").join(folder))?;
        let link = root.join(folder);
        symlink(Path::new("usr").join(folder), &link).tried("linking", &link)?;
    }
    for entry in fs::read_dir(&downloads).tried("listing", &downloads)?.flatten() {
        unpack(&entry.path(), &root)?;
    }
    // A JIT provider that cannot load its compiler makes queries fail; without it JIT is off.
    for version in fs::read_dir(root.join("usr/lib/postgresql")).into_iter().flatten().flatten() {
        let provider = version.path().join("lib/llvmjit.so");
        if provider.exists() {
            fs::remove_file(&provider).tried("removing", &provider)?;
        }
    }
    wrap_programs(system, unfinished, tree)?;
    for folder in [downloads, unfinished.join("apt")] {
        fs::remove_dir_all(&folder).tried("removing", &folder)?;
    }
    Ok(())
}

/// apt with lists and a record of what is installed of its own.
struct Apt {
    configuration: PathBuf,
}

impl Apt {
    fn prepare(system: &System, folder: &Path) -> Result<Self> {
        for name in ["lists/partial", "cache/archives/partial", "empty"] {
            cache::make(&folder.join(name))?;
        }
        let configuration = folder.join("apt.conf");
        let status = folder.join("status");
        write(&status, "")?;
        // `#clear`: what this machine does after an update of its own lists does not concern these.
        let text = format!(
            "Dir::State \"{0}\";\nDir::State::lists \"{0}/lists\";\n\
             Dir::State::status \"{0}/status\";\nDir::Cache \"{0}/cache\";\n\
             APT::Install-Recommends \"false\";\nAPT::Sandbox::User \"root\";\n\
             Acquire::Languages \"none\";\nAcquire::Retries \"3\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled \"false\";\n\
             #clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n",
            folder.display()
        );
        write(&configuration, &text)?;
        let apt = Self { configuration: configuration.clone() };

        // Only the suite's own archives: others that are configured here may not answer.
        let output = program::run(
            &mut apt.command("apt-get", &["--print-uris", "update"]),
            "asking apt for this machine's mirrors",
            REMEDY,
        )?;
        let sources = sources(system, &String::from_utf8_lossy(&output.stdout));
        if sources.is_empty() {
            return Err(Error::Package(format!(
                "apt has no mirror for {}: add one to its sources, or install PostgreSQL, or give \
                 a URL with CDC_TEST_POSTGRES_URL",
                system.suite
            )));
        }
        write(&folder.join("sources.list"), &sources)?;
        let text = text
            + &format!(
                "Dir::Etc::sourcelist \"{0}/sources.list\";\nDir::Etc::sourceparts \"{0}/empty\";\n\
                 Dir::Etc::preferences \"{0}/empty/none\";\n\
                 Dir::Etc::preferencesparts \"{0}/empty\";\n",
                folder.display()
            );
        write(&configuration, &text)?;
        program::run(
            &mut apt.command("apt-get", &["update", "--quiet=2", "--error-on=any"]),
            "fetching the package lists",
            REMEDY,
        )?;

        let names = apt.ask("apt-cache", &["pkgnames"], "listing package names")?;
        write(&status, &counts_as_installed(&names, system.architecture))?;
        Ok(apt)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        // On the command line, because there it wins over this machine's own configuration.
        command.arg("-c").arg(&self.configuration).args(arguments).env("LC_ALL", "C");
        command
    }

    fn ask(&self, program: &str, arguments: &[&str], what: &str) -> Result<String> {
        let output = program::run(&mut self.command(program, arguments), what, REMEDY)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The package of the suite's own server, such as `postgresql-15`.
    fn server_package(&self) -> Result<String> {
        let text = self.ask("apt-cache", &["depends", "postgresql"], "looking for PostgreSQL")?;
        let package = text.lines().find_map(|line| {
            let name = line.trim().strip_prefix("Depends: ")?;
            name.strip_prefix("postgresql-")?.parse::<u32>().ok()?;
            Some(name.to_owned())
        });
        package.ok_or_else(|| {
            Error::Package(
                "this suite's package `postgresql` names no server: install PostgreSQL, or give a \
                 URL with CDC_TEST_POSTGRES_URL"
                    .to_owned(),
            )
        })
    }

    /// The package and all that it needs.
    fn closure(&self, package: &str) -> Result<Vec<String>> {
        let text = self.ask(
            "apt-get",
            &["--simulate", "install", package],
            "finding what PostgreSQL's package needs",
        )?;
        let names: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("Inst ")?.split_whitespace().next())
            .map(str::to_owned)
            .collect();
        Ok(names)
    }
}

/// The lines of sources.list for the suite and its updates, from what `apt-get --print-uris update`
/// prints: `'SITE/dists/SUITE/InRelease' ...`.
fn sources(system: &System, uris: &str) -> String {
    let keyring = format!("/usr/share/keyrings/{}-archive-keyring.gpg", system.id);
    let signed = if Path::new(&keyring).is_file() {
        format!("[signed-by={keyring}] ")
    } else {
        String::new()
    };
    let wanted = ["", "-updates", "-security"].map(|part| format!("{}{part}", system.suite));
    let lines: BTreeSet<_> = uris
        .lines()
        .filter_map(|line| {
            let uri = line.strip_prefix('\'')?.split('\'').next()?;
            let (site, suite) = uri.strip_suffix("/InRelease")?.rsplit_once("/dists/")?;
            wanted
                .iter()
                .any(|name| name == suite)
                .then(|| format!("deb {signed}{site} {suite} main\n"))
        })
        .collect();
    lines.into_iter().collect()
}

/// A dpkg status file in which everything in `names` that is left out stands as installed.
fn counts_as_installed(names: &str, architecture: &str) -> String {
    let is_left_out = |name: &str| {
        let versioned = ["libllvm", "libperl", "perl-modules-"];
        LEFT_OUT.contains(&name)
            || versioned.iter().any(|prefix| {
                name.strip_prefix(prefix)
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            })
    };
    names
        .lines()
        .filter(|name| is_left_out(name))
        .map(|name| {
            format!(
                "Package: {name}\nStatus: install ok installed\nMaintainer: none\n\
                 Architecture: {architecture}\nMulti-Arch: allowed\nVersion: 9999:0\n\
                 Description: not needed\n\n"
            )
        })
        .collect()
}

/// Unpacks one package, without running anything of it.
fn unpack(package: &Path, root: &Path) -> Result<()> {
    let what = format!("unpacking {}", package.display());
    let mut reader = Command::new("dpkg-deb");
    reader.arg("--fsys-tarfile").arg(package).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut reader =
        reader.spawn().map_err(|error| program::not_started(&reader, &what, REMEDY, error))?;
    let stream = reader.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut tar = Command::new("tar");
    tar.arg("-x").arg("-C").arg(root).args(["--keep-directory-symlink", "--no-same-owner"]);
    tar.args(NOT_UNPACKED.iter().map(|folder| format!("--exclude={folder}")));
    let written = tar
        .stdin(stream)
        .stdout(Stdio::null())
        .output()
        .map_err(|error| program::not_started(&tar, &what, REMEDY, error));
    // Reaped in any case; without its reader it ends.
    drop(tar);
    let read = reader.wait().tried("waiting for dpkg-deb on", package)?;
    let written = written?;
    if read.success() && written.status.success() {
        return Ok(());
    }
    Err(Error::Program { what, detail: program::last_words(&written.stderr) })
}

/// Moves each program aside and puts a script in its place that runs it with the tree's loader.
///
/// In place, because `initdb` and `pg_ctl` run `postgres` from their own folder.
fn wrap_programs(system: &System, unfinished: &Path, tree: &Path) -> Result<()> {
    let libraries = tree.join("root/usr/lib").join(system.libraries);
    let loader = libraries.join(system.loader);
    let Some(bin) = bin_of(unfinished) else { return Ok(()) };
    let final_bin = tree.join(bin.strip_prefix(unfinished).unwrap_or(&bin));
    for entry in fs::read_dir(&bin).tried("listing", &bin)?.flatten() {
        let file = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_link || !fs::read(&file).tried("reading", &file)?.starts_with(b"\x7fELF") {
            continue;
        }
        let real = format!(".{name}.real");
        fs::rename(&file, bin.join(&real)).tried("renaming", &file)?;
        let script = format!(
            "#!/bin/sh\nexec \"{}\" --inhibit-cache --argv0 \"{}\" --library-path \"{}\" \"{}\" \"$@\"\n",
            loader.display(),
            final_bin.join(&name).display(),
            libraries.display(),
            final_bin.join(&real).display(),
        );
        write(&file, &script)?;
        cache::open_to_all(&file)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).tried("writing", file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bookworm() -> System {
        System {
            id: "none".to_owned(),
            suite: "bookworm".to_owned(),
            architecture: "amd64",
            libraries: "x86_64-linux-gnu",
            loader: "ld-linux-x86-64.so.2",
        }
    }

    #[test]
    fn only_the_archives_of_the_suite_become_sources() {
        let uris = "'http://mirror/debian/dists/bookworm/InRelease' name 0 \n\
                    'http://mirror/debian/dists/bookworm/main/binary-amd64/Packages.xz' name 0 \n\
                    'http://mirror/debian-security/dists/bookworm-security/InRelease' name 0 \n\
                    'https://elsewhere/apt/dists/bookworm-extra/InRelease' name 0 \n";
        assert_eq!(
            sources(&bookworm(), uris),
            "deb http://mirror/debian bookworm main\n\
             deb http://mirror/debian-security bookworm-security main\n"
        );
    }

    #[test]
    fn what_only_scripts_need_counts_as_installed() {
        let status = counts_as_installed("perl\nlibllvm14\nlibllvm-ocaml-dev\nlibpq5\n", "amd64");
        let names: Vec<_> =
            status.lines().filter_map(|line| line.strip_prefix("Package: ")).collect();
        assert_eq!(names, ["perl", "libllvm14"]);
    }

    #[test]
    fn the_suite_is_read_from_os_release() {
        let text = "ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME=\"Debian\"\n";
        assert_eq!(os_release(text, "VERSION_CODENAME").as_deref(), Some("bookworm"));
        assert_eq!(os_release(text, "PRETTY_NAME").as_deref(), Some("Debian"));
        assert_eq!(os_release(text, "VERSION"), None);
    }
}
