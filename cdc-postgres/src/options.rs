//! What a source was told.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdc_core::{BatchLimits, TableId};
use cdc_pgconn::ConnectConfig;

use crate::identity::IdentityRule;
use crate::names::{append_publication, default_name};
use crate::shape::ShapeRules;
use crate::streamed::SpillOptions;
use crate::table_filter::TableFilter;

/// Whether rows that are there already are copied: Debezium's `snapshot.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SnapshotMode {
    /// At the first start all rows are copied; what is left of a copy that was interrupted is read beside the changes (`initial`).
    #[default]
    Initial,
    /// As [`Initial`](SnapshotMode::Initial), and all rows are copied again at each later start, beside the changes
    /// (`always`).
    Always,
    /// As [`Initial`](SnapshotMode::Initial), and where the slot has no longer what the offset needs, all rows are copied again, after the
    /// targets are emptied (`when_needed`): the slot is gone, has lost log, was read by somebody else, or is of another timeline.
    WhenNeeded,
    /// The rows are copied, and the source ends: no change follows, and neither slot nor publication is used
    /// (`initial_only`). A start after that ends at once.
    InitialOnly,
    /// Only changes from the first start on (`no_data`).
    NoData,
}

/// Which publications are used and who makes them: Debezium's `publication.autocreate.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PublicationMode {
    /// Two that the source makes and alters at each start: one with all operations for tables whose rows can be identified,
    /// one with inserts and truncates for the others, whose UPDATE and DELETE go on to work.
    #[default]
    Managed,
    /// One for all tables, also those that are made later; it is made where it is not there and used as it is
    /// (`all_tables`). It needs a superuser, and UPDATE and DELETE of tables without key or identity fail on the server.
    AllTables,
    /// One for the wanted tables, made and altered at each start (`filtered`). UPDATE and DELETE of tables without key or
    /// identity fail on the server.
    Filtered,
    /// One without tables, made where it is not there; they are entered by others (`no_tables`).
    NoTables,
    /// One that is there, used as it is (`disabled`).
    Existing,
}

/// Which changes are wanted by where they were made first (PostgreSQL 16 and later).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginFilter {
    /// All.
    Any,
    /// Those that were made on the server itself, not what was replicated to it.
    None,
}

impl OriginFilter {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            OriginFilter::Any => "any",
            OriginFilter::None => "none",
        }
    }
}

/// How the sessions for SQL are opened.
#[derive(Debug, Clone)]
pub(crate) struct SqlAccess {
    pub(crate) config: ConnectConfig,
    /// Run first in each session.
    pub(crate) statements: Vec<String>,
    /// The longest time that a statement may take, but for the reading of rows.
    pub(crate) query_timeout: Option<Duration>,
}

/// What a source was told.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) sql: SqlAccess,
    pub(crate) filter: TableFilter,
    pub(crate) shape: Arc<ShapeRules>,
    pub(crate) settings: Settings,
}

/// What is used as it was given.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) slot_name: Option<String>,
    pub(crate) create_slot: bool,
    pub(crate) adopt_slot: bool,
    pub(crate) drop_slot_on_stop: bool,
    pub(crate) failover_slot: bool,
    pub(crate) origin: Option<OriginFilter>,
    /// How long a slot that is in use is waited for; `None` as long as it takes.
    pub(crate) slot_patience: Option<Duration>,
    pub(crate) publication_name: Option<String>,
    pub(crate) publication_mode: PublicationMode,
    pub(crate) via_root: bool,
    /// The operations of a publication that is made here, where not all.
    pub(crate) publish: Option<String>,
    pub(crate) identities: Vec<IdentityRule>,
    pub(crate) snapshot: SnapshotMode,
    /// Large transactions are sent before they are committed.
    pub(crate) in_progress: bool,
    pub(crate) spill: SpillOptions,
    pub(crate) snapshot_lock_timeout: Option<Duration>,
    pub(crate) signals: SignalSettings,
    /// What is read in place of a table.
    pub(crate) selects: Vec<(TableId, String)>,
    /// The rows of the first chunk of a table.
    pub(crate) chunk_rows: Option<u64>,
    /// The most rows of a copy in a batch.
    pub(crate) snapshot_fetch_size: Option<usize>,
    /// How many connections read chunks of tables.
    pub(crate) snapshot_connections: NonZeroUsize,
    /// The longest time between two status updates.
    pub(crate) status_interval: Option<Duration>,
    pub(crate) limits: LimitOverrides,
    pub(crate) transaction_markers: bool,
    /// A unique index makes up the key of a table that has none.
    pub(crate) unique_keys: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            slot_name: None,
            create_slot: true,
            adopt_slot: false,
            drop_slot_on_stop: false,
            failover_slot: false,
            origin: None,
            slot_patience: None,
            publication_name: None,
            publication_mode: PublicationMode::Managed,
            via_root: false,
            publish: None,
            identities: Vec::new(),
            snapshot: SnapshotMode::Initial,
            in_progress: true,
            spill: SpillOptions::default(),
            snapshot_lock_timeout: None,
            signals: SignalSettings::default(),
            selects: Vec::new(),
            chunk_rows: None,
            snapshot_fetch_size: None,
            snapshot_connections: NonZeroUsize::MIN,
            status_interval: None,
            limits: LimitOverrides::default(),
            transaction_markers: false,
            unique_keys: false,
        }
    }
}

