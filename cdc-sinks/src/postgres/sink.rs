//! The sink: one connection, one transaction a batch.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cdc_core::fold::Folder;
use cdc_core::{
    Ack, Batch, Delivery, Error, Offset, Outcome, Result, Sink, SystemIdentity, TransactionalSink,
};
use cdc_pgconn::{ConnectConfig, Host};

use super::dialect::Postgres;
use super::error::refused;
use super::fence;
use super::session::{Session, Tables};
use crate::error::{SinkError, not_loaded, read_offset};
use crate::sql::naming::{DEFAULT_SCHEMA, NameBook, TableName, TableNames};
use crate::sql::offsets::{Claim, Fence, OFFSET_TABLE, OffsetStatements};
use crate::sql::plan::Plans;

/// Writes rows into a PostgreSQL database (12 or newer), exactly once.
///
/// Every batch is one transaction that also holds the pipeline's offset, and `synchronous_commit` is on. Rows go to the server
/// as arrays (`UNNEST`) of 2 048 rows, numbers and times in binary, while it works on those before. Columns get
/// the types of the source; enums are text, and so is what PostgreSQL has no type for (times finer than
/// microseconds, types that are unknown here); maps and structs are json. A column that a user made with a type of
/// the same name as at the source (an enum, a type of an extension) is used as it is. The role needs the right to create tables,
/// or to write those that are there. A batch is written table by table, so foreign keys between tables of the target must
/// be `DEFERRABLE INITIALLY DEFERRED`.
///
/// ```no_run
/// use cdc_sinks::PostgresSink;
///
/// let sink = PostgresSink::builder("postgres://copy@db2:5432/shop").build()?;
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct PostgresSink {
    name: String,
    config: ConnectConfig,
    offsets: OffsetStatements,
    tables: Tables,
    /// Away while a call runs; a call that was given up does not bring it back, and the server rolls back.
    session: Option<Session>,
    fence: Option<Fence>,
    /// What is remembered of the fence beyond one connection.
    claim: Option<Claim>,
    identity: Option<SystemIdentity>,
}

/// Sets up a [`PostgresSink`].
#[derive(Debug, Clone)]
pub struct PostgresSinkBuilder {
    url: Url,
    names: TableNames,
    offset_table: TableName,
}

/// Text that may hold a password, and is never shown.
#[derive(Clone)]
struct Url(String);

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl PostgresSinkBuilder {
    /// How tables are named in the database; the default is as at the source.
    #[must_use]
    pub fn table_names(mut self, names: TableNames) -> Self {
        self.names = names;
        self
    }

    /// The table of the offsets; the default is `cdc_offsets` in the schema `public`.
    #[must_use]
    pub fn offset_table(mut self, table: TableName) -> Self {
        self.offset_table = table;
        self
    }

    /// Makes the sink. It connects when it is opened.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when the URL cannot be read.
    pub fn build(self) -> Result<PostgresSink> {
        let config = ConnectConfig::from_url(&self.url.0).map_err(SinkError::from)?;
        let mut offset_table = self.offset_table;
        offset_table.schema.get_or_insert_with(|| DEFAULT_SCHEMA.to_owned());
        Ok(PostgresSink {
            name: name(&config),
            config,
            // No statement about offsets depends on what the server can do.
            offsets: OffsetStatements::new(&Postgres { xml: false }, &offset_table),
            tables: Tables {
                names: NameBook::new(self.names, true),
                offset_table,
                plans: Plans::new(),
                folder: Folder::default(),
            },
            session: None,
            fence: None,
            claim: None,
            identity: None,
        })
    }
}

/// `postgres://host:port/database`, without the user, who may change.
fn name(config: &ConnectConfig) -> String {
    let host = match config.host() {
        Host::Tcp(host) if host.contains(':') => format!("[{host}]"),
        Host::Tcp(host) => host.clone(),
        Host::Unix(folder) => Path::display(folder).to_string(),
    };
    format!("postgres://{host}:{}/{}", config.port(), config.database())
}

impl PostgresSink {
    /// Starts to set up a sink from a URL as libpq reads it; what it leaves out comes from the environment and the
    /// password file.
    pub fn builder(url: impl Into<String>) -> PostgresSinkBuilder {
        PostgresSinkBuilder {
            url: Url(url.into()),
            names: TableNames::default(),
            offset_table: TableName::new(OFFSET_TABLE),
        }
    }

