//! Setting the replica identity of tables: which of their columns the log carries of a row before its change.

use cdc_core::TableId;
use cdc_core::java_pattern::JavaPattern;
use cdc_pgconn::SqlClient;

use crate::catalog::tables::Table;
use crate::catalog::{failed, get};
use crate::error::PostgresError;
use crate::name_pattern::{NamePattern, any_of};
use crate::names::{quote, quote_table};

/// What `ALTER TABLE ... REPLICA IDENTITY` says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// The whole row.
    Full,
    /// Nothing: UPDATE and DELETE fail where they are published.
    Nothing,
    /// The columns of a unique index.
    Index(String),
}

impl ReplicaIdentity {
    /// Reads `DEFAULT`, `FULL`, `NOTHING` or `INDEX name`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        match (word.to_ascii_uppercase().as_str(), rest.trim()) {
            ("DEFAULT", "") => Some(ReplicaIdentity::Default),
            ("FULL", "") => Some(ReplicaIdentity::Full),
            ("NOTHING", "") => Some(ReplicaIdentity::Nothing),
            ("INDEX", index) if !index.is_empty() => Some(ReplicaIdentity::Index(index.to_owned())),
            _ => None,
        }
    }

    /// The letter of `pg_class.relreplident`.
    fn code(&self) -> &'static str {
        match self {
            ReplicaIdentity::Default => "d",
            ReplicaIdentity::Full => "f",
            ReplicaIdentity::Nothing => "n",
            ReplicaIdentity::Index(_) => "i",
        }
    }

    fn sql(&self) -> String {
        match self {
            ReplicaIdentity::Default => "DEFAULT".to_owned(),
            ReplicaIdentity::Full => "FULL".to_owned(),
            ReplicaIdentity::Nothing => "NOTHING".to_owned(),
            ReplicaIdentity::Index(name) => format!("USING INDEX {}", quote(name)),
        }
    }
}

/// The identity that some tables are to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdentityRule {
    pub(crate) tables: IdentityTables,
    pub(crate) identity: ReplicaIdentity,
}

/// The tables of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum IdentityTables {
    Pattern(NamePattern),
    Expression(Box<JavaPattern>),
}

impl IdentityTables {
    fn contain(&self, table: &TableId) -> bool {
        match self {
            IdentityTables::Pattern(pattern) => pattern.matches_table(table),
            IdentityTables::Expression(pattern) => {
                any_of(std::slice::from_ref(pattern), &table.to_string(), false)
            }
        }
    }
}

/// Gives tables the identity that the rules say; the first rule that names a table holds. Whether any was altered.
pub(crate) async fn apply(
    client: &SqlClient,
    rules: &[IdentityRule],
    tables: &[Table],
) -> Result<bool, PostgresError> {
    let mut altered = false;
    for table in tables {
        let Some(rule) = rules.iter().find(|rule| rule.tables.contain(&table.id)) else { continue };
        let (code, index) = present(client, table.oid).await?;
        let same = match &rule.identity {
            ReplicaIdentity::Index(name) => code == "i" && index.as_deref() == Some(name),
            identity => code == identity.code(),
        };
        if same {
            continue;
        }
        let statement = format!(
            "ALTER TABLE ONLY {} REPLICA IDENTITY {}",
            quote_table(&table.id),
            rule.identity.sql()
        );
        tracing::info!(%statement, "replica identity");
        let what = format!("setting the replica identity of {}", table.id);
        client.batch_execute(&statement).await.map_err(failed(client, &what))?;
        altered = true;
    }
    Ok(altered)
}

async fn present(
    client: &SqlClient,
    table: u32,
) -> Result<(String, Option<String>), PostgresError> {
    let row = client
        .query_one(
            "SELECT c.relreplident::text AS code, \
                    (SELECT ic.relname::text FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid \
                     WHERE i.indrelid = c.oid AND i.indisreplident) AS index \
             FROM pg_class c WHERE c.oid = $1",
            &[&table],
        )
        .await
        .map_err(failed(client, "reading a replica identity"))?;
    Ok((get(client, &row, "code")?, get(client, &row, "index")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_read_in_the_words_of_alter_table() {
        assert_eq!(ReplicaIdentity::parse("full"), Some(ReplicaIdentity::Full));
        assert_eq!(
            ReplicaIdentity::parse("INDEX idx_name"),
            Some(ReplicaIdentity::Index("idx_name".into()))
        );
        for text in ["", "INDEX", "FULL x", "SOME"] {
            assert_eq!(ReplicaIdentity::parse(text), None, "{text}");
        }
    }
}
