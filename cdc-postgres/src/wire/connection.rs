//! A replication connection that takes commands.

use std::collections::BTreeMap;

use bytes::{Buf, Bytes};
use cdc_pgconn::{ConnectConfig, ConnectError, Stream, establish, open};
use postgres_protocol::message::frontend;
use tokio::io::AsyncWriteExt;

use super::channel::Channel;
use super::command;
use super::copy_both::CopyBoth;
use super::login::Login;
use super::pace::SMALL_WINDOW;
use super::thread::Thread;
use crate::lsn::Lsn;

pub use super::login::CancelKey;

/// The name in `pg_stat_replication` where the configuration has none.
const APPLICATION_NAME: &str = "cdc";

/// A connection in replication mode (`replication=database`): it takes replication commands and plain SQL.
///
/// Its session is pinned like every other ([`cdc_pgconn::PINNED_SETTINGS`]).
///
/// ```no_run
/// # async fn example() -> Result<(), cdc_pgconn::ConnectError> {
/// use cdc_postgres::wire::connection::ReplicationConnection;
///
/// let config = "postgres://app@db/shop".parse()?;
/// let mut connection = ReplicationConnection::connect(&config).await?;
/// let system = connection.simple_query("IDENTIFY_SYSTEM").await?;
/// println!("system {:?} on {}", system.text(0, "systemid"), connection.server_version());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ReplicationConnection {
    channel: Channel,
    parameters: BTreeMap<String, String>,
    key: Option<CancelKey>,
    server_version: u32,
    /// A command was sent and its answer is not read to the end.
    busy: bool,
    /// Where it is read, if not where it is asked.
    thread: Option<Thread>,
}

impl ReplicationConnection {
    /// Connects, logs in and pins the session.
    ///
    /// # Errors
    /// See [`ConnectError`]; a role without REPLICATION is [`ConnectError::Permission`], no free WAL sender
    /// [`ConnectError::TooManyConnections`].
    pub async fn connect(config: &ConnectConfig) -> Result<Self, ConnectError> {
        establish(config, |stream| Self::log_in(config, stream)).await
    }

    /// As [`connect`](Self::connect), on a thread of its own, where a backlog is read as fast as the server can give it:
    /// what reads a stream of this connection should run [there](CopyBoth::spawn).
    ///
    /// # Errors
    /// As [`connect`](Self::connect), and where no thread can be had.
    pub async fn connect_on_thread(config: &ConnectConfig) -> Result<Self, ConnectError> {
        let failed = |error| ConnectError::io(config.display(), error);
        let thread = Thread::start("cdc-postgres-log").map_err(failed)?;
        let same = config.clone().with_loopback_window(SMALL_WINDOW);
        let connected = thread.run(async move { Self::connect(&same).await }).await;
        let connection = connected.map_err(failed)??;
        Ok(Self { thread: Some(thread), ..connection })
    }

    async fn log_in(config: &ConnectConfig, stream: Stream) -> Result<Self, ConnectError> {
        let mut channel = Channel::new(stream, config.display());
        let mut login = Login::new(config);
        login.start(APPLICATION_NAME, &mut channel.out)?;
        loop {
            channel.flush().await?;
            let Some(frame) = channel.take()? else {
                channel.fill().await?;
                continue;
            };
            if login.on_frame(frame, &mut channel.out)? {
                break;
            }
        }
        let Login { parameters, key, .. } = login;
        let mut connection =
            Self { channel, parameters, key, server_version: 0, busy: false, thread: None };
        let version = connection.simple_query("SHOW server_version_num").await?;
        connection.server_version = version
            .text(0, "server_version_num")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| connection.channel.unexpected("no server_version_num".to_owned()))?;
        if connection.server_version >= 140_000 {
            connection.simple_query("SET idle_session_timeout = '0'").await?;
        }
        Ok(connection)
    }

    /// The server's version as in `server_version_num`: 150018 is 15.18.
    pub fn server_version(&self) -> u32 {
        self.server_version
    }

    /// A parameter that the server reported at the login: `server_encoding`, `is_superuser`, ...
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str)
    }

    /// What [`cancel`] needs to stop this session's command.
    pub fn cancel_key(&self) -> Option<CancelKey> {
        self.key
    }

    /// The stream below, for socket options.
    pub fn stream(&self) -> &Stream {
        &self.channel.stream
    }

    /// Runs one replication command or SQL statement and collects its result.
    ///
    /// Not cancel-safe: after a call that was dropped the connection refuses further commands.
    ///
    /// # Errors
    /// What the server reports (the connection can be used further), or a broken connection.
    pub async fn simple_query(&mut self, command: &str) -> Result<QueryResult, ConnectError> {
        self.send(command).await?;
        let mut result = QueryResult::default();
        let mut failure = None;
        loop {
            let frame = self.channel.next().await?;
            match frame.kind {
                b'T' => {
                    // Of several statements the last result counts.
                    let columns = parse_columns(frame.body);
                    let columns = columns.ok_or_else(|| self.malformed("RowDescription"))?;
                    result = QueryResult { columns, rows: Vec::new() };
                }
                b'D' => {
                    let row = parse_row(frame.body).ok_or_else(|| self.malformed("DataRow"))?;
                    result.rows.push(row);
                }
                b'C' | b'I' => {}
                b'E' => failure = Some(self.channel.reported(&frame.body)),
                b'Z' => {
                    self.busy = false;
                    return failure.map_or(Ok(result), Err);
                }
                other => {
                    // Such as a COPY, which is not answered here.
                    return Err(self
                        .channel
                        .unexpected(format!("message 0x{other:02x} in the answer to a command")));
                }
            }
            // A fatal error ends the connection; no ReadyForQuery follows.
            if let Some(error) = failure
                .take_if(|error| error.server().is_some_and(|server| server.severity != "ERROR"))
            {
                return Err(error);
            }
        }
    }

    /// Starts streaming from a slot; options as [`command::pgoutput_options`] makes them.
    ///
    /// The server starts at the slot's confirmed position where `from` is before that.
    ///
    /// # Errors
    /// What the server reports: SQLSTATE 55006 where the slot is in use, 42704 where there is none.
    pub async fn start_replication(
        mut self,
        slot: &str,
        from: Lsn,
        options: &[(String, String)],
    ) -> Result<CopyBoth, ConnectError> {
        self.send(&command::start_replication(slot, from, options)).await?;
        let frame = self.channel.next().await?;
        match frame.kind {
            b'W' => Ok(CopyBoth::new(self)),
            b'E' => Err(self.channel.reported(&frame.body)),
            other => Err(self
                .channel
                .unexpected(format!("message 0x{other:02x} instead of the start of the stream"))),
        }
    }

    /// Ends the session, and waits until the server has: a slot that it used is free then.
    ///
    /// # Errors
    /// Only where the connection breaks in another way than by the server's end of it.
    pub async fn close(mut self) -> Result<(), ConnectError> {
        self.channel.close().await
    }

    pub(super) fn thread(&self) -> Option<&Thread> {
        self.thread.as_ref()
    }

    pub(super) fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    /// Reads the end of a stream: what the server still sends, up to ReadyForQuery.
    pub(super) async fn finish_copy(&mut self) -> Result<(), ConnectError> {
        loop {
            let frame = self.channel.next().await?;
            match frame.kind {
                b'd' | b'c' | b'C' => {}
                b'Z' => {
                    self.busy = false;
                    return Ok(());
                }
                b'E' => return Err(self.channel.reported(&frame.body)),
                other => {
                    return Err(self
                        .channel
                        .unexpected(format!("message 0x{other:02x} at the end of the stream")));
                }
            }
        }
    }

    async fn send(&mut self, command: &str) -> Result<(), ConnectError> {
        if self.busy {
            return Err(self.channel.unexpected(
                "the answer to an earlier command was not read; connect anew".to_owned(),
            ));
        }
        frontend::query(command, &mut self.channel.out).map_err(|error| {
            ConnectError::configuration(format!("a command with a zero byte: {error}"))
        })?;
        self.busy = true;
        self.channel.flush().await
    }

    fn malformed(&self, what: &str) -> ConnectError {
        self.channel.unexpected(format!("a malformed {what}"))
    }
}

