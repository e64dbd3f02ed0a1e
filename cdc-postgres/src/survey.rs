//! What there is before the source starts: server, tables, slot and publications, looked at together.

use std::collections::HashSet;

use cdc_core::TableId;
use cdc_pgconn::SqlClient;

use crate::builder::{Options, SnapshotMode};
use crate::catalog::publications::{self, Publication, PublishedTable};
use crate::catalog::server::{self, ServerFacts};
use crate::catalog::tables::{Table, TableKind, tables};
use crate::error::PostgresError;
use crate::prerequisites::Check;
use crate::publication::PublicationPlan;
use crate::slot::{self, SlotFacts};

/// What there is.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    pub(crate) server: ServerFacts,
    pub(crate) slot: Option<SlotFacts>,
    /// The tables that are followed.
    pub(crate) tables: Vec<Table>,
    /// Tables that are there and not followed.
    unwanted: HashSet<TableId>,
    /// What our own publications are and are to be; `None` where the user's is used.
    pub(crate) plan: Option<PublicationPlan>,
    /// The publications that there are.
    pub(crate) publications: Vec<Publication>,
}

impl Survey {
    /// Looks at everything, and reports all prerequisites that are not met.
    pub(crate) async fn take(
        client: &SqlClient,
        options: &Options,
        pipeline: &str,
    ) -> Result<Self, PostgresError> {
        let slot_name = options.slot_name(pipeline);
        let publication = options.publication_name(pipeline);
        let names = options.publications(pipeline);
        let server = server::facts(client).await?;
        let slot = slot::find(client, &slot_name).await?;
        let all = tables(client).await?;
        let selected = select(&all, options);
        let plan = if options.create_publication {
            Some(PublicationPlan::survey(client, &publication, &selected).await?)
        } else {
            None
        };
        let publications = match &plan {
            Some(plan) => plan.existing().to_vec(),
            None => publications::find(client, &names).await?,
        };
        let followed = match &plan {
            Some(_) => selected,
            None => {
                let published: HashSet<u32> = publications::published(client, &names)
                    .await?
                    .into_iter()
                    .map(|table| table.oid)
                    .collect();
                all.iter()
                    .filter(|table| published.contains(&table.oid) && wants(options, table))
                    .cloned()
                    .collect()
            }
        };
        let entering = plan.as_ref().map(PublicationPlan::to_enter).unwrap_or_default();
        let to_publish: Vec<&Table> =
            followed.iter().filter(|table| entering.contains(&table.id)).collect();
        let to_read: Vec<&Table> = match options.snapshot {
            SnapshotMode::Initial => followed.iter().collect(),
            SnapshotMode::Never => Vec::new(),
        };
        let named = |table: &&Table| {
            options
                .filter
                .include
                .iter()
                .any(|pattern| pattern.is_exact() && pattern.matches(&table.id))
        };
        let check = Check {
            server: &server,
            slot_name: &slot_name,
            slot: slot.as_ref(),
            create_slot: options.create_slot,
            publication_name: &publication,
            publications: &publications,
            create_publication: options.create_publication,
            to_publish: &to_publish,
            to_read: &to_read,
            missing_tables: options.filter.missing(all.iter().map(|table| &table.id)).collect(),
            impossible_tables: all
                .iter()
                .filter(named)
                .filter_map(|table| Some((&table.id, table.kind.left_out()?)))
                .collect(),
        };
        let unmet = check.unmet();
        if !unmet.is_empty() {
            return Err(PostgresError::Prerequisites(unmet));
        }
        for table in all.iter().filter(|table| wants(options, table)) {
            if let Some(reason) = table.kind.left_out() {
                tracing::warn!(table = %table.id, "table is left out: {reason}");
            }
        }
        if followed.is_empty() {
            tracing::warn!("no table is followed yet; tables made later join at the next start");
        }
        let ids: HashSet<&TableId> = followed.iter().map(|table| &table.id).collect();
        let unwanted =
            all.iter().map(|table| &table.id).filter(|id| !ids.contains(id)).cloned().collect();
        Ok(Survey { server, slot, tables: followed, unwanted, plan, publications })
    }

    /// Whether the changes of a table that the log names are wanted; it may be gone by now.
    pub(crate) fn wants(&self, options: &Options, table: &TableId) -> bool {
        if self.unwanted.contains(table) {
            return false;
        }
        // Our own publications hold what was wanted; the leaf of a partitioned table need not match by its own name.
        self.plan.is_some()
            || self.tables.iter().any(|followed| followed.id == *table)
            || options.filter.wants(table)
    }

    /// The tables to read, as they are published now.
    pub(crate) async fn published(
        &self,
        client: &SqlClient,
        names: &[String],
    ) -> Result<Vec<PublishedTable>, PostgresError> {
        let mut seen = HashSet::new();
        let published = publications::published(client, names).await?;
        Ok(published
            .into_iter()
            .filter(|table| {
                self.tables.iter().any(|followed| followed.oid == table.oid)
                    && seen.insert(table.oid)
            })
            .collect())
    }
}

/// The tables that our own publications are to hold: partitioned ones by their leaves.
fn select(all: &[Table], options: &Options) -> Vec<Table> {
    all.iter()
        .filter(|table| table.kind == TableKind::Ordinary && wants(options, table))
        .cloned()
        .collect()
}

fn wants(options: &Options, table: &Table) -> bool {
    let filter = &options.filter;
    let names = || std::iter::once(&table.id).chain(&table.ancestors);
    (filter.include.is_empty()
        || names().any(|name| filter.include.iter().any(|p| p.matches(name))))
        && !names().any(|name| filter.exclude.iter().any(|pattern| pattern.matches(name)))
}
