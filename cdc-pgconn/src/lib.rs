//! How to reach a PostgreSQL server.
//!
//! The change data capture source and the PostgreSQL sink reach their servers in the same way: the same
//! connection URLs, environment variables, password file, TLS modes and pinned session settings.
//! This crate is that way, with libpq's meaning of every setting
//! (PostgreSQL manual, chapter "libpq", section "Parameter Key Words"). It runs on Unix platforms.
//!
//! * [`ConnectConfig`]: where and as whom, from a URL or by setters.
//! * [`open`] and [`establish`]: a [`Stream`] over TCP, TLS or a Unix socket, ready for a startup packet.
//! * [`connect_sql`]: a `tokio_postgres` client on such a stream, its session pinned.
//! * [`SqlClient::copy_rows`]: the rows of a COPY in large pieces, as they come from the connection.
//! * [`ConnectError`]: what went wrong, whether waiting helps, and the remedy, in one line without a password.
//!
//! ```no_run
//! # async fn example() -> Result<(), cdc_pgconn::ConnectError> {
//! use cdc_pgconn::{ConnectConfig, Session, connect_sql};
//!
//! let config: ConnectConfig = "postgres://app@db.example.org/shop?sslmode=verify-full".parse()?;
//! let client = connect_sql(&config, &Session::default()).await?;
//! let row = client.query_one("SELECT current_database()", &[]).await;
//! println!("server {} says {row:?}", client.server_version());
//! # Ok(())
//! # }
//! ```

mod config;
mod copy_rows;
mod copy_splitter;
mod copy_tap;
mod environment;
mod error;
pub mod frames;
mod password;
mod server_error;
mod session;
mod stream;
mod tls;
mod url;

pub use config::{ConnectConfig, Host};
pub use copy_rows::CopyRows;
pub use environment::Environment;
pub use error::{ConnectError, ConnectErrorKind};
pub use password::Password;
pub use server_error::ServerError;
pub use session::{PINNED_SETTINGS, Session, SqlClient, connect_sql};
pub use stream::{Stream, establish, open};
pub use tls::{RootCertificates, SslMode};

/// The `tokio_postgres` that [`SqlClient`] dereferences to, so that its users need no version of their own.
pub use tokio_postgres;
