//! How a throwaway server differs from the usual one.

/// Settings of a throwaway PostgreSQL.
///
/// The defaults: UTF8, `wal_level=logical`, room for 60 slots and 60 senders, TLS on, SCRAM for
/// every login, and no fsync (what a killed server has written survives; what a machine that loses
/// power has written does not).
///
/// ```
/// use cdc_testservers::Options;
///
/// let options = Options::new()
///     .encoding("SQL_ASCII")
///     .setting("wal_level", "replica")
///     .hba("host all reader 127.0.0.1/32 trust");
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) encoding: String,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) hba: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { encoding: "UTF8".to_owned(), settings: Vec::new(), hba: Vec::new() }
    }
}

impl Options {
    /// The usual server.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The encoding of the cluster's databases, as `initdb --encoding` takes it.
    #[must_use]
    pub fn encoding(mut self, encoding: &str) -> Self {
        encoding.clone_into(&mut self.encoding);
        self
    }

    /// A line of `postgresql.conf`; a later one of the same name wins, over the defaults too.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A line of `pg_hba.conf`, before the usual ones (`all all scram-sha-256`).
    #[must_use]
    pub fn hba(mut self, line: &str) -> Self {
        self.hba.push(line.to_owned());
        self
    }
}

/// The settings that every server starts with, in the order in which they are written.
pub(crate) fn defaults(port: u16, socket_folder: &str, major: u32) -> Vec<(String, String)> {
    let port = port.to_string();
    let mut settings = vec![
        ("listen_addresses", "127.0.0.1"),
        ("port", port.as_str()),
        ("unix_socket_directories", socket_folder),
        ("wal_level", "logical"),
        ("max_wal_senders", "60"),
        ("max_replication_slots", "60"),
        ("max_connections", "200"),
        ("max_prepared_transactions", "10"),
        ("shared_buffers", "32MB"),
        // In the data folder: a killed server leaves nothing outside of it.
        ("dynamic_shared_memory_type", "mmap"),
        ("min_wal_size", "32MB"),
        ("max_wal_size", "256MB"),
        ("track_commit_timestamp", "on"),
        ("password_encryption", "scram-sha-256"),
        ("ssl", "on"),
        ("ssl_ca_file", "ca.pem"),
        ("ssl_cert_file", "server.pem"),
        ("ssl_key_file", "server-key.pem"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("log_line_prefix", "%m [%p] %q%u@%d %a "),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        // Off would hide commits from logical decoding for up to three times wal_writer_delay.
        ("synchronous_commit", "on"),
    ];
    if major >= 13 {
        // Small, so that large transactions take the path that spills to disk.
        settings.push(("logical_decoding_work_mem", "1MB"));
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The text of a configuration file.
pub(crate) fn render(settings: &[(String, String)]) -> String {
    settings
        .iter()
        .map(|(name, value)| {
            let value = value.replace('\\', "\\\\").replace('\'', "''");
            format!("{name} = '{value}'\n")
        })
        .collect()
}

/// The text of `pg_hba.conf`.
pub(crate) fn render_hba(lines: &[String]) -> String {
    let usual = [
        "local all all scram-sha-256",
        "local replication all scram-sha-256",
        "host all all 127.0.0.1/32 scram-sha-256",
        "host replication all 127.0.0.1/32 scram-sha-256",
    ];
    let lines = lines.iter().map(String::as_str).chain(usual);
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_in_a_value_are_escaped() {
        let settings = [("application_name".to_owned(), r"it's a \".to_owned())];
        assert_eq!(render(&settings), "application_name = 'it''s a \\\\'\n");
    }

    #[test]
    fn own_lines_of_pg_hba_come_first_because_the_first_match_decides() {
        let text = render_hba(&["host all reader 127.0.0.1/32 trust".to_owned()]);
        assert!(text.starts_with("host all reader 127.0.0.1/32 trust\nlocal all all"));
    }

    #[test]
    fn version_12_is_not_given_what_it_does_not_know() {
        let has = |major| {
            defaults(1, "/s", major).iter().any(|(name, _)| name == "logical_decoding_work_mem")
        };
        assert!(!has(12));
        assert!(has(13));
    }
}
