//! Building a source: where, which tables, under which names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdc_core::TableId;
use cdc_pgconn::ConnectConfig;

use crate::error::PostgresError;
use crate::identity::{IdentityRule, IdentityTables, ReplicaIdentity};
use crate::name_pattern::{ColumnSet, NamePattern};
use crate::names::{check_publication_name, check_slot_name};
use crate::options::{Options, OriginFilter, PublicationMode, Settings, SnapshotMode, SqlAccess};
use crate::shape::{HashAlgorithm, HashVersion, KeyColumns, Mask, ShapeRules};
use crate::source::PostgresSource;
use crate::table_filter::{NameLists, TableFilter};

/// Builds a [`PostgresSource`]. Everything but the address has a default.
///
/// ```
/// use cdc_postgres::{PostgresSource, SnapshotMode};
///
/// let source = PostgresSource::builder("postgres://app@db/shop")
///     .tables(["public.orders", "billing.*"])
///     .exclude_tables(["billing.tmp_*"])
///     .exclude_columns(["public.orders.card_number"])
///     .snapshot(SnapshotMode::Initial)
///     .build()?;
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PostgresSourceBuilder {
    address: Address,
    tables: Option<Vec<String>>,
    exclude: Vec<String>,
    copied: Option<Vec<String>>,
    columns: ColumnOptions,
    identities: Vec<(String, ReplicaIdentity)>,
    pub(crate) given: Given,
}

/// What is said of columns by patterns.
#[derive(Debug, Clone, Default)]
struct ColumnOptions {
    include: Vec<String>,
    exclude: Vec<String>,
    masks: Vec<(Vec<String>, Mask)>,
    keys: Vec<(String, Vec<String>)>,
}

/// What needs no more parsing, from the builder's methods and from properties alike.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) lists: NameLists,
    pub(crate) shape: ShapeRules,
    pub(crate) statements: Vec<String>,
    pub(crate) query_timeout: Option<Duration>,
    pub(crate) settings: Settings,
}

/// Where the database is: a URL, or a [`ConnectConfig`].
#[derive(Debug, Clone)]
pub struct Address(Result<ConnectConfig, Arc<str>>);

impl From<&str> for Address {
    fn from(url: &str) -> Self {
        Address(url.parse::<ConnectConfig>().map_err(|error| error.to_string().into()))
    }
}

impl From<String> for Address {
    fn from(url: String) -> Self {
        url.as_str().into()
    }
}

impl From<&String> for Address {
    fn from(url: &String) -> Self {
        url.as_str().into()
    }
}

impl From<ConnectConfig> for Address {
    fn from(config: ConnectConfig) -> Self {
        Address(Ok(config))
    }
}

fn strings<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Vec<String> {
    texts.into_iter().map(Into::into).collect()
}

impl PostgresSourceBuilder {
    pub(crate) fn new(address: Address) -> Self {
        PostgresSourceBuilder {
            address,
            tables: None,
            exclude: Vec::new(),
            copied: None,
            columns: ColumnOptions::default(),
            identities: Vec::new(),
            given: Given::default(),
        }
    }

    /// The tables to follow, as `schema.table`; `*` stands for any characters (`shop.*`), double quotes make a part exact
    /// (`"Odd.Schema"."T"`). The default is all tables of all schemas but the system's. A partitioned table stands for its
    /// leaves. Tables made later join at the next start.
    pub fn tables<T: Into<String>>(mut self, tables: impl IntoIterator<Item = T>) -> Self {
        self.tables.get_or_insert_default().extend(strings(tables));
        self
    }

    /// Tables that are left out, in the same form.
    pub fn exclude_tables<T: Into<String>>(mut self, tables: impl IntoIterator<Item = T>) -> Self {
        self.exclude.extend(strings(tables));
        self
    }