/// Where signals come from.
#[derive(Debug, Clone)]
pub(crate) struct SignalSettings {
    /// A table that is followed.
    pub(crate) table: Option<TableId>,
    pub(crate) file: Option<PathBuf>,
    /// How often the file is looked at.
    pub(crate) interval: Duration,
}

impl Default for SignalSettings {
    fn default() -> Self {
        SignalSettings { table: None, file: None, interval: Duration::from_secs(5) }
    }
}

/// Bounds of batches that go before those of the pipeline.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LimitOverrides {
    pub(crate) max_events: Option<usize>,
    pub(crate) max_delay: Option<Duration>,
    /// How much of the log is read ahead.
    pub(crate) queue_bytes: Option<usize>,
}

impl LimitOverrides {
    pub(crate) fn apply(&self, mut limits: BatchLimits) -> BatchLimits {
        if let Some(events) = self.max_events {
            limits.max_events = events;
        }
        if let Some(delay) = self.max_delay {
            limits.max_delay = limits.max_delay.min(delay);
        }
        if let Some(bytes) = self.queue_bytes {
            limits.max_bytes = limits.max_bytes.min(bytes);
        }
        limits
    }
}

impl Options {
    /// The slot's name in this pipeline.
    pub(crate) fn slot_name(&self, pipeline: &str) -> String {
        self.settings
            .slot_name
            .clone()
            .unwrap_or_else(|| default_name(pipeline, self.sql.config.database()))
    }

    /// The publication's name in this pipeline.
    pub(crate) fn publication_name(&self, pipeline: &str) -> String {
        self.settings
            .publication_name
            .clone()
            .unwrap_or_else(|| default_name(pipeline, self.sql.config.database()))
    }

    /// The publications that are read.
    pub(crate) fn publications(&self, pipeline: &str) -> Vec<String> {
        let name = self.publication_name(pipeline);
        if self.settings.publication_mode == PublicationMode::Managed {
            let append = append_publication(&name);
            vec![name, append]
        } else {
            vec![name]
        }
    }

    /// Whether changes follow the copy.
    pub(crate) fn streams(&self) -> bool {
        self.settings.snapshot != SnapshotMode::InitialOnly
    }

    /// Whether rows are copied.
    pub(crate) fn copies(&self) -> bool {
        self.settings.snapshot != SnapshotMode::NoData
    }

    /// What is read in place of a table, without the semicolon that may end it.
    pub(crate) fn select_for(&self, table: &TableId) -> Option<&str> {
        let found = self.settings.selects.iter().find(|(of, _)| of == table);
        found.map(|(_, select)| select.trim().trim_end_matches(';').trim_end())
    }

    /// Whether all rows are copied again where changes are lost.
    pub(crate) fn copies_when_needed(&self) -> bool {
        self.settings.snapshot == SnapshotMode::WhenNeeded
    }

    /// Whether a publication that is not there is made.
    pub(crate) fn makes_publication(&self) -> bool {
        self.settings.publication_mode != PublicationMode::Existing
    }
}
