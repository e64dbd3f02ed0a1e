//! Bad input: each is one line that says what happened and what to do, and an exit code.

mod connections;
mod offsets;
mod publications;
mod servers;
mod slots;
mod spill;
mod targets;

use crate::database::Database;

/// A source with one small table, a SQLite target and a state folder.
struct Case {
    source: Database,
    folder: tempfile::TempDir,
}

impl Case {
    async fn new(purpose: &str) -> Self {
        Self::on(&cdc_testservers::shared_postgres_url().unwrap(), purpose).await
    }

    async fn on(server: &str, purpose: &str) -> Self {
        let source = Database::create(server, purpose).await;
        source
            .run("CREATE TABLE t (id int PRIMARY KEY, note text); INSERT INTO t VALUES (1, 'a')")
            .await;
        Case { source, folder: tempfile::tempdir().unwrap() }
    }

    fn target(&self) -> String {
        format!("sqlite:{}", self.folder.path().join("copy.db").display())
    }

    fn state(&self) -> String {
        self.folder.path().join("state").display().to_string()
    }

    /// The arguments with the source's own URL.
    fn arguments(&self) -> Vec<String> {
        self.arguments_from(&self.source.url)
    }

    /// The arguments with another source URL.
    fn arguments_from(&self, source: &str) -> Vec<String> {
        vec![source.to_owned(), self.target(), "--state".to_owned(), self.state()]
    }

    /// The source's URL with other credentials.
    fn url_as(&self, user: &str, password: &str) -> String {
        let address = self.source.url.split_once('@').unwrap().1;
        format!("postgres://{user}:{password}@{address}")
    }

    /// The name of the slot.
    async fn slot(&self) -> String {
        self.source
            .one("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
            .await
            .expect("a slot")
    }

    /// The error that a run ends with.
    fn error(&self) -> String {
        error(&self.arguments())
    }

    /// Runs until all is copied.
    fn drain(&self) {
        let arguments = self.arguments();
        crate::program::drain(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// The error that a run with these arguments ends with.
fn error(arguments: &[String]) -> String {
    crate::program::error_of(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Asserts that a message contains every one of these, whatever the case of its letters.
fn says(message: &str, parts: &[&str]) {
    let lower = message.to_lowercase();
    for part in parts {
        assert!(lower.contains(&part.to_lowercase()), "{part:?} is not in: {message}");
    }
}
