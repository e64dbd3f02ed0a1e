//! One throwaway PostgreSQL: its folder, its life, its crashes.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    account::Account,
    cache, certificate,
    error::{Error, Result, Tried},
    install::PostgresInstall,
    options::{self, Options},
    port,
    process::{self, Crash},
    program, services,
};

/// Superuser and password of every server; each listens on this machine only.
const USER: &str = "postgres";
const PASSWORD: &str = "postgres";

/// How often another port is tried when somebody else took it between choice and start.
const ATTEMPTS: u32 = 5;

/// A running (or crashed) throwaway PostgreSQL on 127.0.0.1.
///
/// Dropping it stops it and deletes its folder. If its process dies before that, the next start of
/// any server does it (see [`sweep`](crate::sweep)).
#[derive(Debug)]
pub struct PostgresServer {
    /// `run/PORT` in the cache folder.
    folder: PathBuf,
    /// Where the Unix socket lies: the folder itself, or, where its path is too long for a socket,
    /// one in the temporary folder.
    sockets: PathBuf,
    port: u16,
    record: Record,
    account: Account,
    life: Life,
}

/// When a server ends.
#[derive(Debug)]
enum Life {
    /// With this value, or with this process, which holds the lock.
    OfOwner { _lock: File },
    /// When somebody says so.
    Kept,
}

/// What `server.json` in the folder says, so that another process can take care of the server.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    bin: PathBuf,
    major: u32,
    version: String,
    settings: Vec<(String, String)>,
}

impl PostgresServer {
    /// Makes a cluster in a folder of its own and starts it on a free port.
    ///
    /// # Errors
    /// The last words of `initdb` or of the server's log, where one of them fails.
    pub fn start(install: &PostgresInstall, options: Options) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let server = Self::reserve(install, &options)?;
            server.init(&options)?;
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(_) if attempt < ATTEMPTS && server.lost_its_port() => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn reserve(install: &PostgresInstall, options: &Options) -> Result<Self> {
        let account = Account::of_this_process()?;
        let run = cache::subfolder("run")?;
        let lock = process::lock_run(&run)?;
        process::sweep_locked(&run)?;
        let (port, folder) = port::reserve(&run)?;
        let owner = cache::lock(&folder.join("owner.lock"), "")?;
        let mode = if account == Account::Caller { 0o700 } else { 0o755 };
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&folder, permissions).tried("opening", &folder)?;
        account.own(&folder)?;
        let sockets = socket_folder(&folder, port, account)?;
        let file = folder.join("sockets");
        fs::write(&file, sockets.as_os_str().as_encoded_bytes()).tried("writing", &file)?;
        drop(lock);

