//! A connector under test: a database, a configuration, the program `debezium_json` and the lines that it writes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use cdc_pgconn::ConnectConfig;
use tempfile::TempDir;

use crate::database::Database;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The example as cargo built it beside this test.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join("debezium_json")
}

/// A database and what the program needs to read it.
pub(crate) struct Connector {
    pub(crate) database: Database,
    pub(crate) folder: TempDir,
    config: PathBuf,
    set: Vec<String>,
}

impl Connector {
    /// Makes a database; `config` is a connector's configuration in JSON, without the address.
    pub(crate) async fn new(purpose: &str, config: &str) -> Self {
        let database = Database::shared(purpose).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("connector.json");
        std::fs::write(&file, config).unwrap();
        let address = ConnectConfig::from_url(&database.url).unwrap();
        let set = address_of(&address, &database);
        Connector { database, folder, config: file, set }
    }

    /// Sets a property.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.set.push(format!("{name}={value}"));
    }

    /// The value of a property that was set last.
    pub(crate) fn property(&self, name: &str) -> String {
        let prefix = format!("{name}=");
        let found = self.set.iter().rev().find_map(|set| set.strip_prefix(&prefix));
        found.unwrap_or_default().to_owned()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let path = |name: &str| {
            let number = std::fs::read_dir(self.folder.path()).unwrap().count();
            self.folder.path().join(format!("{number}.{name}"))
        };
        let (out, errors) = (path("out"), path("err"));
        let child = Command::new(binary())
            .arg(&self.config)
            .args(&self.set)
            .args(arguments)
            .env_remove("PGPASSWORD")
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .expect("the example debezium_json is built by cargo test");
        Running { child, out, errors }
    }
}

/// The properties of an address.
fn address_of(config: &ConnectConfig, database: &Database) -> Vec<String> {
    let url = database.url.as_str();
    let (credentials, place) = url.trim_start_matches("postgres://").split_once('@').unwrap();
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let (address, _) = place.split_once('/').unwrap();
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "5432"));
    [
        ("database.hostname", host),
        ("database.port", port),
        ("database.user", user),
        ("database.password", password),
        ("database.dbname", config.database()),
        ("slot.name", &database.name),
    ]
    .map(|(name, value)| format!("{name}={value}"))
    .into()
}

/// A running program.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    errors: PathBuf,
}

impl Running {
    /// What it has written: whole lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.out).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap()
    }

    /// Waits until something is so.
    pub(crate) async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() || condition(self),
                "ended with {ended:?} before {what}: {}",
                self.errors()
            );
            assert!(Instant::now() < deadline, "not in {PATIENCE:?}: {what}: {}", self.errors());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the snapshot is over.
    pub(crate) async fn streaming(&mut self) {
        self.until("streaming", |program| program.errors().contains("streaming")).await;
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running: {}", self.errors());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) async fn stop(&mut self) -> ExitStatus {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        self.end().await
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
