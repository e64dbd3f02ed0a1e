//! What is tried: the kind of database, the targets, and which mistake.

use super::database::Workload;
use super::target::Delivery;
use crate::origin::{TransactionId, TransactionOrigin};
use crate::snapshot::Visible;

/// The visible sets of a kind of database.
pub(super) trait Kind: Visible<Position = usize, Barrier = u64> {
    fn new(shown: u64) -> Self;
    fn exported(place: usize) -> Self;
}

fn number(transaction: &TransactionOrigin) -> u32 {
    match transaction.id {
        Some(TransactionId::Xid(number)) => number,
        _ => 31,
    }
}

/// From this bit on a barrier has the transactions whose commit is not in the log.
pub(super) const OPEN: u64 = 32;

/// As PostgreSQL: exact.
#[derive(Debug, Clone)]
pub(super) enum Exact {
    Own(u64),
    Exported(usize),
}

/// As MySQL: a subset of what the rows show.
#[derive(Debug, Clone)]
pub(super) struct Subset(u64);

fn take_out(barrier: &mut u64, shown: u64) -> bool {
    *barrier &= !shown;
    *barrier == 0
}

impl Visible for Exact {
    const EXACT: bool = true;
    type Position = usize;
    type Barrier = u64;

    /// As `pg_stat_activity` tells it of sessions that idle in a transaction.
    fn of_streamed(barrier: &u64) -> u64 {
        *barrier & !(u64::MAX << OPEN)
    }

    fn shows(&self, transaction: &TransactionOrigin) -> bool {
        match self {
            Exact::Own(shown) => shown >> number(transaction) & 1 == 1,
            Exact::Exported(place) => transaction.position[0] < *place as u64,
        }
    }

    fn clears(&self, barrier: &mut u64) -> bool {
        match self {
            Exact::Own(shown) => take_out(barrier, *shown | *shown << OPEN),
            Exact::Exported(_) => false,
        }
    }

    fn came_by(barrier: &mut u64, transaction: &TransactionOrigin) -> bool {
        take_out(barrier, 1 << number(transaction) | 1 << OPEN << number(transaction))
    }
}

impl Kind for Exact {
    fn new(shown: u64) -> Self {
        Exact::Own(shown)
    }
    fn exported(place: usize) -> Self {
        Exact::Exported(place)
    }
}

impl Visible for Subset {
    const EXACT: bool = false;
    type Position = usize;
    type Barrier = u64;

    fn shows(&self, transaction: &TransactionOrigin) -> bool {
        self.0 >> number(transaction) & 1 == 1
    }

    fn clears(&self, barrier: &mut u64) -> bool {
        take_out(barrier, self.0)
    }

    fn came_by(barrier: &mut u64, _: &TransactionOrigin) -> bool {
        *barrier == 0
    }
}

impl Kind for Subset {
    fn new(shown: u64) -> Self {
        Subset(shown)
    }
    fn exported(_: usize) -> Self {
        Subset(0)
    }
}

/// A mistake of the shell rather than of the merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShellFlaw {
    HorizonBeforeVisible,
    HorizonIsFlushed,
    /// The end of what the visible set has.
    HorizonIsVisible,
    NoBarrier,
    /// Tables that are new in the stream are asked for as if they had been there.
    AsIfStreamed,
    PendingKeysNotSaved,
    /// After a restart inside a transaction, what was done of it is not handed in.
    NothingAlreadyDone,
    /// Two sinks resume with the state of the earlier one.
    MeetIsTheEarlier,
}

/// What is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Setup {
    pub(super) workload: Workload,
    pub(super) targets: &'static [Delivery],
    pub(super) kills: usize,
    pub(super) start: Option<Start>,
    pub(super) flaw: Option<ShellFlaw>,
    pub(super) max_reads: usize,
    pub(super) small_memory: bool,
    /// Snapshots are asked for again, halted and resumed.
    pub(super) requests: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// From the snapshot that is exported with a slot.
    Exported,
    /// Into an empty target.
    Merged,
    /// The target has everything; a snapshot is asked for.
    OnDemand,
    /// Into an empty target; what transactions have done by now that are open is not in the stream.
    NewlyStreamed,
}
