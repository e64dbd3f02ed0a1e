//! A database for each test, and a consumer that keeps what a target would.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../cdc-pgconn/tests/server/database.rs"]
mod database;

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_core::status::Progress;
use cdc_core::{
    Answer, Batch, BatchLimits, Change, ChangeEvent, Coverage, Error, Offset, Operation, Payload,
    Properties, Request, Row, Source, SourceContext, ValueRef,
};
use cdc_pgconn::Host;
use cdc_postgres::{PostgresSource, PostgresSourceBuilder};
pub(crate) use database::{PATIENCE, TestDatabase};

impl TestDatabase {
    /// A source of this database.
    pub(crate) fn source(&self) -> PostgresSourceBuilder {
        PostgresSource::builder(self.config.clone())
            .slot_name(self.slot())
            .publication_name(self.slot())
    }

    /// What a connector's configuration says of this database, with more options; names of slot and publication are the
    /// database's.
    pub(crate) fn properties(&self, more: &[(&str, &str)]) -> Properties {
        let host = match self.config.host() {
            Host::Tcp(host) => host.clone(),
            Host::Unix(folder) => panic!("{} is no host name", folder.display()),
        };
        let mut properties = Properties::new();
        properties.set("database.hostname", host);
        properties.set("database.port", self.config.port().to_string());
        properties.set("database.user", self.config.user());
        properties.set("database.dbname", self.config.database());
        if let Some(password) = self.config.password() {
            properties.set("database.password", password.reveal());
        }
        properties.set("plugin.name", "pgoutput");
        properties.set("slot.name", self.slot());
        properties.set("publication.name", self.slot());
        for (name, value) in more {
            properties.set(*name, *value);
        }
        properties
    }

    /// A source from [`properties`](Self::properties).
    pub(crate) fn connector(&self, more: &[(&str, &str)]) -> PostgresSource {
        let properties = self.properties(more);
        let source = PostgresSource::from_properties(&properties).unwrap();
        properties.finish().unwrap();
        source
    }

    /// The slot and the publication of the source.
    pub(crate) fn slot(&self) -> String {
        format!("cdc_test_{}", self.name)
    }
}

/// What a pipeline would tell the source.
pub(crate) fn context(wait: bool) -> SourceContext {
    SourceContext {
        pipeline: "test".into(),
        limits: BatchLimits::default(),
        wait,
        progress: Progress::default(),
    }
}

/// Rows by table: by key, or with a count where there is none.
pub(crate) type Tables = BTreeMap<String, BTreeMap<String, u64>>;

/// A target that commits its offset with the data, in memory.
#[derive(Default)]
pub(crate) struct Target {
    pub(crate) tables: BTreeMap<String, TargetTable>,
    pub(crate) offset: Option<Offset>,
    /// Every event that was taken, in order.
    pub(crate) events: Vec<ChangeEvent>,
    /// Snapshots run by chunks: rows may come that are there, and changes of rows that are not.
    chunks: bool,
    /// The greatest `version` that each key of a table ever had; it must not decrease.
    versions: BTreeMap<(String, String), i64>,
}

/// A table of a target.
#[derive(Default)]
pub(crate) struct TargetTable {
    keyed: BTreeMap<String, Row>,
    keyless: Vec<Row>,
}

impl Target {
    /// Takes a batch as a transactional sink does.
    pub(crate) fn commit(&mut self, batch: Batch, coverage: &dyn Coverage) {
        let cdc = batch.offset.get("cdc");
        self.chunks |= cdc.is_some_and(|cdc| cdc.get("chunks").is_some());
        for event in batch.events {
            if coverage.covers(event.origin()) {
                continue;
            }
            if let Payload::Change(change) = &event.value {
                self.apply(event.destination.as_str(), change);
            }
            self.events.push(event);
        }
        self.offset = Some(batch.offset);
    }

