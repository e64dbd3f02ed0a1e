//! Building a source: where, which tables, under which names.

use std::sync::Arc;

use cdc_pgconn::ConnectConfig;

use crate::error::PostgresError;
use crate::names::{append_publication, check_publication_name, check_slot_name, default_name};
use crate::source::PostgresSource;
use crate::table_filter::{TableFilter, TablePattern};

/// Whether rows that are there already are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SnapshotMode {
    /// At the first start all rows are copied, and a copy that was interrupted is made anew.
    #[default]
    Initial,
    /// Only changes from the first start on.
    Never,
}

/// What a source was told.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) config: ConnectConfig,
    pub(crate) filter: TableFilter,
    pub(crate) slot_name: Option<String>,
    pub(crate) create_slot: bool,
    pub(crate) adopt_slot: bool,
    pub(crate) publication_name: Option<String>,
    pub(crate) create_publication: bool,
    pub(crate) snapshot: SnapshotMode,
    pub(crate) transaction_markers: bool,
}

impl Options {
    /// The slot's name in this pipeline.
    pub(crate) fn slot_name(&self, pipeline: &str) -> String {
        self.slot_name.clone().unwrap_or_else(|| default_name(pipeline, self.config.database()))
    }

    /// The publication's name in this pipeline.
    pub(crate) fn publication_name(&self, pipeline: &str) -> String {
        self.publication_name
            .clone()
            .unwrap_or_else(|| default_name(pipeline, self.config.database()))
    }

    /// The publications that are read.
    pub(crate) fn publications(&self, pipeline: &str) -> Vec<String> {
        let name = self.publication_name(pipeline);
        if self.create_publication {
            let append = append_publication(&name);
            vec![name, append]
        } else {
            vec![name]
        }
    }
}

/// Builds a [`PostgresSource`]. Everything but the address has a default.
///
/// ```
/// use cdc_postgres::{PostgresSource, SnapshotMode};
///
/// let source = PostgresSource::builder("postgres://app@db/shop")
///     .tables(["public.orders", "billing.*"])
///     .exclude_tables(["billing.tmp_*"])
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
    slot_name: Option<String>,
    create_slot: bool,
    adopt_slot: bool,
    publication_name: Option<String>,
    create_publication: bool,
    snapshot: SnapshotMode,
    transaction_markers: bool,
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

impl PostgresSourceBuilder {
    pub(crate) fn new(address: Address) -> Self {
        PostgresSourceBuilder {
            address,
            tables: None,
            exclude: Vec::new(),
            slot_name: None,
            create_slot: true,
            adopt_slot: false,
            publication_name: None,
            create_publication: true,
            snapshot: SnapshotMode::Initial,
            transaction_markers: false,
        }
    }

    /// The tables to follow, as `schema.table`; `*` stands for any characters (`shop.*`), double quotes make a part exact
    /// (`"Odd.Schema"."T"`). The default is all tables of all schemas but the system's. A partitioned table stands for its
    /// leaves. Tables made later join at the next start.
    pub fn tables<T: Into<String>>(mut self, tables: impl IntoIterator<Item = T>) -> Self {
        self.tables.get_or_insert_default().extend(tables.into_iter().map(Into::into));
        self
    }

    /// Tables that are left out, in the same form.
    pub fn exclude_tables<T: Into<String>>(mut self, tables: impl IntoIterator<Item = T>) -> Self {
        self.exclude.extend(tables.into_iter().map(Into::into));
        self
    }

    /// The replication slot's name: digits, lower-case letters and underscores, at most 63. The default is
    /// `cdc_<pipeline>_<database>`.
    pub fn slot_name(mut self, name: impl Into<String>) -> Self {
        self.slot_name = Some(name.into());
        self
    }

    /// Whether the slot is made at the first start (the default). Without, it must be there, with the plugin `pgoutput`,
    /// and is taken over at the first start.
    pub fn create_slot(mut self, create: bool) -> Self {
        self.create_slot = create;
        self
    }

    /// Takes over a slot of this name that no offset speaks of: all tables are copied anew, and what the slot has kept is
    /// followed. The default is to refuse it.
    pub fn adopt_slot(mut self, adopt: bool) -> Self {
        self.adopt_slot = adopt;
        self
    }

    /// The publication's name; a second one for tables without a key or identity has `_append` behind it. The default is
    /// `cdc_<pipeline>_<database>`.
    pub fn publication_name(mut self, name: impl Into<String>) -> Self {
        self.publication_name = Some(name.into());
        self
    }

    /// Whether the publications are made, and altered at each start to hold the wanted tables (the default). Without, the
    /// named one must be there and is used as it is, with its row filters, column lists and partition roots; a table
    /// that is added to it later is followed from then on, and its older rows are not copied.
    pub fn create_publication(mut self, create: bool) -> Self {
        self.create_publication = create;
        self
    }

    /// Whether rows that are there already are copied.
    pub fn snapshot(mut self, mode: SnapshotMode) -> Self {
        self.snapshot = mode;
        self
    }

    /// Whether the begin and the end of each transaction come as events of their own, a
    /// [`TransactionMarker`](cdc_core::TransactionMarker) (Debezium's `provide.transaction.metadata`). The default is not.
    ///
    /// [`TransactionNumbers`](cdc_core::connector::TransactionNumbers) numbers the events between them. So that it can
    /// after a restart inside a transaction, that transaction comes from its beginning again; sinks are spared what they have.
    pub fn transaction_markers(mut self, wanted: bool) -> Self {
        self.transaction_markers = wanted;
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
        let setting =
            |name: &'static str| move |reason: String| PostgresError::Setting { name, reason };
        let config = self.address.0.map_err(|reason| PostgresError::Setting {
            name: "the source's address",
            reason: reason.to_string(),
        })?;
        let patterns = |name: &'static str, texts: &[String]| {
            texts
                .iter()
                .map(|text| TablePattern::parse(text).map_err(setting(name)))
                .collect::<Result<Vec<_>, _>>()
        };
        if self.tables.as_ref().is_some_and(Vec::is_empty) {
            return Err(setting("tables")(
                "the list is empty; leave .tables(..) out to follow all tables".to_owned(),
            ));
        }
        let filter = TableFilter {
            include: patterns("tables", &self.tables.unwrap_or_default())?,
            exclude: patterns("exclude_tables", &self.exclude)?,
        };
        if let Some(name) = &self.slot_name {
            check_slot_name(name).map_err(setting("slot_name"))?;
        }
        if let Some(name) = &self.publication_name {
            check_publication_name(name, self.create_publication)
                .map_err(setting("publication_name"))?;
        } else if !self.create_publication {
            return Err(setting("create_publication")(
                "false needs the name of the publication to use; add .publication_name(..)"
                    .to_owned(),
            ));
        }
        if !self.create_slot && self.slot_name.is_none() {
            return Err(setting("create_slot")(
                "false needs the name of the slot to use; add .slot_name(..)".to_owned(),
            ));
        }
        Ok(Options {
            config,
            filter,
            slot_name: self.slot_name,
            create_slot: self.create_slot,
            adopt_slot: self.adopt_slot,
            publication_name: self.publication_name,
            create_publication: self.create_publication,
            snapshot: self.snapshot,
            transaction_markers: self.transaction_markers,
        })
    }
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
        let address = PostgresSourceBuilder::new("postgres://app@db/shop?nonsense=1".into());
        assert!(refused(address).contains("nonsense"));
    }
}
