//! Replication commands as text, with their quoting.
//!
//! PostgreSQL manual, "Streaming Replication Protocol". That grammar is not SQL's: its strings know no
//! backslash, and its names are quoted with double quotes.

use crate::lsn::Lsn;

/// A name in double quotes.
///
/// ```
/// assert_eq!(cdc_postgres::wire::command::quote_name("a\"b"), "\"a\"\"b\"");
/// ```
pub fn quote_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string in single quotes.
///
/// ```
/// assert_eq!(cdc_postgres::wire::command::quote_literal("it's"), "'it''s'");
/// ```
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What happens to the snapshot of the moment at which a slot is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotSnapshot {
    /// It is exported under the name that the result has, until the connection's next command.
    Export,
    /// None is made.
    Nothing,
}

/// `CREATE_REPLICATION_SLOT` for a logical slot with pgoutput.
///
/// In the syntax that all versions from 10 on take. The result has `slot_name`, `consistent_point`,
/// `snapshot_name` and `output_plugin`. It waits for all transactions that are open.
///
/// ```
/// use cdc_postgres::wire::command::{SlotSnapshot, create_slot};
///
/// assert_eq!(
///     create_slot("shop", false, SlotSnapshot::Export),
///     "CREATE_REPLICATION_SLOT \"shop\" LOGICAL pgoutput EXPORT_SNAPSHOT"
/// );
/// ```
pub fn create_slot(slot: &str, temporary: bool, snapshot: SlotSnapshot) -> String {
    let temporary = if temporary { " TEMPORARY" } else { "" };
    let snapshot = match snapshot {
        SlotSnapshot::Export => "EXPORT_SNAPSHOT",
        SlotSnapshot::Nothing => "NOEXPORT_SNAPSHOT",
    };
    format!("CREATE_REPLICATION_SLOT {}{temporary} LOGICAL pgoutput {snapshot}", quote_name(slot))
}

/// The same for a slot that the server synchronises to its standbys, with an exported snapshot, in the syntax of PostgreSQL 17
/// and later.
///
/// ```
/// use cdc_postgres::wire::command::create_failover_slot;
///
/// assert_eq!(
///     create_failover_slot("shop"),
///     "CREATE_REPLICATION_SLOT \"shop\" LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER)"
/// );
/// ```
pub fn create_failover_slot(slot: &str) -> String {
    let slot = quote_name(slot);
    format!("CREATE_REPLICATION_SLOT {slot} LOGICAL pgoutput (SNAPSHOT 'export', FAILOVER)")
}

/// `START_REPLICATION` from a position, with options of the output plugin.
///
/// ```
/// use cdc_postgres::Lsn;
/// use cdc_postgres::wire::command::{pgoutput_options, start_replication};
///
/// assert_eq!(
///     start_replication("shop", Lsn(0x16B_3748), &pgoutput_options(1, &["a", "b"])),
///     "START_REPLICATION SLOT \"shop\" LOGICAL 0/16B3748 \
///      (\"proto_version\" '1', \"publication_names\" '\"a\",\"b\"')"
/// );
/// ```
pub fn start_replication(slot: &str, from: Lsn, options: &[(String, String)]) -> String {
    let options: Vec<_> = options
        .iter()
        .map(|(name, value)| format!("{} {}", quote_name(name), quote_literal(value)))
        .collect();
    let list =
        if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
    format!("START_REPLICATION SLOT {} LOGICAL {from}{list}", quote_name(slot))
}

/// The options with which the source reads from a server of this version (`server_version_num`).
///
/// From PostgreSQL 14 on large transactions are sent while they are in progress, unless that is turned off: a server that
/// keeps them until their commit is one and a half times slower.
///
/// ```
/// use cdc_postgres::wire::command::source_options;
///
/// let options = source_options(150_018, &["shop"], true);
/// assert!(options.contains(&("streaming".to_owned(), "on".to_owned())));
/// ```
pub fn source_options(
    server_version: u32,
    publications: &[&str],
    in_progress: bool,
) -> Vec<(String, String)> {
    let knows = server_version >= 140_000;
    let streams = knows && in_progress;
    let mut options = pgoutput_options(if streams { 2 } else { 1 }, publications);
    if knows {
        options.push(("messages".to_owned(), "true".to_owned()));
    }
    if streams {
        options.push(("streaming".to_owned(), "on".to_owned()));
    }
    options
}

/// The two options that pgoutput needs; others (`messages`, `streaming`, ...) are added by the caller.
pub fn pgoutput_options(proto_version: u32, publications: &[&str]) -> Vec<(String, String)> {
    let publications: Vec<_> = publications.iter().map(|name| quote_name(name)).collect();
    vec![
        ("proto_version".to_owned(), proto_version.to_string()),
        ("publication_names".to_owned(), publications.join(",")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_with_quotes_cannot_leave_their_place() {
        let command = start_replication("s\"; DROP", Lsn::ZERO, &pgoutput_options(1, &["p'\""]));
        assert_eq!(
            command,
            "START_REPLICATION SLOT \"s\"\"; DROP\" LOGICAL 0/0 \
             (\"proto_version\" '1', \"publication_names\" '\"p''\"\"\"')"
        );
    }

    #[test]
    fn a_plugin_without_options_gets_no_list() {
        assert_eq!(start_replication("s", Lsn(1), &[]), "START_REPLICATION SLOT \"s\" LOGICAL 0/1");
    }

    #[test]
    fn a_temporary_slot_without_snapshot() {
        assert_eq!(
            create_slot("s", true, SlotSnapshot::Nothing),
            "CREATE_REPLICATION_SLOT \"s\" TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
        );
    }
}
