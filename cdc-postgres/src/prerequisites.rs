//! What must be so before the source can start, checked together and reported together, each with its remedy.

use std::fmt;

use cdc_core::TableId;

use crate::catalog::publications::Publication;
use crate::catalog::server::ServerFacts;
use crate::catalog::tables::Table;
use crate::names::{append_publication, quote, quote_table};
use crate::options::{Options, PublicationMode};
use crate::slot::SlotFacts;

/// Something that is not as it must be, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prerequisite {
    /// What is wrong.
    pub problem: String,
    /// What mends it.
    pub remedy: String,
}

impl Prerequisite {
    fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Prerequisite { problem: problem.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Prerequisite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

/// All of them on one line; who wants a list finds it in [`PostgresError::Prerequisites`](crate::PostgresError::Prerequisites).
pub(crate) fn report(unmet: &[Prerequisite]) -> String {
    match unmet {
        [one] => one.to_string(),
        several => {
            let list: Vec<String> =
                several.iter().enumerate().map(|(at, one)| format!("({}) {one}", at + 1)).collect();
            format!("{} prerequisites are not met: {}", several.len(), list.join(" "))
        }
    }
}

/// What is to be checked.
pub(crate) struct Check<'a> {
    pub(crate) server: &'a ServerFacts,
    pub(crate) slot_name: &'a str,
    pub(crate) slot: Option<&'a SlotFacts>,
    pub(crate) options: &'a Options,
    pub(crate) publication_name: &'a str,
    pub(crate) publications: &'a [Publication],
    /// Tables that have yet to be entered into a publication.
    pub(crate) to_publish: &'a [&'a Table],
    /// Nothing is wanted for a publication of the wanted tables.
    pub(crate) filtered_is_empty: bool,
    /// Tables that are read for the copy.
    pub(crate) to_read: &'a [&'a Table],
    /// Tables that were named and are not there.
    pub(crate) missing_tables: Vec<&'a str>,
    /// Tables that were named and cannot be read from the log, and why.
    pub(crate) impossible_tables: Vec<(&'a TableId, &'static str)>,
}

/// The oldest server that is supported.
const OLDEST_VERSION: u32 = 120_000;

