//! Reading and writing messages on a stream.

use std::io;
use std::pin::pin;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use cdc_pgconn::{ConnectError, ServerError, Stream};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frames::{Frame, FrameBuffer};
use super::pace::{Pace, SMALL_WINDOW, Wait};

/// So much is given, even if more is there.
const ENOUGH: usize = 160 * 1024;

/// A stream with its buffers. What a cancelled call had read or had still to write stays in them.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) stream: Stream,
    pub(super) frames: FrameBuffer,
    /// Bytes to send; the front may be a part of a message.
    pub(super) out: BytesMut,
    pub(super) target: String,
    pace: Pace,
    /// Why the last read brought less than it could.
    failure: Option<io::Error>,
}

impl Channel {
    pub(super) fn new(stream: Stream, target: String) -> Self {
        let (frames, out) = (FrameBuffer::new(), BytesMut::new());
        Self { stream, frames, out, target, pace: Pace::off(), failure: None }
    }

    /// From here on a backlog is read in large pieces, and the thread stands still in between.
    pub(super) fn pace(&mut self) {
        let small_window = SMALL_WINDOW.is_some() && self.stream.is_on_loopback();
        self.pace = match small_window {
            true => Pace::with_small_window(self.stream.is_encrypted()),
            false => Pace::on(),
        };
    }

    /// From here on every byte is read at once.
    pub(super) fn hurry(&mut self) {
        self.pace = Pace::off();
    }

    /// Until when nothing is read, where that is decided already.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        self.pace.rests_until()
    }

    /// Reads as much as there is, when it is time to. Cancel-safe.
    pub(super) async fn fill(&mut self) -> Result<(), ConnectError> {
        let first = match self.failure.take() {
            Some(failure) => Err(failure),
            None => self.read_in_time().await,
        };
        let mut brought = first.map_err(|failure| self.broken(failure))?;
        while self.pace.goes_on() && brought < ENOUGH {
            match self.read_now().await {
                Some(Ok(bytes)) => brought += bytes,
                Some(Err(failure)) => {
                    // What came before it is looked at first: mostly it says why.
                    self.failure = Some(failure);
                    break;
                }
                None => break,
            }
        }
        Ok(())
    }

    /// Reads once, when it is time to.
    async fn read_in_time(&mut self) -> io::Result<usize> {
        loop {
            match self.pace.wait() {
                Wait::Data => break,
                Wait::Drain => {
                    if let Some(read) = self.read_now().await {
                        return read;
                    }
                }
                Wait::Pause(until) => {
                    // The thread stands still, not only this task: the runtime would look at the socket, and be woken by
                    // every message.
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    break;
                }
            }
        }
        let read = self.stream.read_buf(self.frames.space()).await;
        self.noted(read)
    }

    /// Reads once if something is there.
    async fn read_now(&mut self) -> Option<io::Result<usize>> {
        let mut read = pin!(self.stream.read_buf(self.frames.space())).now_or_never();
        if read.is_none() && self.pace.goes_on() {
            // The runtime takes a socket for empty after a read that did not fill the buffer, until it has looked again; but that
            // read has opened the window.
            tokio::task::yield_now().await;
            read = pin!(self.stream.read_buf(self.frames.space())).now_or_never();
        }
        if read.is_none() {
            self.pace.drained(Instant::now());
        }
        read.map(|read| self.noted(read))
    }

    /// How many bytes came; none are the end.
    fn noted(&mut self, read: io::Result<usize>) -> io::Result<usize> {
        match read? {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the server closed the connection",
            )),
            bytes => {
                self.pace.note(bytes, Instant::now());
                Ok(bytes)
            }
        }
    }

    /// The next message, or `None` if it is not there whole.
    pub(super) fn take(&mut self) -> Result<Option<Frame>, ConnectError> {
        self.frames.next_frame().map_err(|error| self.unexpected(error.to_string()))
    }

    /// All whole messages of a kind at the front, with their headers.
    pub(super) fn take_run(&mut self, kind: u8) -> Result<Bytes, ConnectError> {
        self.frames.take_run(kind).map_err(|error| self.unexpected(error.to_string()))
    }

    /// Waits for the next message that is not a notice or a changed parameter. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Frame, ConnectError> {
        loop {
            match self.take()? {
                Some(frame) if matches!(frame.kind, b'N' | b'S' | b'A') => {}
                Some(frame) => return Ok(frame),
                None => self.fill().await?,
            }
        }
    }

    /// Sends what is in `out`. Cancel-safe: what is left is sent by the next call.
    pub(super) async fn flush(&mut self) -> Result<(), ConnectError> {
        while !self.out.is_empty() {
            match self.stream.write_buf(&mut self.out).await {
                Ok(0) => return Err(self.broken(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) => return Err(self.broken(error)),
            }
        }
        self.stream.flush().await.map_err(|error| self.broken(error))
    }

    /// Says goodbye and waits until the server has closed: its slot is free then.
    pub(super) async fn close(&mut self) -> Result<(), ConnectError> {
        self.hurry();
        postgres_protocol::message::frontend::terminate(&mut self.out);
        self.flush().await?;
        loop {
            let space = self.frames.space();
            space.clear();
            match self.stream.read_buf(space).await {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if is_end(&error) => return Ok(()),
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    pub(super) fn broken(&self, error: io::Error) -> ConnectError {
        ConnectError::io(self.target.as_str(), error)
    }

    pub(super) fn unexpected(&self, reason: String) -> ConnectError {
        ConnectError::protocol(self.target.as_str(), reason)
    }

    pub(super) fn reported(&self, body: &[u8]) -> ConnectError {
        ConnectError::from_server(self.target.as_str(), ServerError::parse(body))
    }
}

/// A server that is through with a connection may close it in any of these ways.
fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}