    fn apply(&mut self, name: &str, change: &Change) {
        let table = self.tables.entry(name.to_owned()).or_default();
        let key =
            |row: &Row| row.key().map(|key| format!("{:?}", key.values().collect::<Vec<_>>()));
        match change.operation {
            Operation::Table => {}
            Operation::Truncate => {
                table.keyed.clear();
                table.keyless.clear();
            }
            Operation::Read | Operation::Create => {
                let row = change.after.clone().unwrap();
                match key(&row) {
                    Some(key) => {
                        newer(&mut self.versions, name, &key, &row);
                        let old = table.keyed.insert(key, row);
                        assert!(old.is_none() || self.chunks, "{name}: a row was inserted twice");
                    }
                    None => table.keyless.push(row),
                }
            }
            Operation::Update => {
                let Some(new_key) = change.key() else {
                    let before = change.before.clone().unwrap();
                    let at = table.keyless.iter().position(|row| *row == before).unwrap();
                    table.keyless[at] = change.completed_after().unwrap();
                    return;
                };
                let old_key = change.old_key().unwrap_or_else(|| new_key.clone());
                let text = |key: &Row| format!("{:?}", key.values().collect::<Vec<_>>());
                let after = change.completed_after().unwrap();
                let Some(mut old) = table.keyed.remove(&text(&old_key)) else {
                    assert!(self.chunks, "{name}: no row {old_key:?} to update");
                    table.keyed.remove(&text(&new_key));
                    if after.is_complete() {
                        newer(&mut self.versions, name, &text(&new_key), &after);
                        table.keyed.insert(text(&new_key), after);
                    }
                    return;
                };
                let mut values = Vec::new();
                for (index, field) in after.schema().fields().iter().enumerate() {
                    let value = after.value(index).unwrap();
                    values.push(if value.is_unavailable() {
                        let at = old.schema().index_of(&field.name).unwrap();
                        old.value(at).unwrap()
                    } else {
                        value
                    });
                }
                old = Row::new(Arc::clone(after.schema()), values).unwrap();
                newer(&mut self.versions, name, &text(&new_key), &old);
                table.keyed.insert(text(&new_key), old);
            }
            Operation::Delete => {
                let before = change.before.clone().unwrap();
                match key(&before) {
                    Some(key) => {
                        let old = table.keyed.remove(&key);
                        assert!(old.is_some() || self.chunks, "{name}: no row {key} to delete");
                    }
                    None => {
                        let at = table.keyless.iter().position(|row| *row == before).unwrap();
                        table.keyless.remove(at);
                    }
                }
            }
        }
    }

    /// Everything, in a form that compares.
    pub(crate) fn contents(&self) -> Tables {
        self.tables
            .iter()
            .map(|(name, table)| {
                let mut rows = BTreeMap::new();
                for row in table.keyed.values().chain(&table.keyless) {
                    *rows.entry(format!("{:?}", row.values().collect::<Vec<_>>())).or_default() +=
                        1;
                }
                (name.clone(), rows)
            })
            .collect()
    }

    /// Events of one operation on one table.
    pub(crate) fn of(&self, name: &str, operation: Operation) -> Vec<&ChangeEvent> {
        self.events
            .iter()
            .filter(|event| {
                event.destination.as_str() == name && event.operation() == Some(operation)
            })
            .collect()
    }
}

/// Notes the `version` of a row, where it has one, which must not be older than what its key had.
fn newer(versions: &mut BTreeMap<(String, String), i64>, name: &str, key: &str, row: &Row) {
    let Some(ValueRef::Int64(version)) = row.by_name("version") else { return };
    let known = versions.entry((name.to_owned(), key.to_owned())).or_insert(version);
    assert!(version >= *known, "{name}: {key} went back from {known} to {version}");
    *known = version;
}

/// A request on its way.
pub(crate) struct Asked(tokio::sync::oneshot::Receiver<Result<(), Error>>);

impl Asked {
    /// Why it was refused, when it was.
    pub(crate) fn refusal(&mut self) -> Option<Error> {
        self.0.try_recv().ok().and_then(Result::err)
    }
}

/// A source with its target: what a pipeline does, in small.
pub(crate) struct Copy {
    pub(crate) source: PostgresSource,
    pub(crate) target: Target,
    pub(crate) context: SourceContext,
    coverage: Option<Box<dyn Coverage>>,
}

impl Copy {
    pub(crate) fn new(builder: PostgresSourceBuilder) -> Self {
        Copy::from(builder.build().unwrap())
    }

    /// A copy by a source that is built.
    pub(crate) fn from(source: PostgresSource) -> Self {
        Copy { source, target: Target::default(), context: context(false), coverage: None }
    }

    /// A copy that has caught up.
    pub(crate) async fn of(database: &TestDatabase) -> Self {
        let mut copy = Copy::new(database.source());
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
        copy
    }