    /// The only columns that are shown, as `schema.table.column` with `*` and quotes as in [`tables`](Self::tables); tables
    /// that no pattern names have none. The record's key keeps its columns (Debezium's `column.include.list`).
    pub fn include_columns<T: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = T>,
    ) -> Self {
        self.columns.include.extend(strings(columns));
        self
    }

    /// Columns that are in no row, before or after a change, as `schema.table.column` (`column.exclude.list`). The record's
    /// key keeps them; [`Change::key`](cdc_core::Change::key), by which SQL sinks go, does not.
    pub fn exclude_columns<T: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = T>,
    ) -> Self {
        self.columns.exclude.extend(strings(columns));
        self
    }

    /// Columns of text or enums that are shown as `length` asterisks, NULL included (`column.mask.with.N.chars`). As with every
    /// mask, the key of a record ([`ChangeEvent::key`](cdc_core::ChangeEvent::key)) shows its columns unmasked, as Debezium's does;
    /// rows and [`Change::key`](cdc_core::Change::key) do not.
    pub fn mask_columns<T: Into<String>>(
        mut self,
        length: usize,
        columns: impl IntoIterator<Item = T>,
    ) -> Self {
        self.columns.masks.push((strings(columns), Mask::asterisks(length)));
        self
    }

    /// Columns of text or enums that are shown as the hash of salt and value, in hexadecimal and cut to the column's length
    /// (`column.mask.hash.v2.ALGORITHM.with.salt.SALT`). Equal values have equal hashes, so that they can be joined; NULL
    /// stays NULL.
    pub fn hash_columns<T: Into<String>>(
        mut self,
        algorithm: HashAlgorithm,
        salt: impl Into<Arc<str>>,
        columns: impl IntoIterator<Item = T>,
    ) -> Self {
        let mask = Mask::Hash { algorithm, version: HashVersion::Bytes, salt: salt.into() };
        self.columns.masks.push((strings(columns), mask));
        self
    }

    /// Columns of text or enums of which the first `length` characters are shown (`column.truncate.to.N.chars`).
    pub fn truncate_columns<T: Into<String>>(
        mut self,
        length: usize,
        columns: impl IntoIterator<Item = T>,
    ) -> Self {
        self.columns.masks.push((strings(columns), Mask::Truncate(length)));
        self
    }

    /// The columns that tell the rows of a table apart, in the place of its own key (`message.key.columns`). What the log has
    /// of a deleted row is its replica identity: other columns need `REPLICA IDENTITY FULL`.
    pub fn key_columns<T: Into<String>>(
        mut self,
        table: impl Into<String>,
        columns: impl IntoIterator<Item = T>,
    ) -> Self {
        self.columns.keys.push((table.into(), strings(columns)));
        self
    }

    /// Leaves out updates that change no column that is shown (`skip.messages.without.change`). The row before must be known:
    /// it takes `REPLICA IDENTITY FULL`.
    pub fn skip_unchanged(mut self, skip: bool) -> Self {
        self.given.shape.skip_unchanged = skip;
        self
    }

    /// Statements that are run first in every session for SQL, not in the one that reads the log
    /// (`database.initial.statements`). Settings that the text of values depends on are set again after them.
    pub fn initial_statements<T: Into<String>>(
        mut self,
        statements: impl IntoIterator<Item = T>,
    ) -> Self {
        self.given.statements.extend(strings(statements));
        self
    }

    /// The longest time that a statement may take, but for the reading of rows (`database.query.timeout.ms`). The default is
    /// no limit.
    pub fn query_timeout(mut self, timeout: Duration) -> Self {
        self.given.query_timeout = Some(timeout);
        self
    }

    /// The replication slot's name: digits, lower-case letters and underscores, at most 63. The default is
    /// `cdc_<pipeline>_<database>`.
    pub fn slot_name(mut self, name: impl Into<String>) -> Self {
        self.given.settings.slot_name = Some(name.into());
        self
    }

    /// Whether the slot is made at the first start (the default). Without, it must be there, with the plugin `pgoutput`,
    /// and is taken over at the first start.
    pub fn create_slot(mut self, create: bool) -> Self {
        self.given.settings.create_slot = create;
        self
    }

    /// Takes over a slot of this name that no offset speaks of: all tables are copied anew, and what the slot has kept is
    /// followed. The default is to refuse it.
    pub fn adopt_slot(mut self, adopt: bool) -> Self {
        self.given.settings.adopt_slot = adopt;
        self
    }

    /// Drops the slot when the source is closed (`slot.drop.on.stop`): the server keeps no log for it then, and the next start
    /// makes a new slot and copies all rows again. For tests and for what runs once.
    pub fn drop_slot_on_stop(mut self, drop: bool) -> Self {
        self.given.settings.drop_slot_on_stop = drop;
        self
    }

    /// Makes a slot that is synchronised to standbys (`slot.failover`; PostgreSQL 17 and later).
    pub fn failover_slot(mut self, failover: bool) -> Self {
        self.given.settings.failover_slot = failover;
        self
    }

    /// Which changes are wanted by where they were made first (`slot.stream.params=origin=...`; PostgreSQL 16 and later).
    pub fn origin(mut self, origin: OriginFilter) -> Self {
        self.given.settings.origin = Some(origin);
        self
    }

    /// How long a slot that somebody else reads is waited for before that is an error. The default is as long as it takes: a
    /// second instance is a hot standby.
    pub fn slot_patience(mut self, patience: Duration) -> Self {
        self.given.settings.slot_patience = Some(patience);
        self
    }

    /// The publication's name; a second one for tables without a key or identity has `_append` behind it. The default is
    /// `cdc_<pipeline>_<database>`.
    pub fn publication_name(mut self, name: impl Into<String>) -> Self {
        self.given.settings.publication_name = Some(name.into());
        self
    }

    /// Whether the publications are made, and altered at each start to hold the wanted tables (the default). Without, the
    /// named one must be there and is used as it is, with its row filters, column lists and partition roots; a table
    /// that is added to it later is followed from then on, and its older rows are not copied.
    pub fn create_publication(self, create: bool) -> Self {
        self.publication_mode(match create {
            true => PublicationMode::Managed,
            false => PublicationMode::Existing,
        })
    }

    /// Which publications are used and who makes them.
    pub fn publication_mode(mut self, mode: PublicationMode) -> Self {
        self.given.settings.publication_mode = mode;
        self
    }

    /// Publishes partitioned tables as themselves rather than as their leaves (`publish.via.partition.root`; PostgreSQL 13 and
    /// later). A publication that is there already stays as it is.
    pub fn publish_via_partition_root(mut self, via_root: bool) -> Self {
        self.given.settings.via_root = via_root;
        self
    }

    /// Gives tables (`schema.table` with `*` and quotes) a replica identity before they are read
    /// (`replica.identity.autoset.values`). Their owner alone can.
    pub fn replica_identity(
        mut self,
        tables: impl Into<String>,
        identity: ReplicaIdentity,
    ) -> Self {
        self.identities.push((tables.into(), identity));
        self
    }

    /// Whether rows that are there already are copied.
    pub fn snapshot(mut self, mode: SnapshotMode) -> Self {
        self.given.settings.snapshot = mode;
        self
    }

    /// How long the tables' ACCESS SHARE locks are waited for before a copy (`snapshot.lock.timeout.ms`); then that is an
    /// error, after which the copy is tried again.
    /// The default is as long as it takes.
    pub fn snapshot_lock_timeout(mut self, timeout: Duration) -> Self {
        self.given.settings.snapshot_lock_timeout = Some(timeout);
        self
    }

    /// How many connections read chunks of tables, 1 by default. With more, rows of a table come in another order than that of its
    /// key.
    pub fn snapshot_connections(mut self, connections: std::num::NonZeroUsize) -> Self {
        self.given.settings.snapshot_connections = connections;
        self
    }

    /// Of the tables that are followed those whose rows are copied, in the form of [`tables`](Self::tables)
    /// (`snapshot.include.collection.list`). Of the others come changes alone, unless a snapshot of them is asked for.
    pub fn snapshot_tables<T: Into<String>>(mut self, tables: impl IntoIterator<Item = T>) -> Self {
        self.copied.get_or_insert_default().extend(strings(tables));
        self
    }

    /// What is read in place of a table (`schema.table`, as it is written in the catalog): a query that gives the table's columns by
    /// their names (`snapshot.select.statement.overrides`). Streamed changes are all changes of the table.
    pub fn snapshot_select(mut self, table: TableId, query: impl Into<String>) -> Self {
        self.given.settings.selects.push((table, query.into()));
        self
    }

    /// How many rows the first chunk of a table has that is read beside the stream (`incremental.snapshot.chunk.size`), 5 000 by default.
    /// Later ones are as large as 8 MiB and half a second allow, or 512 KiB in pieces with rests in between while others write.
    pub fn snapshot_chunk_rows(mut self, rows: u64) -> Self {
        self.given.settings.chunk_rows = Some(rows.max(1));
        self
    }

    /// The most rows of a copy that are handed on at a time (`snapshot.fetch.size`). The default is the pipeline's limit for
    /// batches.
    pub fn snapshot_fetch_size(mut self, rows: usize) -> Self {
        self.given.settings.snapshot_fetch_size = Some(rows.max(1));
        self
    }

    /// A table in which rows ask for something (`signal.data.collection`): its first three columns are id, type and data of a
    /// [signal](cdc_core::signal). It has to be among the [`tables`](Self::tables); its changes are events as those of others.
    pub fn signal_table(mut self, table: TableId) -> Self {
        self.given.settings.signals.table = Some(table);
        self
    }

    /// A file in which lines ask for something (`signal.file`), as [`SignalFile`](cdc_core::signal::SignalFile) says, and
    /// how often it is looked at.
    pub fn signal_file(mut self, file: impl Into<PathBuf>, interval: Duration) -> Self {
        self.given.settings.signals.file = Some(file.into());
        self.given.settings.signals.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// The longest time between two messages to the server that say how far the log is read and done
    /// (`status.update.interval.ms`). It is at most 10 s and a third of the server's `wal_sender_timeout` in any case.
    pub fn status_interval(mut self, interval: Duration) -> Self {
        self.given.settings.status_interval = Some(interval);
        self
    }

    /// Whether the begin and the end of each transaction come as events of their own, a
    /// [`TransactionMarker`](cdc_core::TransactionMarker) (Debezium's `provide.transaction.metadata`). The default is not.
    ///
    /// [`TransactionNumbers`](cdc_core::connector::TransactionNumbers) numbers the events between them. So that it can
    /// after a restart inside a transaction, that transaction comes from its beginning again; sinks are spared what they have.
    pub fn transaction_markers(mut self, wanted: bool) -> Self {
        self.given.settings.transaction_markers = wanted;
        self
    }

    /// Whether the columns of a unique index are the key of a table without a primary key or identity, as in Debezium's
    /// records; of several the one whose name comes first. The default is not: such a table has no key, as its rows may not
    /// be told apart by columns that are NULL.
    pub fn unique_keys(mut self, wanted: bool) -> Self {
        self.given.settings.unique_keys = wanted;
        self
    }

    /// Whether the server sends large transactions while they are in progress (the default), from PostgreSQL 14 on: it is
    /// much faster with them. They are kept here until they are committed, in memory up to [`spill_above`](Self::spill_above)
    /// and then on disk. Without, the server keeps them.
    pub fn stream_in_progress(mut self, stream: bool) -> Self {
        self.given.settings.in_progress = stream;
        self
    }

    /// How many bytes of transactions in progress stay in memory. Default 4 MiB.
    pub fn spill_above(mut self, bytes: usize) -> Self {
        self.given.settings.spill.memory = bytes;
        self
    }

    /// The folder for what is beyond that; the system's folder for temporary files by default, which may be in memory itself.
    /// The files have no name there, so nothing is left of them whatever happens.
    pub fn spill_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.given.settings.spill.folder = folder.into();
        self
    }

    /// Checks the settings. The database is not asked yet.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a setting that is wrong or contradicts another.
    pub fn build(self) -> cdc_core::Result<PostgresSource> {
        Ok(PostgresSource::with(self.options()?))
    }

    pub(crate) fn options(self) -> Result<Options, PostgresError> {
        let config = self.address.0.map_err(|reason| PostgresError::Setting {
            name: "the source's address",
            reason: reason.to_string(),
        })?;
        if self.tables.as_ref().is_some_and(Vec::is_empty) {
            return Err(setting("tables")(
                "the list is empty; leave .tables(..) out to follow all tables".to_owned(),
            ));
        }
        let mut given = self.given;
        let filter = TableFilter {
            include: patterns("tables", NamePattern::table, &self.tables.unwrap_or_default())?,
            exclude: patterns("exclude_tables", NamePattern::table, &self.exclude)?,
            copied: match &self.copied {
                Some(copied) => Some(patterns("snapshot_tables", NamePattern::table, copied)?),
                None => None,
            },
            lists: std::mem::take(&mut given.lists),
        };
        for (tables, identity) in self.identities {
            let pattern = NamePattern::table(&tables).map_err(setting("replica_identity"))?;
            given
                .settings
                .identities
                .push(IdentityRule { tables: IdentityTables::Pattern(pattern), identity });
        }
        self.columns.add_to(&mut given.shape)?;
        check_names(&given)?;
        Ok(Options {
            sql: SqlAccess {
                config,
                statements: given.statements,
                query_timeout: given.query_timeout,
            },
            filter,
            shape: Arc::new(given.shape),
            settings: given.settings,
        })
    }
}

