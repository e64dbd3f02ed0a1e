//! What can go wrong on the way to a server, and what to do about it.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use crate::server_error::{OneLine, ServerError};

/// Why a connection could not be made, or broke.
///
/// Each is shown as one line that names the server (`postgres://app@db:5432/shop`) and the remedy, and never
/// a password. [`kind`](Self::kind) says whether trying again can help.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The host name does not resolve.
    #[error("cannot resolve the host of {target}: {source}; check the host name")]
    HostNotFound {
        /// The server, without the password.
        target: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nothing listens at the port, or there is no such Unix socket.
    #[error("{target} refuses connections: {source}; check host, port and that the server runs")]
    Refused {
        /// The server, without the password.
        target: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Connecting, TLS and authentication together took too long.
    #[error(
        "{target} did not answer within {} s; check host, port and firewall, or raise connect_timeout",
        .limit.as_secs_f64()
    )]
    Timeout {
        /// The server, without the password.
        target: String,
        /// The limit, `connect_timeout`.
        limit: Duration,
    },
    /// TLS is needed and cannot be had, or a certificate is not accepted.
    #[error("no TLS connection to {target}: {reason}")]
    Tls {
        /// The server, without the password.
        target: String,
        /// What is wrong, with the remedy.
        reason: String,
    },
    /// The server does not accept this user, by password or by `pg_hba.conf`.
    #[error("{target} refuses the login: {reason}")]
    Authentication {
        /// The server, without the password.
        target: String,
        /// What is wrong, with the remedy.
        reason: String,
        /// What the server said, if it was the server who refused.
        server: Option<Box<ServerError>>,
    },
    /// The database does not exist (or no longer).
    #[error("{target}: {server}; check the database name in the connection URL")]
    DatabaseMissing {
        /// The server, without the password.
        target: String,
        /// What the server said.
        server: Box<ServerError>,
    },
    /// The role lacks a right (REPLICATION, CONNECT, ...).
    #[error("{target}: {server}; grant the right, or connect as another role")]
    Permission {
        /// The server, without the password.
        target: String,
        /// What the server said.
        server: Box<ServerError>,
    },
    /// All connections or WAL senders are taken.
    #[error(
        "{target}: {server}; raise max_connections or max_wal_senders, or close other sessions"
    )]
    TooManyConnections {
        /// The server, without the password.
        target: String,
        /// What the server said.
        server: Box<ServerError>,
    },
    /// The server starts, recovers or is about to stop and takes no sessions now (SQLSTATE 57P03).
    #[error("{target} accepts no sessions now: {server}; wait, or see the server's log")]
    StartingUp {
        /// The server, without the password.
        target: String,
        /// What the server said.
        server: Box<ServerError>,
    },
    /// The server ended the session: shutdown, crash of another session, or an administrator.
    #[error("{target} ended the session: {server}; wait, or see the server's log")]
    ShuttingDown {
        /// The server, without the password.
        target: String,
        /// What the server said.
        server: Box<ServerError>,
    },
    /// Any other error reported by the server.
    #[error("{target}: {server}")]
    Server {
        /// The server, without the password.
        target: String,
        /// What the server said.
        server: Box<ServerError>,
    },
    /// The connection broke.
    #[error("the connection to {target} broke: {source}; check the network and the server's log")]
    Io {
        /// The server, without the password.
        target: String,
        /// What the operating system or TLS said.
        source: io::Error,
    },
    /// What came is not what the protocol allows: not a PostgreSQL server, or a proxy in between.
    #[error("{target} does not speak as expected: {reason}")]
    Protocol {
        /// The server, without the password.
        target: String,
        /// What came and what was expected.
        reason: String,
    },
    /// A connection setting is wrong or not supported.
    #[error("{reason}")]
    Configuration {
        /// What is wrong, with the remedy.
        reason: String,
    },
}

/// The reason of [`ConnectError::no_password`].
pub(crate) const NO_PASSWORD: &str = "it asks for a password and none is given; put it into the connection URL, PGPASSWORD or PGPASSFILE";

/// Whether trying again can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// It may work later without anyone changing a setting.
    Transient,
    /// Somebody must change something first.
    Configuration,
}

impl ConnectError {
    /// A wrong or unsupported setting.
    pub fn configuration(reason: impl Into<String>) -> Self {
        Self::Configuration { reason: reason.into() }
    }

    /// A broken connection.
    pub fn io(target: impl Into<String>, source: io::Error) -> Self {
        Self::Io { target: target.into(), source }
    }

    /// A breach of the protocol.
    pub fn protocol(target: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Protocol { target: target.into(), reason: reason.into() }
    }

    /// A login that failed on this side, before or without a verdict of the server.
    pub fn authentication(target: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Authentication { target: target.into(), reason: reason.into(), server: None }
    }