        let mut settings = options::defaults(port, &sockets.to_string_lossy(), install.major());
        settings.extend(options.settings.iter().cloned());
        let record = Record {
            bin: install.bin_dir().to_owned(),
            major: install.major(),
            version: install.version().to_owned(),
            settings,
        };
        Ok(Self { folder, sockets, port, record, account, life: Life::OfOwner { _lock: owner } })
    }

    /// Takes up a kept server by its port; `None` where its folder is gone.
    pub(crate) fn attach(port: u16) -> Result<Option<Self>> {
        let folder = cache::subfolder("run")?.join(port.to_string());
        let file = folder.join("server.json");
        if !folder.join(services::KEPT).is_file() || !file.is_file() {
            return Ok(None);
        }
        let text = fs::read(&file).tried("reading", &file)?;
        let record = serde_json::from_slice(&text).map_err(|error| {
            Error::Setting(format!(
                "{} is damaged ({error}): remove the folder {}",
                file.display(),
                folder.display()
            ))
        })?;
        let list = folder.join("sockets");
        let sockets = PathBuf::from(fs::read_to_string(&list).tried("reading", &list)?);
        let account = Account::of_this_process()?;
        Ok(Some(Self { folder, sockets, port, record, account, life: Life::Kept }))
    }

    /// Lets the server live on for a checkout, after this value and after this process.
    pub(crate) fn keep(&mut self, workspace: &Path) -> Result<()> {
        let file = self.folder.join(services::KEPT);
        fs::write(&file, workspace.as_os_str().as_encoded_bytes()).tried("writing", &file)?;
        self.life = Life::Kept;
        Ok(())
    }

    fn init(&self, options: &Options) -> Result<()> {
        let data = self.data_dir();
        fs::create_dir(&data).tried("making", &data)?;
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).tried("closing", &data)?;
        self.account.own(&data)?;
        let password = self.folder.join("password");
        fs::write(&password, PASSWORD).tried("writing", &password)?;
        self.account.own(&password)?;
        let mut initdb = self.account.command(self.record.bin.join("initdb"), &self.folder);
        initdb
            .arg("--pgdata")
            .arg(&data)
            .args(["--username", USER, "--auth", "scram-sha-256", "--locale", "C", "--no-sync"])
            .args(["--encoding", &options.encoding])
            .arg("--pwfile")
            .arg(&password);
        program::run(&mut initdb, "initdb", "install PostgreSQL")?;
        fs::remove_file(&password).tried("removing", &password)?;

        certificate::write(&data, self.account)?;
        let (from, to) = (data.join("ca.pem"), self.ca_cert());
        fs::copy(&from, &to).tried("copying", &from)?;
        self.write(&data.join("pg_hba.conf"), &options::render_hba(&options.hba))?;
        let main = data.join("postgresql.conf");
        let mut text = fs::read_to_string(&main).tried("reading", &main)?;
        text.push_str("\ninclude 'throwaway.conf'\n");
        self.write(&main, &text)
    }

    /// Writes the settings, and starts the server on the data that it has.
    fn launch(&self) -> Result<()> {
        let file = self.folder.join("server.json");
        let text = serde_json::to_vec_pretty(&self.record).map_err(|error| Error::Program {
            what: format!("writing {}", file.display()),
            detail: error.to_string(),
        })?;
        fs::write(&file, text).tried("writing", &file)?;
        let settings = options::render(&self.record.settings);
        self.write(&self.data_dir().join("throwaway.conf"), &settings)?;
        self.forget_the_dead()?;
        let log = self.log_file();
        let before = fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let mut start = self.pg_ctl("start");
        start.arg("--log").arg(&log);
        program::run(&mut start, "pg_ctl start", "install PostgreSQL").map(drop).map_err(|error| {
            let log = fs::read(&log).unwrap_or_default();
            let since = usize::try_from(before).ok().and_then(|before| log.get(before..));
            match complaints(&String::from_utf8_lossy(since.unwrap_or_default())) {
                detail if detail.is_empty() => error,
                detail => Error::Program {
                    what: format!("starting PostgreSQL {}", self.record.version),
                    detail,
                },
            }
        })
    }

    /// Removes what a killed postmaster has left to keep others out: a new one takes one that is
    /// dead but not reaped, or whose number somebody else has by now, for alive.
    fn forget_the_dead(&self) -> Result<()> {
        let data = self.data_dir();
        let pid = data.join("postmaster.pid");
        if !pid.exists() || self.is_running() {
            return Ok(());
        }
        // Its children first, if any of them are left.
        process::kill(&data)?;
        for file in [pid, self.sockets.join(format!(".s.PGSQL.{}.lock", self.port))] {
            match fs::remove_file(&file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                result => result.tried("removing", &file)?,
            }
        }
        Ok(())
    }

    fn lost_its_port(&self) -> bool {
        fs::read(self.log_file())
            .is_ok_and(|log| String::from_utf8_lossy(&log).contains("Address already in use"))
    }

    fn pg_ctl(&self, action: &str) -> std::process::Command {
        let mut command = self.account.command(self.record.bin.join("pg_ctl"), &self.folder);
        command.arg(action).arg("--pgdata").arg(self.data_dir()).args(["--wait", "--timeout=60"]);
        command
    }

    fn write(&self, file: &Path, text: &str) -> Result<()> {
        fs::write(file, text).tried("writing", file)?;
        self.account.own(file)
    }

    /// A URL over TCP, as the superuser.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{}", self.port, encode(database))
    }

    /// A URL over the Unix socket, as the superuser.
    #[must_use]
    pub fn socket_url(&self, database: &str) -> String {
        let folder = encode(&self.sockets.to_string_lossy());
        format!("postgres://{USER}:{PASSWORD}@{folder}:{}/{}", self.port, encode(database))
    }

    /// The port on 127.0.0.1. It stays the same over crashes and restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The major version, such as 15.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.record.major
    }

    /// The whole version, such as `15.18`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.record.version
    }

    /// The folder of the server's programs.
    #[must_use]
    pub fn bin_dir(&self) -> &Path {
        &self.record.bin
    }

    /// The folder of the cluster. It belongs to the user who runs the server.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The file that the server logs to, from its first start on.
    #[must_use]
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// The certificate authority (PEM file) that signed the server's certificate, which is for
    /// `localhost` and 127.0.0.1.
    #[must_use]
    pub fn ca_cert(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The environment in which tests share this server, and start others of the same version.
    #[must_use]
    pub fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("CDC_TEST_POSTGRES_URL", self.url("postgres")),
            ("CDC_TEST_POSTGRES_CA", self.ca_cert().to_string_lossy().into_owned()),
            ("CDC_TEST_POSTGRES_BIN", self.bin_dir().to_string_lossy().into_owned()),
        ]
    }

    /// Whether the postmaster lives.
    #[must_use]
    pub fn is_running(&self) -> bool {
        process::postmaster(&self.data_dir()).is_some()
    }

    /// Ends the server without a shutdown; its data stays. [`restart`](Self::restart) starts it
    /// again, and it recovers.
    ///
    /// # Errors
    /// [`Error::Program`] where its processes do not end.
    pub fn crash(&mut self, how: Crash) -> Result<()> {
        match how {
            Crash::Immediate => self.pg_ctl_stop("immediate"),
            Crash::Kill => process::kill(&self.data_dir()),
        }
    }

    /// Shuts the server down; its data stays, and [`restart`](Self::restart) starts it again.
    ///
    /// # Errors
    /// [`Error::Program`] where it does not end within a minute.
    pub fn stop(&mut self) -> Result<()> {
        self.pg_ctl_stop("fast")
    }

    fn pg_ctl_stop(&self, mode: &str) -> Result<()> {
        if !self.is_running() {
            return Ok(());
        }
        let mut stop = self.pg_ctl("stop");
        program::run(stop.args(["--mode", mode]), "pg_ctl stop", "install PostgreSQL").map(drop)
    }

    /// Starts the server, after a shutdown if it runs, with these settings besides those it had.
    ///
    /// # Errors
    /// The last words of the server's log, where it does not start.
    pub fn restart(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        self.stop()?;
        self.change(settings);
        self.launch()
    }

    /// Lets a running server take up settings that need no restart.
    ///
    /// # Errors
    /// [`Error::Program`] where the server does not run.
    pub fn reload(&mut self, settings: &[(&str, &str)]) -> Result<()> {
        self.change(settings);
        let text = options::render(&self.record.settings);
        self.write(&self.data_dir().join("throwaway.conf"), &text)?;
        let mut reload = self.account.command(self.record.bin.join("pg_ctl"), &self.folder);
        reload.arg("reload").arg("--pgdata").arg(self.data_dir());
        program::run(&mut reload, "pg_ctl reload", "install PostgreSQL").map(drop)
    }

    fn change(&mut self, settings: &[(&str, &str)]) {
        for (name, value) in settings {
            self.record.settings.retain(|(known, _)| known != name);
            self.record.settings.push(((*name).to_owned(), (*value).to_owned()));
        }
    }

    /// Ends the server and deletes all of it.
    ///
    /// # Errors
    /// [`Error::Program`] where its processes do not end, [`Error::Io`] where a file stays.
    pub fn delete(mut self) -> Result<()> {
        // Whatever happens now is told once; dropping this value then does nothing more.
        self.life = Life::Kept;
        process::quit(&self.data_dir())?;
        process::remove(&self.folder)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if matches!(self.life, Life::OfOwner { .. }) {
            let gone = process::quit(&self.data_dir()).and_then(|()| process::remove(&self.folder));
            if let Err(error) = gone {
                eprintln!("a test server was not removed: {error}");
            }
        }
    }
}