impl Check<'_> {
    /// Everything that is not met.
    pub(crate) fn unmet(&self) -> Vec<Prerequisite> {
        let mut unmet = Vec::new();
        self.server(&mut unmet);
        if self.options.streams() {
            self.replication(&mut unmet);
            self.versions(&mut unmet);
            self.slot(&mut unmet);
            self.publications(&mut unmet);
        }
        self.tables(&mut unmet);
        unmet
    }

    fn server(&self, unmet: &mut Vec<Prerequisite>) {
        let server = self.server;
        if server.version < OLDEST_VERSION {
            unmet.push(Prerequisite::new(
                format!("the server is PostgreSQL {}", server.version_text),
                "use PostgreSQL 12 or later",
            ));
        }
        if server.encoding == "SQL_ASCII" {
            unmet.push(Prerequisite::new(
                format!(
                    "database {:?} has the encoding SQL_ASCII: the server does not know what its bytes mean",
                    server.database
                ),
                "move the data into a database with the encoding UTF8 (pg_dump --encoding, createdb --encoding=UTF8 --template=template0)",
            ));
        }
    }

    /// What reading the log takes.
    fn replication(&self, unmet: &mut Vec<Prerequisite>) {
        let server = self.server;
        if server.wal_level != "logical" {
            unmet.push(Prerequisite::new(
                format!(
                    "Postgres server wal_level property must be 'logical' but is: '{}'",
                    server.wal_level
                ),
                "run ALTER SYSTEM SET wal_level = 'logical' and restart the server",
            ));
        }
        if server.in_recovery {
            unmet.push(Prerequisite::new("the server is a standby", "connect to the primary"));
        }
        if !server.may_replicate {
            unmet.push(Prerequisite::new(
                format!("role {:?} may not replicate", server.role),
                format!("run ALTER ROLE {} REPLICATION", quote(&server.role)),
            ));
        }
        // A slot that is in use will be waited for; its reader's sender becomes free with it.
        if self.slot.is_none_or(|slot| slot.active_pid.is_none())
            && server.senders >= server.max_senders
        {
            unmet.push(Prerequisite::new(
                format!("all {} WAL senders of the server are in use", server.max_senders),
                "raise max_wal_senders and restart the server, or end a process in pg_stat_replication that is not needed",
            ));
        }
    }

    /// Options that old servers do not have.
    fn versions(&self, unmet: &mut Vec<Prerequisite>) {
        let options = self.options;
        for (is_set, least, option) in [
            (
                options.settings.via_root && options.makes_publication(),
                13,
                ".publish_via_partition_root(true)",
            ),
            (options.settings.origin.is_some(), 16, ".origin(..)"),
            (options.settings.failover_slot && self.slot.is_none(), 17, ".failover_slot(true)"),
        ] {
            if is_set && self.server.version < least * 10_000 {
                unmet.push(Prerequisite::new(
                    format!(
                        "the server is PostgreSQL {}, and {option} needs {least} or later",
                        self.server.version_text
                    ),
                    "leave it out, or use a later server",
                ));
            }
        }
    }

    fn slot(&self, unmet: &mut Vec<Prerequisite>) {
        let name = self.slot_name;
        match self.slot {
            None if !self.options.settings.create_slot => unmet.push(Prerequisite::new(
                format!("replication slot {name:?} does not exist, and .create_slot(false) is set"),
                format!("run SELECT pg_create_logical_replication_slot('{name}', 'pgoutput')"),
            )),
            None => {
                if self.server.slots >= self.server.max_slots {
                    unmet.push(Prerequisite::new(
                        format!(
                            "all {} replication slots of the server are in use",
                            self.server.max_slots
                        ),
                        "raise max_replication_slots and restart the server, or drop a slot in pg_replication_slots that is not needed",
                    ));
                }
            }
            Some(slot) => {
                if let Some(problem) = slot.unusable(&self.server.database) {
                    unmet.push(Prerequisite::new(
                        format!("replication slot {name:?} {problem}"),
                        "choose another name with .slot_name(..), or drop that slot",
                    ));
                }
            }
        }
    }

    fn publications(&self, unmet: &mut Vec<Prerequisite>) {
        let name = self.publication_name;
        let mode = self.options.settings.publication_mode;
        if mode == PublicationMode::Existing {
            if self.publications.is_empty() {
                unmet.push(Prerequisite::new(
                    format!(
                        "publication {name:?} does not exist, and .create_publication(false) is set: \
                         Publication autocreation is disabled, please create one and restart the connector."
                    ),
                    format!("run CREATE PUBLICATION {} FOR TABLE ...", quote(name)),
                ));
            }
            return;
        }
        if mode == PublicationMode::Filtered {
            if self.publications.iter().any(|publication| publication.all_tables) {
                unmet.push(Prerequisite::new(
                    format!(
                        "A logical publication for all tables named '{name}' for plugin 'pgoutput' and database '{}' is already active on the \
                         server and can not be altered", self.server.database
                    ),
                    "if you need to exclude some tables or include only a specific subset, drop it so that it is made again, or choose another \
                     name; otherwise set publication.autocreate.mode=all_tables (.publication_mode(PublicationMode::AllTables))",
                ));
            } else if self.filtered_is_empty {
                unmet.push(Prerequisite::new(
                    format!("No table filters found for filtered publication {name}"),
                    "no table is wanted; check the lists of schemas and tables",
                ));
            }
        }
        let alters = mode == PublicationMode::Managed || !self.to_publish.is_empty();
        if alters && mode != PublicationMode::Filtered {
            self.all_tables(unmet);
        }
        if alters {
            self.owners(unmet);
        }
        let wanted = if mode == PublicationMode::Managed { 2 } else { 1 };
        if self.publications.len() < wanted && !self.server.may_create_in_database {
            unmet.push(Prerequisite::new(
                format!(
                    "role {:?} may not create publications in database {:?}",
                    self.server.role, self.server.database
                ),
                format!(
                    "run GRANT CREATE ON DATABASE {} TO {}",
                    quote(&self.server.database),
                    quote(&self.server.role)
                ),
            ));
        }
        self.owners_of_tables(unmet);
    }

    fn all_tables(&self, unmet: &mut Vec<Prerequisite>) {
        for publication in self.publications.iter().filter(|publication| publication.all_tables) {
            unmet.push(Prerequisite::new(
                format!("publication {:?} is FOR ALL TABLES and cannot be altered", publication.name),
                "use it as it is with .create_publication(false), or choose another name with .publication_name(..)",
            ));
        }
    }

    fn owners(&self, unmet: &mut Vec<Prerequisite>) {
        for publication in self.publications {
            if !publication.owned && !publication.all_tables {
                unmet.push(Prerequisite::new(
                    format!(
                        "publication {:?} belongs to role {:?}, not to {:?}",
                        publication.name, publication.owner, self.server.role
                    ),
                    format!(
                        "run ALTER PUBLICATION {} OWNER TO {}, or choose another name with .publication_name(..)",
                        quote(&publication.name),
                        quote(&self.server.role)
                    ),
                ));
            }
        }
    }

    fn owners_of_tables(&self, unmet: &mut Vec<Prerequisite>) {
        let name = self.publication_name;
        let foreign: Vec<&&Table> = self.to_publish.iter().filter(|table| !table.owned).collect();
        if !foreign.is_empty() {
            let mut owners: Vec<&str> = foreign.iter().map(|table| table.owner.as_str()).collect();
            owners.sort_unstable();
            owners.dedup();
            let grants: Vec<String> = owners
                .iter()
                .map(|owner| format!("GRANT {} TO {}", quote(owner), quote(&self.server.role)))
                .collect();
            unmet.push(Prerequisite::new(
                format!(
                    "role {:?} does not own {}, and only the owner of a table can publish it",
                    self.server.role,
                    list(foreign.iter().map(|table| table.id.to_string()))
                ),
                format!(
                    "let an administrator run {}, and set .create_publication(false) for one that you made; or, where the owner \
                     is no superuser, run {}",
                    self.statements_of_administrator(name),
                    grants.join("; "),
                ),
            ));
        }
    }

    fn statements_of_administrator(&self, name: &str) -> String {
        let first = format!("CREATE PUBLICATION {} FOR TABLE ...", quote(name));
        match self.options.settings.publication_mode {
            PublicationMode::Managed => {
                format!("{first} and CREATE PUBLICATION {} ...", quote(&append_publication(name)))
            }
            _ => first,
        }
    }

    fn tables(&self, unmet: &mut Vec<Prerequisite>) {
        if !self.missing_tables.is_empty() {
            unmet.push(Prerequisite::new(
                format!(
                    "there is no table {} in database {:?}",
                    list(self.missing_tables.iter().map(ToString::to_string)),
                    self.server.database
                ),
                "check the names given to .tables(..); they are case-sensitive",
            ));
        }
        for (table, reason) in &self.impossible_tables {
            unmet.push(Prerequisite::new(
                format!("{table} cannot be followed: {reason}"),
                "take it out of .tables(..)",
            ));
        }
        let unreadable: Vec<&&Table> =
            self.to_read.iter().filter(|table| !table.readable).collect();
        if !unreadable.is_empty() {
            let mut schemas: Vec<String> =
                unreadable.iter().map(|table| quote(&table.id.schema)).collect();
            schemas.sort_unstable();
            schemas.dedup();
            unmet.push(Prerequisite::new(
                format!(
                    "role {:?} may not read {}",
                    self.server.role,
                    list(unreadable.iter().map(|table| table.id.to_string()))
                ),
                format!(
                    "run GRANT USAGE ON SCHEMA {} TO {role}; GRANT SELECT ON {} TO {role}",
                    schemas.join(", "),
                    list(unreadable.iter().map(|table| quote_table(&table.id))),
                    role = quote(&self.server.role)
                ),
            ));
        }
    }
}