    /// Classifies what a server reported by its SQLSTATE (PostgreSQL manual, appendix A).
    pub fn from_server(target: impl Into<String>, server: ServerError) -> Self {
        let target = target.into();
        let server = Box::new(server);
        match server.code.as_str() {
            "28P01" => Self::Authentication {
                target,
                reason: format!(
                    "{server}; check user and password (connection URL, PGPASSWORD, PGPASSFILE)"
                ),
                server: Some(server),
            },
            code if code.starts_with("28") => Self::Authentication {
                target,
                reason: format!("{server}; check the user, sslmode and the server's pg_hba.conf"),
                server: Some(server),
            },
            "3D000" | "57P04" => Self::DatabaseMissing { target, server },
            "42501" => Self::Permission { target, server },
            "53300" => Self::TooManyConnections { target, server },
            "57P03" => Self::StartingUp { target, server },
            "57P01" | "57P02" => Self::ShuttingDown { target, server },
            _ => Self::Server { target, server },
        }
    }

    /// Classifies an error of `tokio_postgres`, of connecting as well as of a statement.
    pub fn from_sql(target: impl Into<String>, error: tokio_postgres::Error) -> Self {
        let target = target.into();
        if let Some(server) = error.as_db_error() {
            return Self::from_server(target, server.into());
        }
        let text = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let reason = OneLine(&text).to_string();
        if error.is_closed() {
            return Self::io(target, io::Error::new(io::ErrorKind::UnexpectedEof, reason));
        }
        // The kinds are private there; their first words are not.
        if reason.starts_with("invalid configuration") {
            return Self::no_password(target);
        }
        if reason.starts_with("authentication error") {
            return Self::authentication(target, reason);
        }
        match error.into_source().map(|source| source.downcast::<io::Error>()) {
            Some(Ok(source)) if source.kind() != io::ErrorKind::InvalidInput => {
                Self::io(target, *source)
            }
            _ => Self::protocol(target, reason),
        }
    }

    /// The server wants a password and there is none.
    pub fn no_password(target: impl Into<String>) -> Self {
        Self::authentication(target, NO_PASSWORD)
    }

    /// Whether trying again can help.
    pub fn kind(&self) -> ConnectErrorKind {
        use ConnectErrorKind::{Configuration, Transient};
        match self {
            Self::HostNotFound { .. }
            | Self::Refused { .. }
            | Self::Timeout { .. }
            | Self::TooManyConnections { .. }
            | Self::StartingUp { .. }
            | Self::ShuttingDown { .. }
            | Self::Io { .. } => Transient,
            Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::DatabaseMissing { .. }
            | Self::Permission { .. }
            | Self::Protocol { .. }
            | Self::Configuration { .. } => Configuration,
            // Connection exceptions, resources, rollbacks, interventions and limits of time pass.
            Self::Server { server, .. } => {
                let passes = ["08", "40", "53", "57"].iter().any(|class| server.is_class(class))
                    || matches!(server.code.as_str(), "55006" | "55P03" | "25P03");
                if passes { Transient } else { Configuration }
            }
        }
    }

    /// Whether no server was found at the address at all: at a first start rather a typing error
    /// than an outage.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::HostNotFound { .. } | Self::Refused { .. })
    }

    /// What the server said, if it said something.
    pub fn server(&self) -> Option<&ServerError> {
        match self {
            Self::Authentication { server, .. } => server.as_deref(),
            Self::DatabaseMissing { server, .. }
            | Self::Permission { server, .. }
            | Self::TooManyConnections { server, .. }
            | Self::StartingUp { server, .. }
            | Self::ShuttingDown { server, .. }
            | Self::Server { server, .. } => Some(server),
            _ => None,
        }
    }

    /// The SQLSTATE, if the server reported the error.
    pub fn sqlstate(&self) -> Option<&str> {
        self.server().map(|server| server.code.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: &str = "postgres://app@db:5432/shop";

    fn server(code: &str) -> ConnectError {
        let server = ServerError { code: code.into(), message: "no".into(), ..Default::default() };
        ConnectError::from_server(TARGET, server)
    }

    #[test]
    fn a_sqlstate_decides_the_class_and_whether_waiting_helps() {
        use ConnectErrorKind::{Configuration, Transient};
        for (code, kind) in [
            ("28P01", Configuration),
            ("28000", Configuration),
            ("3D000", Configuration),
            ("42501", Configuration),
            ("42704", Configuration),
            ("58P01", Configuration),
            ("53300", Transient),
            ("53100", Transient),
            ("57P01", Transient),
            ("57P02", Transient),
            ("57P03", Transient),
            ("57P05", Transient),
            ("08006", Transient),
            ("40001", Transient),
            ("55006", Transient),
        ] {
            assert_eq!(server(code).kind(), kind, "{code}");
            assert_eq!(server(code).sqlstate(), Some(code));
        }
        assert!(matches!(server("28P01"), ConnectError::Authentication { .. }));
        assert!(matches!(server("57P03"), ConnectError::StartingUp { .. }));
    }

    #[test]
    fn only_a_server_that_is_not_there_is_unreachable() {
        let source = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let refused = ConnectError::Refused { target: TARGET.into(), source: source() };
        assert!(refused.is_unreachable() && refused.kind() == ConnectErrorKind::Transient);
        assert!(!ConnectError::io(TARGET, source()).is_unreachable());
        assert!(!server("57P03").is_unreachable());
    }

    #[test]
    fn a_message_names_the_server_and_the_remedy() {
        assert_eq!(
            server("28P01").to_string(),
            "postgres://app@db:5432/shop refuses the login: no (SQLSTATE 28P01); \
             check user and password (connection URL, PGPASSWORD, PGPASSFILE)"
        );
    }
}