    /// Acquires and starts at the target's offset.
    pub(crate) async fn start(&mut self) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, async {
            self.source.acquire(&self.context).await?;
            let offset = self.target.offset.clone();
            self.coverage = Some(self.source.positions().coverage(offset.as_ref()).unwrap());
            self.source.start(offset).await
        })
        .await
        .unwrap_or_else(|_| self.took_too_long())
    }

    /// Takes one batch, commits and acknowledges it.
    pub(crate) async fn step(&mut self) -> Result<(), Error> {
        let batch = self.source.next_batch().await?.expect("a batch");
        self.target.commit(batch, self.coverage.as_deref().unwrap());
        self.source.acknowledger().acknowledge(self.target.offset.as_ref().unwrap());
        Ok(())
    }

    /// Goes on until all that is committed now has arrived.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Error> {
        let end = self.source.end_of_log().await?;
        self.until(|copy| {
            let positions = copy.source.positions();
            copy.target
                .offset
                .as_ref()
                .is_some_and(|offset| positions.has_reached(offset, &end).unwrap())
        })
        .await
    }

    /// Asks the source for something; it is held by a batch soon.
    pub(crate) fn ask(&mut self, request: Request) -> Asked {
        let (answer, answered) = Answer::new();
        self.source.control(request, answer).unwrap();
        Asked(answered)
    }

    /// Goes on until no snapshot runs.
    pub(crate) async fn until_read(&mut self) -> Result<(), Error> {
        self.until(|copy| copy.left().is_empty()).await
    }

    /// The tables of which a snapshot has something left, by the offset.
    pub(crate) fn left(&self) -> Vec<String> {
        let tables = || {
            let offset = self.target.offset.as_ref()?;
            let tables = offset.get("cdc")?.get("chunks")?.get("tables")?.as_array()?;
            Some(tables.iter().map(|table| table["table"].as_str().unwrap().to_owned()).collect())
        };
        tables().unwrap_or_default()
    }

    /// Goes on until something holds.
    pub(crate) async fn until(&mut self, done: impl Fn(&Copy) -> bool) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, async {
            while !done(self) {
                self.step().await?;
            }
            Ok(())
        })
        .await
        .unwrap_or_else(|_| self.took_too_long())
    }

    /// Says what it waits for, such as a transaction that keeps a slot from being made.
    fn took_too_long(&self) -> ! {
        let (phase, offset) = (self.context.progress.status().phase, &self.target.offset);
        panic!("not within {PATIENCE:?}: {phase:?}, offset {offset:?}")
    }

    /// Goes on until the source ends.
    pub(crate) async fn until_end(&mut self) -> Result<(), Error> {
        tokio::time::timeout(PATIENCE, async {
            while let Some(batch) = self.source.next_batch().await? {
                self.target.commit(batch, self.coverage.as_deref().unwrap());
                self.source.acknowledger().acknowledge(self.target.offset.as_ref().unwrap());
            }
            Ok(())
        })
        .await
        .unwrap_or_else(|_| self.took_too_long())
    }

    /// Closes the source, and goes on later with another one.
    pub(crate) async fn replace(&mut self, source: PostgresSource) {
        self.source.close().await.unwrap();
        self.source = source;
        self.coverage = None;
    }

    /// Goes on until it fails.
    pub(crate) async fn until_error(&mut self) -> Error {
        tokio::time::timeout(PATIENCE, async {
            loop {
                if let Err(error) = self.step().await {
                    return error;
                }
            }
        })
        .await
        .expect("an error in time")
    }

    /// Ends the source as a kill would: nothing more is sent or saved.
    pub(crate) async fn kill(&mut self, builder: PostgresSourceBuilder) {
        self.source = builder.build().unwrap();
        self.coverage = None;
    }

    /// Catches up with all that is committed now, closes, and compares the target with a fresh copy.
    pub(crate) async fn finish(&mut self, database: &TestDatabase) {
        self.catch_up().await.unwrap();
        self.source.close().await.unwrap();
        self.assert_equal(database).await;
    }

    /// Compares the target with a fresh copy of the database.
    pub(crate) async fn assert_equal(&self, database: &TestDatabase) {
        let name = format!("fresh_{}", database.name);
        let mut fresh =
            Copy::new(database.source().slot_name(name.as_str()).publication_name(name));
        fresh.start().await.unwrap();
        fresh.catch_up().await.unwrap();
        fresh.source.close().await.unwrap();
        fresh.source.remove("test").await.unwrap();
        let (ours, theirs) = (self.target.contents(), fresh.target.contents());
        for (table, rows) in &theirs {
            assert_eq!(ours.get(table), Some(rows), "{table} differs");
        }
    }
}