/// A folder whose path leaves room for the socket's name: Unix allows 107 bytes in all.
fn socket_folder(folder: &Path, port: u16, account: Account) -> Result<PathBuf> {
    let name = format!(".s.PGSQL.{port}");
    if folder.join(&name).as_os_str().len() <= 107 {
        return Ok(folder.to_owned());
    }
    let user = rustix::process::geteuid().as_raw();
    let random = fastrand::u32(..);
    let sockets = std::env::temp_dir().join(format!("cdc-rs-{user}-{port}-{random:08x}"));
    if sockets.join(&name).as_os_str().len() > 107 {
        return Err(Error::Setting(format!(
            "{} and {} are too long for a Unix socket: set TMPDIR to a shorter folder",
            folder.display(),
            sockets.display()
        )));
    }
    fs::create_dir(&sockets).tried("making", &sockets)?;
    let mode = if account == Account::Caller { 0o700 } else { 0o755 };
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(&sockets, permissions).tried("opening", &sockets)?;
    account.own(&sockets)?;
    Ok(sockets)
}

/// What a server's log says about why it did not start, in one line.
fn complaints(log: &str) -> String {
    let marks = ["FATAL:", "PANIC:", "could not", "invalid", "unrecognized", "syntax error"];
    let severity = ["FATAL:  ", "PANIC:  ", "LOG:  ", "WARNING:  ", "HINT:  "];
    let mut told: Vec<&str> = log
        .lines()
        .filter(|line| marks.iter().any(|mark| line.contains(mark)))
        .map(|line| {
            let text = severity.iter().find_map(|severity| line.split_once(severity));
            text.map_or(line, |(_, text)| text)
        })
        .collect();
    told.dedup();
    told.truncate(3);
    told.join("; ")
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encode(text: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(
            |byte| {
                if unreserved(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_in_the_log_is_told_with_its_consequence() {
        let log = "2026-01-01 UTC [7] LOG:  invalid value for parameter \"a\": \"b\"\n\
                   2026-01-01 UTC [7] FATAL:  configuration file \"c\" contains errors\n\
                   2026-01-01 UTC [7] LOG:  database system is shut down\n";
        assert_eq!(
            complaints(log),
            "invalid value for parameter \"a\": \"b\"; configuration file \"c\" contains errors"
        );
        assert_eq!(complaints("2026-01-01 UTC [7] LOG:  starting\n"), "");
    }

    #[test]
    fn names_are_percent_encoded_in_urls() {
        assert_eq!(encode("/a b/é"), "%2Fa%20b%2F%C3%A9");
        assert_eq!(encode("shop-1"), "shop-1");
    }
}
