//! The transactions that a read shows, for the merge: `pg_current_snapshot()`, which is exact.

use cdc_core::snapshot::Visible;
use cdc_core::{TransactionId, TransactionOrigin};

use crate::lsn::Lsn;
pub(crate) use crate::snapshot::visible::Visible as PgVisible;

/// Transactions that may stand in the log without being visible: their ids, of 64 bits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Barrier(Vec<u64>);

impl Barrier {
    pub(crate) fn new(xids: impl IntoIterator<Item = u64>) -> Self {
        Barrier(xids.into_iter().collect())
    }

    /// The ids, in no order.
    #[cfg(test)]
    pub(crate) fn xids(&self) -> &[u64] {
        &self.0
    }
}

fn xid_of(transaction: &TransactionOrigin) -> Option<u32> {
    match transaction.id {
        Some(TransactionId::Xid(xid)) => Some(xid),
        _ => None,
    }
}

impl Visible for PgVisible {
    const EXACT: bool = true;
    type Position = Lsn;
    type Barrier = Barrier;

    /// Of a transaction without an id nothing is known.
    fn shows(&self, transaction: &TransactionOrigin) -> bool {
        xid_of(transaction).is_some_and(|xid| PgVisible::shows(self, xid))
    }

    fn clears(&self, barrier: &mut Barrier) -> bool {
        barrier.0.retain(|xid| !self.has_ended(*xid));
        barrier.0.is_empty()
    }

    /// The log has the low 32 bits of an id, which are its own among all that are open at a time.
    fn came_by(barrier: &mut Barrier, transaction: &TransactionOrigin) -> bool {
        if let Some(came) = xid_of(transaction) {
            barrier.0.retain(|xid| xid & 0xffff_ffff != u64::from(came));
        }
        barrier.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(xid: u32) -> TransactionOrigin {
        TransactionOrigin {
            connector: "postgresql",
            database: "shop".into(),
            id: Some(TransactionId::Xid(xid)),
            commit_time_us: None,
            position: [0, 0],
            previous_commit: None,
            replicated_from: None,
        }
    }

    #[test]
    fn a_barrier_ends_by_what_is_shown_and_by_what_comes_by() {
        let epoch = 3u64 << 32;
        let mut barrier = Barrier::new([epoch - 1, epoch + 5, epoch + 9]);
        let visible: PgVisible = format!("{}:{}:", epoch + 5, epoch + 5).parse().unwrap();
        assert!(!visible.clears(&mut barrier));
        assert_eq!(barrier.xids(), [epoch + 5, epoch + 9]);
        assert!(!PgVisible::came_by(&mut barrier, &transaction(9)));
        assert!(PgVisible::came_by(&mut barrier, &transaction(5)));
    }

    #[test]
    fn a_transaction_without_an_id_is_not_shown() {
        let visible: PgVisible = "7:7:".parse().unwrap();
        let of_none = TransactionOrigin { id: None, ..transaction(0) };
        assert!(!Visible::shows(&visible, &of_none));
        assert!(Visible::shows(&visible, &transaction(6)));
        assert!(!Visible::shows(&visible, &transaction(7)));
    }
}
