//! Transactions that the server sends before they are committed (protocol 2, `streaming`).
//!
//! Their changes come in blocks that alternate with those of other transactions, and may be taken back, a
//! subtransaction or all of it (PostgreSQL manual, "Streaming of Large Transactions for Logical Decoding"). They are kept as
//! they came, in memory up to a bound and then in files, and decoded when the commit comes. The changes of a
//! subtransaction that is rolled back are the last that came of its transaction, so they are cut off at its first.

mod store;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

pub(crate) use self::store::Replay;
use self::store::Store;
use crate::error::PostgresError;
use crate::lsn::Lsn;

/// Where and how much is kept of transactions in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpillOptions {
    /// The most bytes in memory, of all transactions together.
    pub(crate) memory: usize,
    /// Where the files are.
    pub(crate) folder: PathBuf,
}

impl Default for SpillOptions {
    fn default() -> Self {
        SpillOptions { memory: 4 << 20, folder: std::env::temp_dir() }
    }
}

/// A transaction in progress.
#[derive(Debug)]
struct Open {
    store: Store,
    /// Where each subtransaction begins.
    starts: HashMap<u32, u64>,
    /// The subtransaction of the last change, which is in `starts`.
    last: u32,
}

/// All transactions in progress.
#[derive(Debug)]
pub(crate) struct Streamed {
    options: Arc<SpillOptions>,
    open: HashMap<u32, Open>,
    /// Whose block is being read.
    current: Option<u32>,
    /// Bytes in memory.
    memory: usize,
}

impl Streamed {
    pub(crate) fn new(options: SpillOptions) -> Self {
        let options = Arc::new(options);
        Streamed { options, open: HashMap::new(), current: None, memory: 0 }
    }

    /// Whether messages that come now are of a transaction in progress.
    pub(crate) fn is_inside(&self) -> bool {
        self.current.is_some()
    }

    /// A block of a transaction begins.
    pub(crate) fn start(&mut self, xid: u32, at: Lsn) -> Result<(), PostgresError> {
        if self.current.replace(xid).is_some() {
            return Err(contradiction(at, "a block of a transaction inside another"));
        }
        self.open.entry(xid).or_insert_with(|| Open {
            store: Store::default(),
            starts: HashMap::new(),
            last: xid,
        });
        Ok(())
    }

    /// The block ends.
    pub(crate) fn stop(&mut self) {
        self.current = None;
    }

    /// Keeps a message of the block that is being read.
    pub(crate) fn add(&mut self, at: Lsn, message: &[u8]) -> Result<(), PostgresError> {
        let open = self.current.and_then(|xid| self.open.get_mut(&xid));
        let (Some(open), Some(top)) = (open, self.current) else {
            return Err(contradiction(at, "a change outside of a block of its transaction"));
        };
        if let Some(xid) = xid_of(message)
            && xid != open.last
        {
            open.last = xid;
            if xid != top {
                open.starts.entry(xid).or_insert(open.store.len());
            }
        }
        self.memory += open.store.add(at, message);
        Ok(())
    }

    /// Writes to files what is beyond the bound, the largest first.
    ///
    /// # Errors
    /// [`PostgresError::Spill`], on a full disk too.
    pub(crate) async fn spill(&mut self) -> Result<(), PostgresError> {
        while self.memory > self.options.memory {
            let largest = self.open.values_mut().max_by_key(|open| open.store.in_memory());
            let Some(open) = largest.filter(|open| open.store.in_memory() > 0) else { break };
            self.memory -= open.store.in_memory();
            open.store.spill(&self.options.folder).await?;
        }
        Ok(())
    }

    /// A transaction, or a subtransaction with all in it, is rolled back.
    ///
    /// # Errors
    /// [`PostgresError::Spill`].
    pub(crate) fn abort(&mut self, xid: u32, subxid: u32) -> Result<(), PostgresError> {
        if xid == subxid {
            if let Some(open) = self.open.remove(&xid) {
                self.memory -= open.store.in_memory();
            }
            return Ok(());
        }
        let Some(open) = self.open.get_mut(&xid) else { return Ok(()) };
        // Without a change of its own there is nothing to take back.
        let Some(start) = open.starts.remove(&subxid) else { return Ok(()) };
        self.memory -= open.store.in_memory();
        let cut = open.store.truncate(start, &self.options.folder);
        self.memory += open.store.in_memory();
        open.starts.retain(|_, other| *other < start);
        open.last = xid;
        cut
    }

    /// A transaction is committed: its changes, to be decoded.
    pub(crate) fn commit(&mut self, xid: u32) -> Replay {
        let store = self.open.remove(&xid).map(|open| open.store).unwrap_or_default();
        self.memory -= store.in_memory();
        store.replay(&self.options.folder)
    }
}

/// The (sub)transaction of a message inside a block; an origin is of all of it.
fn xid_of(message: &[u8]) -> Option<u32> {
    let (kind, rest) = message.split_first()?;
    if *kind == b'O' {
        return None;
    }
    rest.first_chunk().map(|xid| u32::from_be_bytes(*xid))
}

