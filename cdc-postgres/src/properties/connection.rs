//! `database.*`: where to connect, as whom and how.

use std::net::Ipv6Addr;
use std::time::Duration;

use cdc_core::{Error, Properties, Result};
use cdc_pgconn::{ConnectConfig, RootCertificates, SslMode};

use super::{count, invalid, text};
use crate::builder::Given;

const SSL_MODES: [&str; 6] = ["prefer", "disable", "allow", "require", "verify-ca", "verify-full"];

pub(super) fn read(properties: &Properties, given: &mut Given) -> Result<ConnectConfig> {
    let host = properties.required_string("database.hostname")?;
    if !is_host(&host) {
        return Err(invalid(
            "database.hostname",
            &host,
            format_args!(
                "{host} has invalid format (only the underscore, hyphen, dot and alphanumeric characters are allowed)"
            ),
        ));
    }
    let port = properties.i32_at_least("database.port", 1, 5432)?;
    let port = u16::try_from(port)
        .map_err(|_| invalid("database.port", &port.to_string(), "Value must be at most 65535"))?;
    let user = properties.required_string("database.user")?;
    let database = properties.required_string("database.dbname")?;
    let mut config = ConnectConfig::new(host, user).with_port(port).with_database(database);
    if let Some(password) = properties.password("database.password") {
        config = config.with_password(password.reveal());
    }
    let mode = properties.one_of("database.sslmode", &SSL_MODES, "prefer")?;
    let mode: SslMode = mode
        .parse()
        .map_err(|error: cdc_pgconn::ConnectError| invalid("database.sslmode", mode, error))?;
    config = config.with_ssl_mode(mode);
    if let Some(root) = text(properties, "database.sslrootcert") {
        config = config.with_ssl_root(RootCertificates::File(root.into()));
    }
    match (text(properties, "database.sslcert"), text(properties, "database.sslkey")) {
        (None, None) => {}
        (Some(certificate), Some(key)) => {
            config = config.with_client_certificate(certificate, key);
        }
        (Some(_), None) => return Err(lonely("database.sslcert", "database.sslkey")),
        (None, Some(_)) => return Err(lonely("database.sslkey", "database.sslcert")),
    }
    let why = "connections are kept alive";
    properties.accept_only("database.tcpKeepAlive", &["true"], why)?;
    if let Some(statements) = text(properties, "database.initial.statements") {
        given.statements = split_statements(statements);
    }
    let timeout = properties.millis("database.query.timeout.ms", 600_000)?;
    given.query_timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
    read_limits(properties, given)?;
    Ok(config)
}

fn lonely(name: &str, other: &str) -> Error {
    Error::configuration(format!("{name} is set without {other}"))
        .remedy("a client certificate and its key go together")
}

/// Debezium's `^[a-zA-Z0-9-_.]+$`, and IPv6 addresses besides.
fn is_host(host: &str) -> bool {
    host.parse::<Ipv6Addr>().is_ok()
        || host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Statements set apart by `;`, one that belongs to a statement written twice.
fn split_statements(text: &str) -> Vec<String> {
    let mut statements = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let Some(statement) = statements.last_mut() else { break };
        if letter != ';' {
            statement.push(letter);
        } else if letters.next_if_eq(&';').is_some() {
            statement.push(';');
        } else {
            statements.push(String::new());
        }
    }
    statements.retain(|statement| !statement.trim().is_empty());
    statements
}

/// Bounds of batches and queues.
fn read_limits(properties: &Properties, given: &mut Given) -> Result<()> {
    given.settings.limits.max_events = count(properties, "max.batch.size", 1)?;
    let bytes = properties.optional_i64("max.queue.size.in.bytes")?.unwrap_or(0);
    given.settings.limits.queue_bytes =
        usize::try_from(bytes).map(|bytes| Some(bytes).filter(|bytes| *bytes > 0)).map_err(
            |_| invalid("max.queue.size.in.bytes", &bytes.to_string(), "Value must be at least 0"),
        )?;
    if properties.get("poll.interval.ms").is_some() {
        let interval = properties.millis("poll.interval.ms", 500)?;
        if interval.is_zero() {
            return Err(invalid("poll.interval.ms", "0", "Value must be at least 1"));
        }
        given.settings.limits.max_delay = Some(interval);
    }
    if properties.get("status.update.interval.ms").is_some() {
        let interval = properties.millis("status.update.interval.ms", 10_000)?;
        given.settings.status_interval = Some(interval.max(Duration::from_millis(1)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_end_at_a_semicolon_that_is_not_doubled() {
        assert_eq!(split_statements("SET a = 1; SELECT 'x;;y' ;"), ["SET a = 1", " SELECT 'x;y' "]);
        assert!(split_statements(" ; ").is_empty());
    }

    #[test]
    fn hosts_have_debeziums_letters_or_are_an_address() {
        for host in ["db", "db-1.shop_x.internal", "10.0.0.7", "::1", "fe80::1"] {
            assert!(is_host(host), "{host}");
        }
        for host in ["a,b", "db:5432", "a b", "/var/run", "db?x"] {
            assert!(!is_host(host), "{host}");
        }
    }
}
