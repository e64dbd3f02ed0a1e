//! The reader task: it owns the replication connection, reads ahead into a queue that is bounded in bytes, and answers
//! the server on time even when nobody takes anything out of the queue.

use std::sync::Arc;
use std::time::Duration;

use cdc_pgconn::ConnectError;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::feedback::confirmable;
use crate::lsn::Lsn;
use crate::position::Position;
use crate::wire::block::{LogBlock, LogMessage};
use crate::wire::copy_both::CopyBoth;
use crate::wire::replication::StandbyStatus;

/// The longest time between two status updates, and the shortest between two that tell what was acknowledged.
///
/// Each asks for an answer: a server that has read past changes that are not for us says so by itself from PostgreSQL 13
/// on only, and the slot of a quiet database would hold the log until its next own keepalive.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// How long the reason for a broken connection is waited for.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// What a block costs in the queue beside its bytes.
const BLOCK_OVERHEAD: usize = 256;

/// Messages that came together; the room they take in the queue is free when they are dropped.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) block: LogBlock,
    /// Nothing is read before, where that was decided with the read: on the loopback.
    pub(crate) rests_until: Option<Instant>,
    _room: OwnedSemaphorePermit,
}

/// The stream of the log, read by a task of its own. Dropping it ends the task and closes the connection.
#[derive(Debug)]
pub(crate) struct LogStream {
    chunks: mpsc::UnboundedReceiver<Result<Chunk, ConnectError>>,
    task: JoinHandle<()>,
    ask: Arc<Notify>,
}

impl LogStream {
    /// Starts to read. `wal_sender_timeout` is the server's, zero where it has none; `queue_bytes` bounds what is read
    /// ahead.
    pub(crate) fn start(
        copy: CopyBoth,
        acknowledged: watch::Receiver<Option<Position>>,
        stop: watch::Receiver<bool>,
        wal_sender_timeout: Duration,
        queue_bytes: usize,
    ) -> Self {
        let (out, chunks) = mpsc::unbounded_channel();
        let ask = Arc::new(Notify::new());
        let interval = match wal_sender_timeout {
            Duration::ZERO => STATUS_INTERVAL,
            timeout => STATUS_INTERVAL.min(timeout / 3).max(Duration::from_millis(10)),
        };
        let room = u32::try_from(queue_bytes).unwrap_or(u32::MAX).clamp(1, u32::MAX >> 3);
        let reader = |copy| Reader {
            copy,
            acknowledged,
            stop,
            out,
            room: Arc::new(Semaphore::new(usize::try_from(room).unwrap_or(1))),
            capacity: room,
            received: Lsn::ZERO,
            told_at: Instant::now(),
            interval,
            ask: Arc::clone(&ask),
        };
        LogStream { chunks, task: copy.spawn(|copy| reader(copy).run()), ask }
    }

    /// Lets the server say how far the log is read, which it does by itself only now and then.
    pub(crate) fn ask_for_position(&self) {
        self.ask.notify_one();
    }

    /// The next messages; `None` when the server has ended the stream. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Result<Chunk, ConnectError>> {
        self.chunks.recv().await
    }
}

impl Drop for LogStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Reader {
    copy: CopyBoth,
    acknowledged: watch::Receiver<Option<Position>>,
    stop: watch::Receiver<bool>,
    out: mpsc::UnboundedSender<Result<Chunk, ConnectError>>,
    room: Arc<Semaphore>,
    capacity: u32,
    /// The end of what was received.
    received: Lsn,
    /// When the server was told last.
    told_at: Instant,
    interval: Duration,
    /// The server is to say how far the log is read.
    ask: Arc<Notify>,
}

impl Reader {
    async fn run(mut self) {
        if let Err(error) = self.read().await {
            let error = self.reason(error).await;
            // Nobody is there to hear it when the receiver is gone.
            let _ = self.out.send(Err(error));
        }
    }

    /// A server that ends a session says why before it closes; writing may notice the end before reading hears the
    /// reason.
    async fn reason(&mut self, error: ConnectError) -> ConnectError {
        if error.server().is_some() {
            return error;
        }
        let said = async {
            loop {
                match self.copy.read_block().await {
                    Ok(Some(_)) => {}
                    Err(failure) if failure.server().is_some() => return Some(failure),
                    Ok(None) | Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(LAST_WORDS, said).await.ok().flatten().unwrap_or(error)
    }

    async fn read(&mut self) -> Result<(), ConnectError> {
        // The answer shows how far the server is when nothing else comes.
        self.tell(true).await?;
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut more_to_confirm = true;
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut self.stop) => return self.tell(false).await,
                _ = ticks.tick() => self.tell(true).await?,
                () = self.ask.notified() => self.tell(true).await?,
                changed = self.acknowledged.changed(), if more_to_confirm => {
                    more_to_confirm = changed.is_ok();
                    if self.told_at + STATUS_INTERVAL <= Instant::now() {
                        self.tell(false).await?;
                    }
                }
                block = self.copy.read_block() => {
                    let Some(block) = block? else { return Ok(()) };
                    self.hand_over(block, &mut ticks).await?;
                }
            }
        }
    }

    /// Waits for room in the queue; answers the server meanwhile.
    async fn hand_over(
        &mut self,
        block: LogBlock,
        ticks: &mut tokio::time::Interval,
    ) -> Result<(), ConnectError> {
        let bytes = block.bytes().len().saturating_add(BLOCK_OVERHEAD);
        let mut asked = false;
        for message in block.messages() {
            match message {
                Ok(LogMessage::XLogData { start, .. }) => self.received = self.received.max(start),
                Ok(LogMessage::Keepalive { end, reply_requested }) => {
                    self.received = self.received.max(end);
                    asked |= reply_requested;
                }
                // Whoever takes the block reports it.
                Err(_) => break,
            }
        }
        if asked {
            self.tell(false).await?;
        }
        // One set of messages that is larger than the queue may pass alone.
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.capacity);
        let room = Arc::clone(&self.room).acquire_many_owned(permits);
        tokio::pin!(room);
        let room = loop {
            tokio::select! {
                biased;
                room = &mut room => match room {
                    Ok(room) => break room,
                    Err(_) => return Ok(()),
                },
                // What waits here is read again by the next run; the caller sees the wish too.
                () = stopped(&mut self.stop) => return Ok(()),
                _ = ticks.tick() => self.tell(false).await?,
            }
        };
        let rests_until = self.copy.rests_until().map(Instant::from_std);
        let _ = self.out.send(Ok(Chunk { block, rests_until, _room: room }));
        Ok(())
    }

    fn to_confirm(&self) -> Lsn {
        confirmable(self.acknowledged.borrow().as_ref())
    }

    async fn tell(&mut self, reply_requested: bool) -> Result<(), ConnectError> {
        let flush = self.to_confirm();
        self.told_at = Instant::now();
        // Received is more than durable: a server that waits for a synchronous standby looks at `flush`.
        let write = self.received.max(flush);
        self.copy.send_status(StandbyStatus { write, flush, apply: flush, reply_requested }).await
    }
}

/// Waits until the source is closed; for ever where it was dropped, which ends the task otherwise.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending().await
    }
}