/// A list that stays readable however long it is.
fn list(names: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<String> = names.collect();
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => {
            format!("{} and {more} more", names.get(..SHOWN).unwrap_or_default().join(", "))
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::tables::TableKind;

    fn server() -> ServerFacts {
        ServerFacts {
            version: 150_018,
            version_text: "15.18".into(),
            wal_level: "logical".into(),
            encoding: "UTF8".into(),
            in_recovery: false,
            role: "app".into(),
            may_replicate: true,
            may_create_in_database: true,
            max_slots: 10,
            slots: 0,
            max_senders: 10,
            senders: 0,
            database: "shop".into(),
            system: "1".into(),
            segment_size: 16 << 20,
        }
    }

    fn options() -> Options {
        crate::builder::PostgresSourceBuilder::new("postgres://app@db/shop".into())
            .options()
            .unwrap()
    }

    fn check<'a>(server: &'a ServerFacts, options: &'a Options) -> Check<'a> {
        Check {
            server,
            slot_name: "s",
            slot: None,
            options,
            publication_name: "s",
            publications: &[],
            filtered_is_empty: false,
            to_publish: &[],
            to_read: &[],
            missing_tables: vec![],
            impossible_tables: vec![],
        }
    }

    #[test]
    fn a_good_server_has_nothing_to_report() {
        assert_eq!(check(&server(), &options()).unmet(), []);
    }

    #[test]
    fn all_that_is_wrong_is_reported_at_once() {
        let server = ServerFacts {
            wal_level: "replica".into(),
            may_replicate: false,
            encoding: "SQL_ASCII".into(),
            slots: 10,
            ..server()
        };
        let text = report(&check(&server, &options()).unmet());
        assert!(text.starts_with("4 prerequisites are not met: (1) "), "{text}");
        for part in [
            "wal_level property must be 'logical' but is: 'replica'",
            "ALTER ROLE \"app\" REPLICATION",
            "SQL_ASCII",
            "max_replication_slots",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains('\n'));
    }

    #[test]
    fn tables_of_others_come_with_the_statements_to_run() {
        let server = server();
        let table = Table {
            oid: 1,
            id: TableId::new("public", "Orders"),
            kind: TableKind::Ordinary,
            ancestors: vec![],
            has_identity: true,
            owned: false,
            owner: "boss".into(),
            readable: false,
        };
        let tables = [&table];
        let options = options();
        let check = Check { to_publish: &tables, to_read: &tables, ..check(&server, &options) };
        let text = report(&check.unmet());
        assert!(text.contains("GRANT \"boss\" TO \"app\""), "{text}");
        assert!(text.contains("GRANT SELECT ON \"public\".\"Orders\" TO \"app\""), "{text}");
    }
}
