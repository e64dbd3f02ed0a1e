//! The transactions that a read shows, for the merge: `pg_current_snapshot()`, which is exact.

use cdc_core::snapshot::Visible;
use cdc_core::{TransactionId, TransactionOrigin};

use crate::lsn::Lsn;
pub(crate) use crate::snapshot::visible::Visible as PgVisible;

/// Transactions that have not ended: their ids, of 64 bits, in no order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Barrier {
    /// Those that may stand in the log without being visible.
    pub(crate) perhaps_logged: Vec<u64>,
    /// Those whose commit is surely not in the log yet.
    pub(crate) open: Vec<u64>,
}

impl Barrier {
    fn retain(&mut self, keep: impl Fn(u64) -> bool) -> bool {
        self.perhaps_logged.retain(|xid| keep(*xid));
        self.open.retain(|xid| keep(*xid));
        self.perhaps_logged.is_empty() && self.open.is_empty()
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

    fn of_streamed(barrier: &Barrier) -> Barrier {
        Barrier { open: Vec::new(), ..barrier.clone() }
    }

    fn clears(&self, barrier: &mut Barrier) -> bool {
        barrier.retain(|xid| !self.has_ended(xid))
    }

    /// The log has the low 32 bits of an id, which are its own among all that are open at a time.
    fn came_by(barrier: &mut Barrier, transaction: &TransactionOrigin) -> bool {
        let came = xid_of(transaction).map(u64::from);
        barrier.retain(|xid| Some(xid & 0xffff_ffff) != came)
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
        let mut barrier =
            Barrier { perhaps_logged: vec![epoch - 1, epoch + 5], open: vec![epoch + 9] };
        let visible: PgVisible = format!("{}:{}:", epoch + 5, epoch + 5).parse().unwrap();
        assert!(!visible.clears(&mut barrier));
        assert_eq!(
            (&*barrier.perhaps_logged, &*barrier.open),
            ([epoch + 5].as_slice(), [epoch + 9].as_slice())
        );
        assert!(!PgVisible::came_by(&mut barrier, &transaction(9)));
        assert!(PgVisible::came_by(&mut barrier, &transaction(5)));
        let open = Barrier { perhaps_logged: Vec::new(), open: vec![epoch + 9] };
        assert_eq!(PgVisible::of_streamed(&open), Barrier::default());
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
