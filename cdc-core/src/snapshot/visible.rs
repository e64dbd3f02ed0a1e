//! What a source tells of a read: which transactions its rows reflect.

use std::fmt::Debug;

use crate::origin::TransactionOrigin;

/// The transactions that the rows of a read surely reflect: the *visible set*.
///
/// PostgreSQL gives it exactly (`pg_current_snapshot()` in the transaction that reads). MySQL (`gtid_executed` before
/// the read) and a standby (what was replayed before the read) give a subset, which is enough. A set that was taken
/// later, on the same server, shows whatever an earlier one did.
pub trait Visible: Clone + Debug + Send + Sync + 'static {
    /// Whether the set is exact: what it does not show, the rows do not reflect.
    const EXACT: bool;

    /// A place in the log.
    type Position: Copy + Ord + Debug + Send + Sync;

    /// Transactions that may stand in the log before all that is remembered, without being visible yet. PostgreSQL: the
    /// ids that are locked in `pg_locks`. MySQL: the GTID set up to there. A standby: the position itself.
    type Barrier: Clone + Debug + Send + Sync;

    /// Whether the rows surely reflect the transaction. A transaction that was rolled back counts as reflected.
    fn shows(&self, transaction: &TransactionOrigin) -> bool;

    /// What of a barrier counts for a table whose changes were in the stream all along: without transactions that surely have
    /// no commit in the log yet, which will come by in whole. All of it where that cannot be told.
    fn of_streamed(barrier: &Self::Barrier) -> Self::Barrier {
        barrier.clone()
    }

    /// Takes out of the barrier what the rows reflect, and tells whether nothing is left of it.
    fn clears(&self, barrier: &mut Self::Barrier) -> bool;

    /// The transaction came by in the stream after the barrier's position, so that it is no longer unknown. Tells whether
    /// nothing is left of the barrier.
    fn came_by(barrier: &mut Self::Barrier, transaction: &TransactionOrigin) -> bool;
}
