//! What there is before the source starts: server, tables, slot and publications, looked at together.

use std::collections::HashSet;

use cdc_core::TableId;
use cdc_pgconn::SqlClient;

use crate::catalog::publications::{self, Publication, PublishedTable};
use crate::catalog::server::{self, ServerFacts};
use crate::catalog::tables::{Table, TableKind, tables};
use crate::error::PostgresError;
use crate::options::{Options, PublicationMode};
use crate::prerequisites::Check;
use crate::publication::PublicationPlan;
use crate::single_publication::SinglePublication;
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
    /// What our own two publications are and are to be; `None` where there is one.
    pub(crate) plan: Option<PublicationPlan>,
    /// What is to be done about the one publication; `None` where there are two, or none is read.
    pub(crate) single: Option<SinglePublication>,
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
        let selected_count = selected.len();
        let mode = if options.streams() { Some(options.settings.publication_mode) } else { None };
        let plan = match mode {
            Some(PublicationMode::Managed) => Some(
                PublicationPlan::survey(client, &publication, options.settings.via_root, &selected)
                    .await?,
            ),
            _ => None,
        };
        let single = match mode {
            None | Some(PublicationMode::Managed) => None,
            Some(_) => {
                Some(SinglePublication::survey(client, options, &publication, &selected).await?)
            }
        };
        let publications = match (&plan, &single) {
            (Some(plan), _) => plan.existing().to_vec(),
            (None, single) => {
                single.as_ref().and_then(SinglePublication::existing).cloned().into_iter().collect()
            }
        };
        let followed = match mode {
            None | Some(PublicationMode::Managed) => selected,
            // Made only now, or altered: which of these it publishes is seen then.
            Some(PublicationMode::AllTables | PublicationMode::Filtered) => all
                .iter()
                .filter(|table| {
                    table.kind.left_out().is_none() && options.filter.wants_table(table)
                })
                .cloned()
                .collect(),
            Some(PublicationMode::NoTables | PublicationMode::Existing) => {
                let published: HashSet<u32> = publications::published(client, &names)
                    .await?
                    .into_iter()
                    .map(|table| table.oid)
                    .collect();
                all.iter()
                    .filter(|table| {
                        published.contains(&table.oid) && options.filter.wants_table(table)
                    })
                    .cloned()
                    .collect()
            }
        };
        let entering: HashSet<&TableId> = match (&plan, &single) {
            (Some(plan), _) => plan.to_enter().into_iter().collect(),
            (None, Some(single)) => single.entering.iter().collect(),
            (None, None) => HashSet::new(),
        };
        let to_publish: Vec<&Table> =
            followed.iter().filter(|table| entering.contains(&table.id)).collect();
        let to_read: Vec<&Table> =
            if options.copies() { followed.iter().collect() } else { Vec::new() };
        let check = Check {
            server: &server,
            slot_name: &slot_name,
            slot: slot.as_ref(),
            options,
            publication_name: &publication,
            publications: &publications,
            to_publish: &to_publish,
            filtered_is_empty: selected_count == 0
                && options.settings.publication_mode == PublicationMode::Filtered,
            to_read: &to_read,
            missing_tables: options.filter.missing(all.iter().map(|table| &table.id)).collect(),
            impossible_tables: all
                .iter()
                .filter(|table| options.filter.names(&table.id))
                .filter_map(|table| Some((&table.id, table.kind.left_out()?)))
                .collect(),
        };
        let unmet = check.unmet();
        if !unmet.is_empty() {
            return Err(PostgresError::Prerequisites(unmet));
        }
        for table in all.iter().filter(|table| options.filter.wants_table(table)) {
            if let Some(reason) = table.kind.left_out() {
                tracing::warn!(table = %table.id, "table is left out: {reason}");
            }
        }
        if followed.is_empty() {
            tracing::warn!("no table is followed yet; tables made later join at the next start");
        }
        let ids: HashSet<&TableId> = followed.iter().map(|table| &table.id).collect();
        // What one publication publishes may change while it is read; what ours hold changes at a start alone.
        let is_wanted = |table: &&Table| match plan {
            Some(_) => ids.contains(&table.id),
            None => table.kind != TableKind::Offsets && options.filter.wants_table(table),
        };
        let unwanted =
            all.iter().filter(|table| !is_wanted(table)).map(|table| table.id.clone()).collect();
        Ok(Survey { server, slot, tables: followed, unwanted, plan, single, publications })
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

    /// The tables to read, as they are published now, in the order in which they are copied.
    pub(crate) async fn published(
        &self,
        client: &SqlClient,
        options: &Options,
        names: &[String],
    ) -> Result<Vec<PublishedTable>, PostgresError> {
        let mut seen = HashSet::new();
        let mut published = if options.streams() {
            publications::published(client, names).await?
        } else {
            self.tables.iter().map(PublishedTable::whole).collect()
        };
        published.retain(|table| {
            self.tables.iter().any(|followed| followed.oid == table.oid) && seen.insert(table.oid)
        });
        published.sort_by_cached_key(|table| options.filter.place(&table.id));
        Ok(published)
    }
}

/// The tables that a publication of ours is to hold by name: partitioned ones by their leaves, or as themselves.
fn select(all: &[Table], options: &Options) -> Vec<Table> {
    let is_part = |table: &Table| match options.settings.via_root {
        true => table.kind.left_out().is_none() && table.ancestors.is_empty(),
        false => table.kind == TableKind::Ordinary,
    };
    all.iter()
        .filter(|table| is_part(table) && options.filter.wants_table(table))
        .cloned()
        .collect()
}
