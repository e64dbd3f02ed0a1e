//! Snapshots merged into the stream: without locks, resumable at the chunk, on demand, and never with a stale row.
//!
//! [`Merge`] is a state machine without I/O. An async shell of a source gives it the changes of the stream and the rows of
//! reads, and takes events and the state that belongs into the offset. It is generic over what a source can tell of a read:
//! see [`Visible`].
//!
//! # How it is driven
//!
//! 1. [`Merge::new`] with the state of the offset (and [`Merge::request`] for new tables), at the place where the stream begins.
//! 2. While [`Merge::wants_barrier`] gives a ticket, ask the source and answer with [`Merge::barrier`]. While
//!    [`Merge::wants_visible`], ask for a visible set now and then: [`Merge::observed`].
//! 3. Whenever [`Merge::next_read`] gives a [`Read`], carry it out on a connection of its own. One read is one transaction:
//!    lock the table against changes of its columns, without taking a snapshot (PostgreSQL: REPEATABLE READ, `LOCK TABLE ... IN ACCESS
//!    SHARE MODE` first); take the visible set; *then* ask where the log ends; hand in both with [`Merge::read_began`]; then the
//!    rows with [`Merge::read_rows`], and [`Merge::read_ended`]. A read that is no longer [wanted](Merge::is_wanted) ends.
//! 4. Every transaction of the stream: [`Merge::begin`], [`Merge::change`] for each change, [`Merge::commit`]. An idle
//!    position: [`Merge::reached`].
//! 5. While [`Merge::has_events`], [`Merge::take`] them into batches before the next change of the stream; each batch's offset
//!    has [`Merge::state`]. While [`Merge::holds_stream`], do not read on.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use cdc_core::{snapshot::*, BatchLimits, DataType, Destination, Field, Row, Schema, TableId, TransactionOrigin};
//!
//! /// The ids before it have ended.
//! #[derive(Debug, Clone)]
//! struct EndedBefore(u64);
//!
//! impl Visible for EndedBefore {
//!     const EXACT: bool = true;
//!     type Position = u64;
//!     type Barrier = Vec<u64>;
//!     fn shows(&self, transaction: &TransactionOrigin) -> bool {
//!         transaction.position[0] < self.0
//!     }
//!     fn clears(&self, barrier: &mut Vec<u64>) -> bool {
//!         barrier.retain(|id| *id >= self.0);
//!         barrier.is_empty()
//!     }
//!     fn came_by(barrier: &mut Vec<u64>, transaction: &TransactionOrigin) -> bool {
//!         barrier.retain(|id| *id != transaction.position[0]);
//!         barrier.is_empty()
//!     }
//! }
//!
//! let table = TableId::new("public", "orders");
//! let mut merge = Merge::<EndedBefore>::new(MergeOptions::default(), 100, SnapshotState::default());
//! merge.request([TablePlan::new(table.clone(), ["id"])], FirstReads::Own);
//!
//! // Transaction 7 may be in the log before position 100 without being visible: nothing is read before it is.
//! let ticket = merge.wants_barrier().unwrap();
//! merge.barrier(ticket, &vec![7]);
//! assert!(merge.next_read().is_none() && merge.wants_visible());
//! merge.observed(EndedBefore(8));
//!
//! let read = merge.next_read().unwrap();
//! let schema = Schema::builder().field(Field::required("id", DataType::Int32)).key(["id"]).build()?;
//! let (visible, destination) = (EndedBefore(8), Destination::of_table(&table));
//! merge.read_began(read.id, Began { visible, horizon: 120, schema: schema.clone(), destination });
//! let row = Row::new(schema, vec![1i32.into()])?;
//! let bytes = row.size();
//! merge.read_rows(read.id, [row], bytes);
//! merge.read_ended(read.id, true, Duration::from_millis(3))?;
//!
//! // The rows wait until the stream has passed what they can show.
//! assert!(!merge.has_events());
//! merge.reached(120)?;
//! let at = TransactionOrigin {
//!     connector: "postgresql", database: "shop".into(), id: None, commit_time_us: None,
//!     position: [120, 120], previous_commit: None, replicated_from: None,
//! };
//! let stamp = Stamp { transaction: Arc::new(at), log_position: 120 };
//! let mut events = Vec::new();
//! merge.take(&BatchLimits::default(), &stamp, |event, _bytes| events.push(event));
//! assert_eq!(events.len(), 2, "the table's columns and the row");
//! assert!(merge.state().is_done());
//! # Ok::<(), cdc_core::Error>(())
//! ```
//!
//! # Why it is right
//!
//! Two things make this hard. A commit is in the log before others can see it (PostgreSQL waits for synchronous standbys in
//! between, for minutes if need be), so that a read that begins *after* a change was streamed may still show the row *before*
//! it: every merge that compares log positions alone is stale here. And a change may lack columns (unchanged TOAST values,
//! MINIMAL images), so that it can neither replace a row nor be left out.
//!
//! **What the source gives.** A transaction keeps its row locks until it is visible. So the changes of one key become visible
//! in the order in which they are logged, and a read that shows one of them shows all that are older. A read's *visible set* names
//! transactions that its rows surely reflect; its *horizon* is a place that nothing they reflect is logged behind (therefore
//! it is asked for after the visible set, and is the end of what is written: an asynchronous commit is visible before it is
//! flushed).
//!
//! **What holds at every moment** of a transactional target (for others: whenever the stream is not repeating itself):
//!
//! * *A*: a row that is in the target is the row that the log has at the place of the stream.
//! * *B*: a row whose key is *settled* is in the target, if the log has one. A key is settled when it is in none of the ranges that are
//!   left, nor among the single keys to read.
//!
//! Once all keys are settled the target is the log's state, by A and B. Nothing goes back and no deleted row stays, by A.
//!
//! *Changes keep A and B.* Every change passes at once. A complete one makes its row what the log has; a delete removes it; one
//! that lacks columns changes the row if it is there, which by A was right before. A key change that lacks columns moves the
//! row if it is there. If it may be missing (its old key is not settled), the new key may be missing from now on: it is no longer settled,
//! and becomes a single key to read. So does the key of an insert that lacks columns: the update that moved a row into
//! the publication's row filter. Nothing else can take a row away. That a change made a single key whole again is not
//! taken as settling it: another sink may have been spared that change (below); it is read, which costs one row.
//!
//! *Emitting a chunk keeps A and makes B true of it.* At a place `E` at or behind the horizon, the log's row for a key is the
//! row read plus the changes of the key, up to `E`, that the read does not reflect; all of these are behind what it does
//! reflect. They are remembered (next paragraph) and folded per key in log order. After a complete change, a delete or a
//! move, the target has the key as it is, by A, and the row read is not wanted: it is dropped. A change that lacks columns sets
//! those it has. What is left is the log's row at `E`, and is emitted before anything else is streamed. A key that a change
//! left to be read (`Lost` in the fold, and nothing complete after it) stays to be read.
//! Columns are never carried from one key to another in the fold: with a visible set that is a subset the row may be the one *after* the move.
//! With such a set a change may be folded that the row reflects already. Doing all of a suffix of the changes again is
//! harmless (each column ends as the last change left it), as long as nothing older than a *reflected* change is done:
//! so a change in the visible set undoes what was folded of its key before.
//!
//! *Everything that a read may not reflect is remembered.* From its base on the merge remembers every change of a table under
//! snapshot, until the source has *shown* the transaction and every read that began before that is done with it. Shown once, it is
//! reflected by every read that begins later; a read that began earlier may not reflect it, in whatever order the
//! answers arrive. What was logged before the base is not remembered, so no read begins until it is visible: that is the *barrier*, the
//! transactions that may be logged and not visible when the base is laid. One that comes by later was not logged
//! before, and is remembered. The barrier is asked for after the base is laid. PostgreSQL has it in
//! `pg_locks` (a transaction holds the lock on its own id until it is visible); a snapshot does not have it, because it does
//! not list ids from its `xmax` on.
//! A transaction that has no commit in the log yet comes by later and need not be waited for, where the source can tell.
//! A table that [is new in the stream](TablePlan::newly_streamed) is the exception: what was done to it before never comes by, so
//! that its first read waits until every transaction of the barrier is visible, whether it came by or not. Rows that the
//! stream has brought by then are right: of each key what does not come by is older than what does, because a key's lock is held
//! until its transaction is visible. The target must not have older rows of such a table: they are removed when it is asked for.
//! Past the bound on memory the changes of a transaction are forgotten and it joins the barrier; reads in flight that may
//! not reflect it are given up.
//!
//! *Restarts.* An offset has the ranges and keys that are not settled, at a place of the log. A restart lays a new base there
//! and loses at most the chunks in flight. It may be inside a transaction: what was done of it is handed in again and
//! remembered, without being passed. Several sinks resume at the earliest place with everything that any of them lacks
//! ([`SnapshotState::union`]); the place alone would not do, since a sink further on may lack what another has. A row of a
//! snapshot is for sinks whose offset has a smaller [`sent`](SnapshotState::sent), whatever their place: it is emitted
//! behind everything that any sink has, because the horizon is.
//!
//! *Changes of the columns.* One logged behind the read's beginning and before `E` gives the read up, as far as the stream names it; one
//! that the rows have already and the stream has not named is announced before them. TRUNCATE is a change of all keys.
//!
//! *A table without a key* is one chunk. Its changes wait. Once the stream has passed the read's horizon the target is told to remove all rows,
//! gets those that are read, and at the end the changes that the read does not reflect. Doing a change twice would leave two
//! rows, so with a visible set that is a subset a read is repeated if it may reflect a change that it does not show. Until then the
//! target has what it had; from then on until the end what comes of it is not a state that ever was.
//!
//! *Keys are compared by their bytes*, which is right although a database may hold more to be equal: the log names a row by the
//! bytes that are stored, and a change of the bytes is a key change. Whether a key is *in a range* is asked in the order of the
//! database, which a collation hides: where it cannot be told, a key counts as not settled.
//!
//! # What is not proved
//!
//! The text above is an argument; `model` in the tests is an adversary that runs a database, reads, kills and two sinks against it, and
//! checks A and B after every event. It knows that a test must be able to fail: each rule left out makes schedules fail.

mod chunk_size;
mod effect;
mod flaws;
mod key;
mod memory;
mod merge;
#[cfg(test)]
mod model;
mod outbox;
mod patches;
mod plan;
mod progress;
mod read;
mod region;
mod state;
#[cfg(test)]
mod stories;
mod table;
mod unknown;
mod visible;

pub use chunk_size::ChunkTarget;
pub use key::Key;
pub use merge::{BarrierTicket, Merge};
pub use outbox::Stamp;
pub use plan::{FirstReads, MergeOptions, TablePlan};
pub use progress::{TablePhase, TableProgress};
pub use read::{Began, Read, ReadId};
pub use region::{KeyRange, Region};
pub use state::{SnapshotState, TableState};
pub use visible::Visible;
