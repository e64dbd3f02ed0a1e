//! The replication connection: PostgreSQL's frontend/backend protocol in replication mode.
//!
//! PostgreSQL manual, chapters "Frontend/Backend Protocol" and "Streaming Replication Protocol". What
//! is not I/O is pure: [`frames`] cuts bytes into messages, [`replication`] reads and writes what is in the stream,
//! [`command`] quotes, and the login is a state machine. [`connection`] and [`copy_both`] drive them.
//!
//! ```no_run
//! # async fn example() -> Result<(), cdc_pgconn::ConnectError> {
//! use cdc_postgres::Lsn;
//! use cdc_postgres::pgoutput;
//! use cdc_postgres::wire::command::pgoutput_options;
//! use cdc_postgres::wire::connection::ReplicationConnection;
//! use cdc_postgres::wire::replication::ReplicationMessage;
//!
//! let config = "postgres://app@db/shop".parse()?;
//! let connection = ReplicationConnection::connect(&config).await?;
//! let options = pgoutput_options(1, &["shop"]);
//! let mut stream = connection.start_replication("shop_slot", Lsn::ZERO, &options).await?;
//! while let Some(messages) = stream.read_messages().await? {
//!     for message in messages {
//!         if let ReplicationMessage::XLogData { data, .. } = message? {
//!             println!("{:?}", pgoutput::decode(data, false));
//!         }
//!     }
//! }
//! # Ok(())
//! # }
//! ```

pub mod block;
mod channel;
pub mod command;
pub mod connection;
pub mod copy_both;
mod login;
mod pace;
pub mod replication;
pub(crate) mod thread;

pub use cdc_pgconn::frames;
