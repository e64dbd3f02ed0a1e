//! A queue of batches that is bounded in bytes.
//!
//! What a batch takes is given back when it is durable, not when it is taken out: a batch in flight is still held in
//! memory. One batch that is larger than the whole queue passes alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::burying::Originals;
use crate::batch::Batch;
use crate::event::ChangeEvent;

/// Bytes are counted in units of 1 KiB, so that a queue of any size fits the semaphore, and at least one a batch, so
/// that the number of empty batches is bounded too.
const UNIT: usize = 1 << 10;

/// A batch in a queue, and the room it takes there.
#[derive(Debug)]
pub(crate) struct Queued {
    pub(crate) batch: Arc<Batch>,
    /// Its events before the common chain, where they are kept for dead letters.
    pub(crate) before_chain: Option<Arc<[ChangeEvent]>>,
    pub(crate) room: Room,
}

impl Queued {
    /// The events as the source gave them.
    pub(crate) fn originals(&self) -> Originals {
        let before_chain = self.before_chain.clone();
        Originals { batch: Arc::clone(&self.batch), before_chain }
    }
}

/// The room of one batch; given back when dropped.
#[derive(Debug)]
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

/// The end that the reader fills.
#[derive(Debug)]
pub(crate) struct QueueSender {
    batches: mpsc::UnboundedSender<Queued>,
    room: Arc<Semaphore>,
    capacity: u32,
}

/// The end that a sink empties.
#[derive(Debug)]
pub(crate) struct QueueReceiver {
    batches: mpsc::UnboundedReceiver<Queued>,
    room: Arc<Semaphore>,
    capacity: u32,
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes / UNIT + 1).unwrap_or(u32::MAX)
}

/// A queue of at most so many bytes.
pub(crate) fn queue(bytes: usize) -> (QueueSender, QueueReceiver) {
    let capacity = units(bytes.saturating_sub(1)).min(u32::MAX >> 1);
    let room = Arc::new(Semaphore::new(capacity as usize));
    let (sender, receiver) = mpsc::unbounded_channel();
    (
        QueueSender { batches: sender, room: Arc::clone(&room), capacity },
        QueueReceiver { batches: receiver, room, capacity },
    )
}

impl QueueSender {
    /// Waits until there is room; `false` when the other end is gone.
    pub(crate) async fn push(
        &self,
        batch: Arc<Batch>,
        before_chain: Option<Arc<[ChangeEvent]>>,
    ) -> bool {
        let kept: usize =
            before_chain.iter().flat_map(|kept| kept.iter()).map(ChangeEvent::size).sum();
        let cost = units(batch.bytes.saturating_add(kept)).min(self.capacity);
        let permit = tokio::select! {
            permit = Arc::clone(&self.room).acquire_many_owned(cost) => permit,
            () = self.batches.closed() => return false,
        };
        let Ok(permit) = permit else { return false };
        self.batches.send(Queued { batch, before_chain, room: Room { _permit: permit } }).is_ok()
    }
}

impl QueueReceiver {
    /// The next batch; `None` when the reader has ended and all is taken.
    pub(crate) async fn next(&mut self) -> Option<Queued> {
        self.batches.recv().await
    }

    /// Bytes that wait or are in flight.
    pub(crate) fn used_bytes(&self) -> u64 {
        let free = u32::try_from(self.room.available_permits()).unwrap_or(u32::MAX);
        u64::from(self.capacity.saturating_sub(free)) * UNIT as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offset::Offset;
    use futures_util::FutureExt;

    fn batch(bytes: usize) -> Arc<Batch> {
        let mut batch = Batch::empty(Offset::new(serde_json::Map::new()));
        batch.bytes = bytes;
        Arc::new(batch)
    }

    #[tokio::test]
    async fn the_reader_waits_until_what_it_queued_is_durable_not_only_taken() {
        let (sender, mut receiver) = queue(8 * UNIT);
        assert!(sender.push(batch(5 * UNIT), None).await);
        let taken = receiver.next().await.unwrap();
        assert!(sender.push(batch(5 * UNIT), None).now_or_never().is_none());
        drop(taken.room);
        assert!(sender.push(batch(5 * UNIT), None).now_or_never().unwrap());
    }

    #[tokio::test]
    async fn a_batch_larger_than_the_queue_passes_alone() {
        let (sender, mut receiver) = queue(8 * UNIT);
        assert!(sender.push(batch(100 * UNIT), None).now_or_never().unwrap());
        assert!(sender.push(batch(0), None).now_or_never().is_none());
        drop(receiver.next().await);
        assert!(sender.push(batch(0), None).now_or_never().unwrap());
        assert_eq!(receiver.used_bytes(), UNIT as u64);
    }

    #[tokio::test]
    async fn empty_batches_are_bounded_too() {
        let (sender, _receiver) = queue(2 * UNIT);
        assert!(sender.push(batch(0), None).now_or_never().unwrap());
        assert!(sender.push(batch(0), None).now_or_never().unwrap());
        assert!(sender.push(batch(0), None).now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_reader_that_waits_for_room_learns_that_the_sink_is_gone() {
        let (sender, receiver) = queue(UNIT);
        assert!(sender.push(batch(UNIT), None).now_or_never().unwrap());
        drop(receiver);
        assert!(!sender.push(batch(UNIT), None).await);
    }
}
