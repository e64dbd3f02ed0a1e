//! One publication, as Debezium makes it: for all tables, for the wanted ones, for none yet, or one that is there.

use std::collections::BTreeSet;

use cdc_core::TableId;
use cdc_pgconn::SqlClient;

use crate::catalog::failed;
use crate::catalog::publications::{Publication, find, members};
use crate::catalog::tables::Table;
use crate::error::PostgresError;
use crate::names::{quote, quote_table};
use crate::options::{Options, PublicationMode};

/// What is to be done about the publication.
#[derive(Debug, Clone)]
pub(crate) struct SinglePublication {
    name: String,
    existing: Option<Publication>,
    statement: Option<String>,
    /// Tables that the statement enters by name.
    pub(crate) entering: BTreeSet<TableId>,
    /// Tables that it publishes whose UPDATE and DELETE will fail.
    pub(crate) without_identity: Vec<TableId>,
}

impl SinglePublication {
    /// Compares what there is with what is wanted.
    pub(crate) async fn survey(
        client: &SqlClient,
        options: &Options,
        name: &str,
        tables: &[Table],
    ) -> Result<Self, PostgresError> {
        let existing = find(client, &[name.to_owned()]).await?.pop();
        let now = match &existing {
            Some(_) => members(client, name).await?.into_iter().collect(),
            None => BTreeSet::new(),
        };
        let wanted: BTreeSet<TableId> = match options.settings.publication_mode {
            PublicationMode::Filtered => tables.iter().map(|table| table.id.clone()).collect(),
            _ => BTreeSet::new(),
        };
        let statement = statement(options, name, existing.as_ref(), &now, &wanted);
        let published = match options.settings.publication_mode {
            PublicationMode::AllTables => existing.is_none(),
            mode => mode == PublicationMode::Filtered,
        };
        let loses_identity = |table: &&Table| published && !table.has_identity;
        Ok(SinglePublication {
            name: name.to_owned(),
            existing,
            entering: if statement.is_some() { wanted } else { BTreeSet::new() },
            without_identity: tables
                .iter()
                .filter(loses_identity)
                .map(|table| table.id.clone())
                .collect(),
            statement,
        })
    }

    pub(crate) fn existing(&self) -> Option<&Publication> {
        self.existing.as_ref()
    }

    /// Its name, where it is not there.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.existing.is_none().then_some(self.name.as_str())
    }

    /// Makes or alters it.
    pub(crate) async fn apply(&self, client: &SqlClient) -> Result<(), PostgresError> {
        let Some(statement) = &self.statement else { return Ok(()) };
        tracing::info!(%statement, "publication");
        if !self.without_identity.is_empty() {
            let tables: Vec<String> =
                self.without_identity.iter().map(ToString::to_string).collect();
            tracing::warn!(
                publication = %self.name,
                "UPDATE and DELETE will fail on {}: they have neither a primary key nor a replica identity", tables.join(", ")
            );
        }
        client.batch_execute(statement).await.map_err(|error| {
            match failed(client, "making the publication")(error) {
                refused if refused.sqlstate() == Some("42501") => PostgresError::PublicationRight {
                    publication: self.name.clone(),
                    statement: statement.clone(),
                    reason: refused.to_string(),
                },
                other => other,
            }
        })
    }
}

fn statement(
    options: &Options,
    name: &str,
    existing: Option<&Publication>,
    now: &BTreeSet<TableId>,
    wanted: &BTreeSet<TableId>,
) -> Option<String> {
    let list = || {
        let names: Vec<String> =
            wanted.iter().map(|table| format!("ONLY {}", quote_table(table))).collect();
        names.join(", ")
    };
    let name = quote(name);
    if let Some(existing) = existing {
        let alters = options.settings.publication_mode == PublicationMode::Filtered
            && !existing.all_tables
            && now != wanted;
        return alters.then(|| format!("ALTER PUBLICATION {name} SET TABLE {}", list()));
    }
    let of = match options.settings.publication_mode {
        PublicationMode::AllTables => " FOR ALL TABLES".to_owned(),
        PublicationMode::Filtered => format!(" FOR TABLE {}", list()),
        PublicationMode::NoTables => String::new(),
        PublicationMode::Managed | PublicationMode::Existing => return None,
    };
    let mut with = Vec::new();
    if options.settings.via_root {
        with.push("publish_via_partition_root = true".to_owned());
    }
    if let Some(publish) = &options.settings.publish {
        with.push(format!("publish = '{publish}'"));
    }
    let with = match with.is_empty() {
        true => String::new(),
        false => format!(" WITH ({})", with.join(", ")),
    };
    Some(format!("CREATE PUBLICATION {name}{of}{with}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::PostgresSourceBuilder;

    fn options(mode: PublicationMode) -> Options {
        PostgresSourceBuilder::new("postgres://app@db/shop".into())
            .publication_name("Dbz")
            .publication_mode(mode)
            .options()
            .unwrap()
    }

    fn set(names: &[&str]) -> BTreeSet<TableId> {
        names.iter().map(|name| TableId::new("public", *name)).collect()
    }

    #[test]
    fn a_publication_is_made_as_the_mode_says() {
        let make = |mode| statement(&options(mode), "Dbz", None, &set(&[]), &set(&["a"]));
        assert_eq!(
            make(PublicationMode::AllTables).unwrap(),
            "CREATE PUBLICATION \"Dbz\" FOR ALL TABLES"
        );
        assert_eq!(
            make(PublicationMode::Filtered).unwrap(),
            "CREATE PUBLICATION \"Dbz\" FOR TABLE ONLY \"public\".\"a\""
        );
        assert_eq!(make(PublicationMode::NoTables).unwrap(), "CREATE PUBLICATION \"Dbz\"");
        assert_eq!(make(PublicationMode::Existing), None);
    }

    #[test]
    fn its_options_are_said_when_it_is_made() {
        let mut options = options(PublicationMode::AllTables);
        options.settings.via_root = true;
        options.settings.publish = Some("insert, update".into());
        assert_eq!(
            statement(&options, "p", None, &set(&[]), &set(&[])).unwrap(),
            "CREATE PUBLICATION \"p\" FOR ALL TABLES WITH (publish_via_partition_root = true, publish = 'insert, update')"
        );
    }

    #[test]
    fn only_a_filtered_one_is_altered_and_only_where_it_differs() {
        let existing = Publication {
            name: "p".into(),
            oid: 1,
            all_tables: false,
            owned: true,
            owner: "app".into(),
            inserts: true,
            updates: true,
            deletes: true,
            truncates: true,
        };
        let filtered = options(PublicationMode::Filtered);
        let alter =
            |now: &[&str]| statement(&filtered, "p", Some(&existing), &set(now), &set(&["a", "b"]));
        assert_eq!(alter(&["a", "b"]), None);
        assert_eq!(
            alter(&["a"]).unwrap(),
            "ALTER PUBLICATION \"p\" SET TABLE ONLY \"public\".\"a\", ONLY \"public\".\"b\""
        );
        let all = options(PublicationMode::AllTables);
        assert_eq!(statement(&all, "p", Some(&existing), &set(&["a"]), &set(&[])), None);
    }
}
