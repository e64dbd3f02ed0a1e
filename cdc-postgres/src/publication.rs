//! The two publications: one with all operations for tables whose rows can be identified, one with inserts and truncates
//! for the others, so that publishing never makes the user's UPDATE or DELETE fail.

use std::collections::BTreeSet;
use std::time::Duration;

use cdc_core::TableId;
use cdc_pgconn::SqlClient;

use crate::catalog::publications::{Publication, find, members};
use crate::catalog::tables::Table;
use crate::catalog::{failed, millis};
use crate::error::PostgresError;
use crate::names::{append_publication, quote, quote_table};

/// What a publication of ours is to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: String,
    publish: &'static str,
    tables: BTreeSet<TableId>,
}

/// The publications as they are, and as they are to be.
#[derive(Debug, Clone)]
pub(crate) struct PublicationPlan {
    wanted: [Wanted; 2],
    existing: Vec<Publication>,
    /// Partitioned tables are published as themselves.
    via_root: bool,
    members: [BTreeSet<TableId>; 2],
}

impl PublicationPlan {
    /// Compares what there is with what is wanted.
    pub(crate) async fn survey(
        client: &SqlClient,
        name: &str,
        via_root: bool,
        tables: &[Table],
    ) -> Result<Self, PostgresError> {
        let append = append_publication(name);
        let existing = find(client, &[name.to_owned(), append.clone()]).await?;
        let mut now = [BTreeSet::new(), BTreeSet::new()];
        for (name, now) in [name, &append].into_iter().zip(&mut now) {
            if existing.iter().any(|publication| publication.name == name) {
                *now = members(client, name).await?.into_iter().collect();
            }
        }
        let of = |identity: bool| {
            tables
                .iter()
                .filter(|table| table.has_identity == identity)
                .map(|table| table.id.clone())
                .collect()
        };
        Ok(PublicationPlan {
            wanted: [
                Wanted {
                    name: name.to_owned(),
                    publish: "insert, update, delete, truncate",
                    tables: of(true),
                },
                Wanted { name: append, publish: "insert, truncate", tables: of(false) },
            ],
            existing,
            via_root,
            members: now,
        })
    }

    /// The publications that there are.
    pub(crate) fn existing(&self) -> &[Publication] {
        &self.existing
    }

    /// The first that is missing.
    pub(crate) fn missing(&self) -> Option<&str> {
        self.wanted.iter().map(|wanted| wanted.name.as_str()).find(|name| !self.exists(name))
    }

    fn exists(&self, name: &str) -> bool {
        self.existing.iter().any(|publication| publication.name == name)
    }

    /// Tables that are in neither publication yet.
    pub(crate) fn joining(&self) -> Vec<TableId> {
        let [main, append] = &self.members;
        self.wanted
            .iter()
            .flat_map(|wanted| &wanted.tables)
            .filter(|table| !main.contains(*table) && !append.contains(*table))
            .cloned()
            .collect()
    }

    /// Tables that have to be entered into the publication they belong to.
    pub(crate) fn to_enter(&self) -> BTreeSet<&TableId> {
        self.wanted
            .iter()
            .zip(&self.members)
            .flat_map(|(wanted, now)| wanted.tables.difference(now))
            .collect()
    }

    /// The same plan without tables whose turn comes later.
    pub(crate) fn without(mut self, later: &[TableId]) -> Self {
        for wanted in &mut self.wanted {
            wanted.tables.retain(|table| !later.contains(table));
        }
        self
    }

    /// The statements that make it so, to be run in one transaction: a table that moves is never in none.
    fn statements(&self) -> Vec<String> {
        let mut drops = Vec::new();
        let mut statements = Vec::new();
        for (wanted, now) in self.wanted.iter().zip(&self.members) {
            let name = quote(&wanted.name);
            if !self.exists(&wanted.name) {
                let tables = match only(wanted.tables.iter()) {
                    list if list.is_empty() => String::new(),
                    list => format!(" FOR TABLE {list}"),
                };
                let root = if self.via_root { ", publish_via_partition_root = true" } else { "" };
                statements.push(format!(
                    "CREATE PUBLICATION {name}{tables} WITH (publish = '{}'{root})",
                    wanted.publish
                ));
                continue;
            }
            let gone = only(now.difference(&wanted.tables));
            if !gone.is_empty() {
                drops.push(format!("ALTER PUBLICATION {name} DROP TABLE {gone}"));
            }
            let new = only(wanted.tables.difference(now));
            if !new.is_empty() {
                statements.push(format!("ALTER PUBLICATION {name} ADD TABLE {new}"));
            }
        }
        drops.append(&mut statements);
        drops
    }