/// Asks the server to stop the command that a session runs, such as a slot creation that waits.
///
/// The server answers nothing; the session's command ends with SQLSTATE 57014 if it still ran.
///
/// # Errors
/// Where the server cannot be reached.
pub async fn cancel(config: &ConnectConfig, key: CancelKey) -> Result<(), ConnectError> {
    let mut stream = open(config).await?;
    let mut request = bytes::BytesMut::new();
    frontend::cancel_request(key.process_id, key.secret, &mut request);
    let sent = match stream.write_all(&request).await {
        Ok(()) => stream.flush().await,
        Err(error) => Err(error),
    };
    sent.map_err(|error| ConnectError::io(config.display(), error))
}

/// The result of a command: text, as the simple query protocol has it.
///
/// Text that is not UTF-8, which only a comment in a timeline history can be, has replacement characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryResult {
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

impl QueryResult {
    /// A value by row and column name; `None` for NULL and for what is not there.
    pub fn text(&self, row: usize, column: &str) -> Option<&str> {
        let column = self.columns.iter().position(|name| name == column)?;
        self.rows.get(row)?.get(column)?.as_deref()
    }
}

fn parse_columns(mut body: Bytes) -> Option<Vec<String>> {
    let count = body.try_get_u16().ok()?;
    let columns = (0..count).map(|_| {
        let end = body.iter().position(|byte| *byte == 0)?;
        let name = String::from_utf8_lossy(&body.split_to(end)).into_owned();
        // The zero, and table, column, type, size, modifier, format.
        let rest = 1 + 4 + 2 + 4 + 2 + 4 + 2;
        (body.len() >= rest).then(|| body.advance(rest))?;
        Some(name)
    });
    columns.collect()
}

fn parse_row(mut body: Bytes) -> Option<Vec<Option<String>>> {
    let count = body.try_get_u16().ok()?;
    let values = (0..count).map(|_| match body.try_get_i32().ok()? {
        -1 => Some(None),
        length => {
            let length = usize::try_from(length).ok().filter(|length| *length <= body.len())?;
            Some(Some(String::from_utf8_lossy(&body.split_to(length)).into_owned()))
        }
    });
    values.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_are_found_by_column_name() {
        let columns = Bytes::from_static(
            b"\0\x02a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0b\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
        );
        let row = Bytes::from_static(b"\0\x02\0\0\0\x01x\xff\xff\xff\xff");
        let result = QueryResult {
            columns: parse_columns(columns).unwrap(),
            rows: vec![parse_row(row).unwrap()],
        };
        assert_eq!(result.text(0, "a"), Some("x"));
        assert_eq!(
            (result.text(0, "b"), result.text(0, "c"), result.text(1, "a")),
            (None, None, None)
        );
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        assert_eq!(parse_row(Bytes::from_static(b"\0\x01\0\0\0\x05x")), None);
        assert_eq!(parse_row(Bytes::from_static(b"\0\x01\xff\xff\xff\xfe")), None);
        assert_eq!(parse_columns(Bytes::from_static(b"\0\x01a\0")), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused_without_panic(bytes: Vec<u8>) {
            let _ = parse_columns(bytes.clone().into());
            let _ = parse_row(bytes.into());
        }
    }
}