fn setting(name: &'static str) -> impl Fn(String) -> PostgresError {
    move |reason| PostgresError::Setting { name, reason }
}

fn patterns(
    name: &'static str,
    parse: fn(&str) -> Result<NamePattern, String>,
    texts: &[String],
) -> Result<Vec<NamePattern>, PostgresError> {
    texts.iter().map(|text| parse(text).map_err(setting(name))).collect()
}

impl ColumnOptions {
    fn add_to(self, rules: &mut ShapeRules) -> Result<(), PostgresError> {
        let columns = |name, texts: &[String]| {
            patterns(name, NamePattern::column, texts).map(ColumnSet::Patterns)
        };
        if !self.include.is_empty() {
            rules.include = Some(columns("include_columns", &self.include)?);
        }
        if !self.exclude.is_empty() {
            rules.exclude.push(columns("exclude_columns", &self.exclude)?);
        }
        for (texts, mask) in self.masks {
            let name = match mask {
                Mask::Fixed(_) => "mask_columns",
                Mask::Hash { .. } => "hash_columns",
                Mask::Truncate(_) => "truncate_columns",
            };
            rules.masks.push((columns(name, &texts)?, mask));
        }
        for (table, columns) in self.keys {
            let parts: Vec<&str> = table.split('.').collect();
            let [schema, table] = parts.as_slice() else {
                return Err(setting("key_columns")(format!(
                    "{table:?} is not a table of the form schema.table"
                )));
            };
            if columns.is_empty() {
                return Err(setting("key_columns")(format!("{schema}.{table} has no columns")));
            }
            rules.keys.push(KeyColumns::Named { table: TableId::new(*schema, *table), columns });
        }
        Ok(())
    }
}