    /// The connection that is there, or a new one.
    async fn take_session(&mut self) -> Result<Session, SinkError> {
        match self.session.take() {
            Some(session) if !session.client.is_closed() => Ok(session),
            _ => {
                self.fence = None;
                self.tables.plans.clear();
                let session = Session::connect(&self.config).await?;
                self.identity.clone_from(&session.identity);
                Ok(session)
            }
        }
    }

    async fn peek_offset(&mut self, pipeline: &str) -> Result<Option<Offset>, SinkError> {
        let session = self.take_session().await?;
        let table = &self.tables.offset_table;
        let found = fence::peek(&session.client, table, &self.offsets, pipeline).await;
        self.session = Some(session);
        read_offset(&self.name, table, pipeline, found?)
    }

    async fn load_offset(&mut self, pipeline: &str) -> Result<Option<Offset>, SinkError> {
        let session = self.take_session().await?;
        self.fence = None;
        if self.claim.as_ref().is_none_or(|claim| claim.pipeline != pipeline) {
            self.claim = None;
        }
        let claim = self.claim.get_or_insert_with(|| Claim::new(pipeline));
        let table = &self.tables.offset_table;
        let taken =
            fence::take(&session.client, &session.dialect, table, &self.offsets, claim).await;
        self.session = Some(session);
        let (fence, offset) = taken?;
        self.fence = Some(fence);
        read_offset(&self.name, table, pipeline, offset)
    }

    async fn commit_batch(&mut self, batch: &Batch) -> Result<(), SinkError> {
        let (Some(fence), Some(mut session)) = (self.fence.clone(), self.session.take()) else {
            return Err(not_loaded(&self.name));
        };
        let done = session.commit(&mut self.tables, &self.offsets, &fence, batch).await;
        if !session.client.is_closed() {
            self.session = Some(session);
        }
        done
    }

    async fn find_rejected_events(
        &mut self,
        batch: &Batch,
    ) -> Result<Vec<(usize, Error)>, SinkError> {
        let (Some(fence), Some(mut session)) = (self.fence.clone(), self.session.take()) else {
            return Err(not_loaded(&self.name));
        };
        let found = session.find_rejected(&mut self.tables, &fence, batch).await;
        if !session.client.is_closed() {
            self.session = Some(session);
        }
        found
    }

    async fn forget_pipeline(&mut self, pipeline: &str) -> Result<(), SinkError> {
        (self.fence, self.claim) = (None, None);
        let session = self.take_session().await?;
        let client = &session.client;
        if fence::has_table(client, &self.tables.offset_table).await? {
            client
                .execute(&self.offsets.forget, &[&pipeline])
                .await
                .map_err(|error| refused(client, "the offset cannot be forgotten", error))?;
        }
        self.session = Some(session);
        Ok(())
    }
}

#[async_trait]
impl Sink for PostgresSink {
    fn name(&self) -> &str {
        &self.name
    }

    fn delivery(&self) -> Delivery {
        Delivery::Transactional
    }

    async fn open(&mut self) -> Result<()> {
        let session = self.take_session().await?;
        self.session = Some(session);
        Ok(())
    }

    async fn write(&mut self, _: Arc<Batch>) -> Result<Ack> {
        Err(Error::configuration(format!("{}: a transactional sink commits", self.name))
            .remedy("call commit of its transactional() side"))
    }

    fn transactional(&mut self) -> Option<&mut dyn TransactionalSink> {
        Some(self)
    }

    fn identity(&self) -> Option<SystemIdentity> {
        self.identity.clone()
    }

    async fn close(&mut self) -> Result<()> {
        self.session = None;
        self.fence = None;
        Ok(())
    }
}

#[async_trait]
impl TransactionalSink for PostgresSink {
    async fn peek(&mut self, pipeline: &str) -> Result<Option<Offset>> {
        Ok(self.peek_offset(pipeline).await?)
    }

    async fn load(&mut self, pipeline: &str) -> Result<Option<Offset>> {
        Ok(self.load_offset(pipeline).await?)
    }

    async fn commit(&mut self, batch: Arc<Batch>) -> Result<Outcome> {
        self.commit_batch(&batch).await?;
        Ok(Outcome::default())
    }

    async fn find_rejected(&mut self, batch: Arc<Batch>) -> Result<Vec<(usize, Error)>> {
        Ok(self.find_rejected_events(&batch).await?)
    }

    async fn forget(&mut self, pipeline: &str) -> Result<()> {
        Ok(self.forget_pipeline(pipeline).await?)
    }
}
