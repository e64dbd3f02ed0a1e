//! The replication stream, open in both directions.

use std::future::Future;
use std::time::Instant;

use cdc_pgconn::{ConnectError, Stream};
use postgres_protocol::message::frontend;
use tokio::task::JoinHandle;

use super::block::LogBlock;
use super::connection::ReplicationConnection;
use super::frames::Frame;
use super::replication::{ReplicationMessage, StandbyStatus, now};
use super::thread::Thread;

/// A running replication stream: the log comes, status updates go.
///
/// Made by [`ReplicationConnection::start_replication`]. Dropping it closes the connection; the server frees the
/// slot as soon as it notices. [`finish`](Self::finish) ends it in order.
#[derive(Debug)]
pub struct CopyBoth {
    connection: ReplicationConnection,
    ended: bool,
}

impl CopyBoth {
    pub(super) fn new(mut connection: ReplicationConnection) -> Self {
        // Only on a thread of its own a reader can stand still without harm to others.
        if connection.thread().is_some() {
            connection.channel().pace();
        }
        Self { connection, ended: false }
    }

    /// Runs what reads the stream: on the connection's own thread where it has one
    /// ([`ReplicationConnection::connect_on_thread`]), else as a task of the present runtime.
    pub fn spawn<R, F>(self, read: R) -> JoinHandle<F::Output>
    where
        R: FnOnce(CopyBoth) -> F,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let runtime = self.connection.thread().map(Thread::handle);
        let reading = read(self);
        match runtime {
            Some(runtime) => runtime.spawn(reading),
            None => tokio::spawn(reading),
        }
    }

    /// Waits until at least one message is there and gives all that came with it; `None` when the server has
    /// ended the stream.
    ///
    /// Cancel-safe: what was read stays, and messages that the iterator did not give are given next time.
    ///
    /// # Errors
    /// A broken connection. What the server reports comes as an item, after the messages before it.
    pub async fn read_messages(&mut self) -> Result<Option<Messages<'_>>, ConnectError> {
        if self.ended {
            return Ok(None);
        }
        while !self.connection.channel().frames.is_ready() {
            self.connection.channel().fill().await?;
        }
        Ok(Some(Messages { stream: self }))
    }

    /// Waits for messages and gives all that came with them as one block; `None` when the server has ended the stream.
    ///
    /// Cancel-safe: what was read stays.
    ///
    /// # Errors
    /// A broken connection, and what the server reports, after the messages before it.
    pub async fn read_block(&mut self) -> Result<Option<LogBlock>, ConnectError> {
        while !self.ended {
            let channel = self.connection.channel();
            let block = channel.take_run(b'd')?;
            if !block.is_empty() {
                return Ok(Some(LogBlock::new(block)));
            }
            match channel.take()? {
                Some(frame) => self.take_other(&frame)?,
                None => channel.fill().await?,
            }
        }
        Ok(None)
    }

    /// Until when nothing is read, where that is decided already: no message comes before.
    pub(crate) fn rests_until(&mut self) -> Option<Instant> {
        self.connection.channel().rests_until()
    }

    /// Takes a message that is not CopyData.
    fn take_other(&mut self, frame: &Frame) -> Result<(), ConnectError> {
        match frame.kind {
            b'N' | b'S' => {}
            // A server that shuts down sends only the second, and closes.
            b'c' | b'C' => self.ended = true,
            b'E' => {
                self.ended = true;
                return Err(self.connection.channel().reported(&frame.body));
            }
            other => {
                let reason = format!("message 0x{other:02x} in the stream");
                return Err(self.connection.channel().unexpected(reason));
            }
        }
        Ok(())
    }

    /// Tells the server how far this side has come.
    ///
    /// Cancel-safe: a part of the update that was not sent goes before the next one.
    ///
    /// # Errors
    /// A broken connection.
    pub async fn send_status(&mut self, status: StandbyStatus) -> Result<(), ConnectError> {
        let channel = self.connection.channel();
        status.encode(now(), &mut channel.out);
        channel.flush().await
    }

    /// The stream below, for socket options.
    pub fn stream(&self) -> &Stream {
        self.connection.stream()
    }

    /// The connection that this stream runs on.
    pub fn connection(&self) -> &ReplicationConnection {
        &self.connection
    }

    /// Ends the stream in order; the connection takes commands again.
    ///
    /// What the server had still to send is discarded: it comes again at the next start, from the position that was
    /// last confirmed. A server in the middle of a large transaction ends only when it looks for replies.
    ///
    /// # Errors
    /// A broken connection, or what the server reports.
    pub async fn finish(mut self) -> Result<ReplicationConnection, ConnectError> {
        let channel = self.connection.channel();
        channel.hurry();
        frontend::copy_done(&mut channel.out);
        channel.flush().await?;
        self.connection.finish_copy().await?;
        Ok(self.connection)
    }

    fn next_message(&mut self) -> Result<Option<ReplicationMessage>, ConnectError> {
        while !self.ended {
            let channel = self.connection.channel();
            let Some(frame) = channel.take()? else { break };
            if frame.kind == b'd' {
                return ReplicationMessage::parse(frame.body)
                    .map(Some)
                    .map_err(|error| channel.unexpected(error.to_string()));
            }
            self.take_other(&frame)?;
        }
        Ok(None)
    }
}

/// The messages that are there, in the order of the log. After an error there are no more.
#[derive(Debug)]
pub struct Messages<'a> {
    stream: &'a mut CopyBoth,
}

impl Iterator for Messages<'_> {
    type Item = Result<ReplicationMessage, ConnectError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.stream.next_message() {
            Ok(message) => message.map(Ok),
            Err(error) => {
                self.stream.ended = true;
                Some(Err(error))
            }
        }
    }
}