fn check_names(given: &Given) -> Result<(), PostgresError> {
    if let Some(name) = &given.settings.slot_name {
        check_slot_name(name).map_err(setting("slot_name"))?;
    }
    if let Some(name) = &given.settings.publication_name {
        check_publication_name(name, given.settings.publication_mode == PublicationMode::Managed)
            .map_err(setting("publication_name"))?;
    } else if given.settings.publication_mode == PublicationMode::Existing {
        return Err(setting("create_publication")(
            "false needs the name of the publication to use; add .publication_name(..)".to_owned(),
        ));
    }
    if !given.settings.create_slot && given.settings.slot_name.is_none() {
        return Err(setting("create_slot")(
            "false needs the name of the slot to use; add .slot_name(..)".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn builder() -> PostgresSourceBuilder {
        PostgresSourceBuilder::new("postgres://app@db/shop".into())
    }

    fn refused(builder: PostgresSourceBuilder) -> String {
        builder.options().unwrap_err().to_string()
    }

    #[test]
    fn names_come_from_the_pipeline_and_the_database() {
        let options = builder().options().unwrap();
        assert_eq!(options.slot_name("shop-copy"), "cdc_shop_copy_shop_60d1790f");
        assert_eq!(
            options.publications("shop-copy"),
            ["cdc_shop_copy_shop_60d1790f", "cdc_shop_copy_shop_60d1790f_append"]
        );
    }

    #[test]
    fn wrong_and_contradictory_settings_are_refused_by_name() {
        assert!(refused(builder().slot_name("Shop")).contains("slot_name"));
        assert!(refused(builder().tables(["orders"])).contains("schema.table"));
        assert!(refused(builder().tables(Vec::<String>::new())).contains("tables"));
        assert!(refused(builder().create_slot(false)).contains(".slot_name(..)"));
        assert!(refused(builder().create_publication(false)).contains(".publication_name(..)"));
        assert!(refused(builder().exclude_columns(["orders.card"])).contains("exclude_columns"));
        assert!(refused(builder().mask_columns(3, ["card"])).contains("mask_columns"));
        assert!(refused(builder().key_columns("orders", ["id"])).contains("key_columns"));
        let address = PostgresSourceBuilder::new("postgres://app@db/shop?nonsense=1".into());
        assert!(refused(address).contains("nonsense"));
    }
}