    /// Makes it so. Where it is said how long, it fails when a table is locked for longer.
    pub(crate) async fn apply(
        &self,
        client: &SqlClient,
        patience: Option<Duration>,
    ) -> Result<(), PostgresError> {
        let statements = self.statements();
        if statements.is_empty() {
            return Ok(());
        }
        for statement in &statements {
            tracing::info!(%statement, "publication");
        }
        let timeout = patience.map_or_else(String::new, |patience| {
            format!("SET LOCAL lock_timeout = {}; ", millis(patience))
        });
        let all = format!("BEGIN; {timeout}{}; COMMIT", statements.join("; "));
        let result = client.batch_execute(&all).await.map_err(failed(client, "publishing tables"));
        if result.is_err() {
            // Ends the transaction that failed; what failed is told.
            let _ = client.batch_execute("ROLLBACK").await;
        }
        result
    }
}

/// Tables by name without their children, which are tables of their own.
fn only<'a>(tables: impl Iterator<Item = &'a TableId>) -> String {
    let list: Vec<String> = tables.map(|table| format!("ONLY {}", quote_table(table))).collect();
    list.join(", ")
}

/// Drops both publications.
pub(crate) async fn drop_both(client: &SqlClient, name: &str) -> Result<(), PostgresError> {
    let append = append_publication(name);
    client
        .batch_execute(&format!(
            "DROP PUBLICATION IF EXISTS {}; DROP PUBLICATION IF EXISTS {}",
            quote(name),
            quote(&append)
        ))
        .await
        .map_err(failed(client, "dropping the publications"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<TableId> {
        names.iter().map(|name| TableId::new("public", *name)).collect()
    }

    fn plan(
        existing: bool,
        main: (&[&str], &[&str]),
        append: (&[&str], &[&str]),
    ) -> PublicationPlan {
        let publication = |name: &str| Publication {
            name: name.into(),
            oid: 1,
            all_tables: false,
            owned: true,
            owner: "app".into(),
            inserts: true,
            updates: true,
            deletes: true,
            truncates: true,
        };
        PublicationPlan {
            wanted: [
                Wanted {
                    name: "p".into(),
                    publish: "insert, update, delete, truncate",
                    tables: set(main.0),
                },
                Wanted {
                    name: "p_append".into(),
                    publish: "insert, truncate",
                    tables: set(append.0),
                },
            ],
            existing: if existing {
                vec![publication("p"), publication("p_append")]
            } else {
                vec![]
            },
            via_root: false,
            members: [set(main.1), set(append.1)],
        }
    }

    #[test]
    fn both_are_made_even_when_one_is_empty() {
        assert_eq!(
            plan(false, (&["a"], &[]), (&[], &[])).statements(),
            [
                "CREATE PUBLICATION \"p\" FOR TABLE ONLY \"public\".\"a\" WITH (publish = 'insert, update, delete, truncate')",
                "CREATE PUBLICATION \"p_append\" WITH (publish = 'insert, truncate')",
            ]
        );
    }

    #[test]
    fn a_table_that_got_a_key_moves_and_does_not_join() {
        let plan = plan(true, (&["a", "b"], &["a"]), (&[], &["b"]));
        assert_eq!(
            plan.statements(),
            [
                "ALTER PUBLICATION \"p_append\" DROP TABLE ONLY \"public\".\"b\"",
                "ALTER PUBLICATION \"p\" ADD TABLE ONLY \"public\".\"b\"",
            ]
        );
        assert_eq!(plan.joining(), []);
    }

    #[test]
    fn a_new_table_joins() {
        let plan = plan(true, (&["a"], &["a"]), (&["n"], &[]));
        assert_eq!(plan.joining(), [TableId::new("public", "n")]);
    }

    #[test]
    fn nothing_is_done_when_all_is_as_wanted() {
        assert!(plan(true, (&["a"], &["a"]), (&["b"], &["b"])).statements().is_empty());
    }
}