fn contradiction(at: Lsn, reason: &str) -> PostgresError {
    PostgresError::Log { position: at, reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::block::LogMessage;
    use proptest::prelude::*;

    fn change(xid: u32, id: u32, padding: usize) -> Vec<u8> {
        [b"I", &xid.to_be_bytes()[..], &id.to_be_bytes(), &vec![b'.'; padding]].concat()
    }

    fn streamed(memory: usize) -> Streamed {
        Streamed::new(SpillOptions { memory, ..SpillOptions::default() })
    }

    async fn committed(streamed: &mut Streamed, xid: u32) -> Vec<(u64, u32)> {
        let mut replay = streamed.commit(xid);
        let mut ids = Vec::new();
        while let Some(block) = replay.next().await.unwrap() {
            for message in block.messages() {
                let Ok(LogMessage::XLogData { start, data }) = message else { panic!("no data") };
                ids.push((start.0, u32::from_be_bytes(*data[5..].first_chunk().unwrap())));
            }
        }
        ids
    }

    #[tokio::test]
    async fn interleaved_transactions_come_out_each_in_its_order() {
        let mut streamed = streamed(0);
        for round in 0..3 {
            for xid in [7, 8] {
                streamed.start(xid, Lsn(1)).unwrap();
                streamed.add(Lsn(u64::from(round)), &change(xid, xid * 10 + round, 100)).unwrap();
                streamed.stop();
                streamed.spill().await.unwrap();
            }
        }
        assert_eq!(committed(&mut streamed, 8).await, [(0, 80), (1, 81), (2, 82)]);
        streamed.abort(7, 7).unwrap();
        assert_eq!(committed(&mut streamed, 7).await, []);
        assert_eq!(streamed.memory, 0);
    }

    #[tokio::test]
    async fn a_subtransaction_that_is_rolled_back_takes_those_inside_it_along() {
        for memory in [0, 1 << 20] {
            let mut streamed = streamed(memory);
            streamed.start(7, Lsn(1)).unwrap();
            for (xid, id) in [(7, 1), (8, 2), (9, 3), (8, 4)] {
                streamed.add(Lsn(1), &change(xid, id, 10)).unwrap();
                streamed.spill().await.unwrap();
            }
            streamed.stop();
            streamed.abort(7, 8).unwrap();
            // It had no changes.
            streamed.abort(7, 12).unwrap();
            streamed.start(7, Lsn(1)).unwrap();
            streamed.add(Lsn(2), &change(10, 5, 10)).unwrap();
            streamed.stop();
            assert_eq!(committed(&mut streamed, 7).await, [(1, 1), (2, 5)]);
        }
    }

    #[tokio::test]
    async fn a_message_larger_than_every_buffer_comes_back_whole() {
        let mut streamed = streamed(0);
        streamed.start(7, Lsn(1)).unwrap();
        for (id, padding) in [(1, 10), (2, 3_000_000), (3, 10)] {
            streamed.add(Lsn(1), &change(7, id, padding)).unwrap();
            streamed.spill().await.unwrap();
        }
        streamed.stop();
        let ids: Vec<_> = committed(&mut streamed, 7).await.into_iter().map(|(_, id)| id).collect();
        assert_eq!(ids, [1, 2, 3]);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let mut streamed = streamed(0);
        assert!(streamed.add(Lsn(1), b"I").is_err());
        streamed.start(7, Lsn(1)).unwrap();
        assert!(streamed.start(8, Lsn(1)).is_err());
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_is_named() {
        let folder = PathBuf::from("/nonexistent/spill");
        let mut streamed = Streamed::new(SpillOptions { memory: 0, folder });
        streamed.start(7, Lsn(1)).unwrap();
        streamed.add(Lsn(1), &change(7, 1, 10)).unwrap();
        let error = streamed.spill().await.unwrap_err().to_string();
        assert!(
            error.contains("/nonexistent/spill") && error.contains(".spill_folder("),
            "{error}"
        );
    }

    proptest! {
        /// A stack of subtransactions, as a session has them, against a list that is cut.
        #[test]
        fn any_nesting_leaves_what_a_list_would(
            steps in prop::collection::vec((0u8..4, 0usize..300), 0..60), memory in 0usize..3_000,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut streamed = streamed(memory);
                let (mut stack, mut next, mut expected) = (vec![(7u32, 0usize)], 8, Vec::new());
                for (id, (step, padding)) in (0u32..).zip(steps) {
                    match step {
                        0 => {
                            stack.push((next, expected.len()));
                            next += 1;
                        }
                        1 if stack.len() > 1 => {
                            let (xid, start) = stack.pop().unwrap();
                            streamed.abort(7, xid).unwrap();
                            // Only what had a change of its own, or of one inside it that was kept, is known.
                            if expected[start..].iter().any(|(of, _)| *of == xid) {
                                let first = expected.iter().position(|(of, _)| *of == xid).unwrap();
                                expected.truncate(first);
                            }
                        }
                        2 if stack.len() > 1 => { stack.pop(); }
                        _ => {
                            let (xid, _) = *stack.last().unwrap();
                            streamed.start(7, Lsn(1)).unwrap();
                            streamed.add(Lsn(1), &change(xid, id, padding)).unwrap();
                            streamed.stop();
                            streamed.spill().await.unwrap();
                            assert!(streamed.memory <= memory);
                            expected.push((xid, id));
                        }
                    }
                }
                let ids: Vec<_> =
                    committed(&mut streamed, 7).await.into_iter().map(|(_, id)| id).collect();
                let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
                assert_eq!(ids, expected);
                assert_eq!(streamed.memory, 0);
            });
        }
    }
}
