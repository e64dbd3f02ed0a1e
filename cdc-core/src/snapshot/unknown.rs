//! Transactions that no read may lack, because what they did is not remembered.

use std::sync::Arc;

use super::visible::Visible;
use crate::origin::TransactionOrigin;

/// While there is one, no read of the table begins. What is cleared stays so: a visible set that is taken later shows
/// whatever an earlier one did.
#[derive(Debug)]
pub(super) struct Unknown<V: Visible> {
    past: Past<V>,
    /// Streamed transactions that are not remembered (any more).
    transactions: Vec<Arc<TransactionOrigin>>,
}

/// What stands in the log before the stretch that is remembered.
#[derive(Debug)]
enum Past<V: Visible> {
    /// Nothing that a read may lack.
    Known,
    /// The source has to be asked. Transactions that came by in the meantime are not unknown.
    Ask(Asking),
    /// The source was asked, under this number.
    Asked(u64, Asking),
    /// What has to be visible before anything is read.
    Barrier(V::Barrier),
    /// Nothing is remembered.
    Forgotten,
}

type Asking = Vec<Arc<TransactionOrigin>>;

impl<V: Visible> Unknown<V> {
    /// Nothing is unknown: reads show exactly what stands before the position where the stream begins.
    pub(super) fn nothing() -> Self {
        Unknown { past: Past::Known, transactions: Vec::new() }
    }

    /// All that stands in the log up to now, the transaction in the middle of which the stream is included.
    pub(super) fn up_to_now(open: Option<&Arc<TransactionOrigin>>) -> Self {
        Unknown {
            past: Past::Ask(Vec::new()),
            transactions: open.into_iter().map(Arc::clone).collect(),
        }
    }

    /// Nothing is remembered until further notice.
    pub(super) fn everything() -> Self {
        Unknown { past: Past::Forgotten, transactions: Vec::new() }
    }

    pub(super) fn is_nothing(&self) -> bool {
        matches!(self.past, Past::Known) && self.transactions.is_empty()
    }

    /// Whether changes are remembered from here on.
    pub(super) fn is_remembering(&self) -> bool {
        !matches!(self.past, Past::Forgotten)
    }

    /// How many transactions are waited for, beside a barrier.
    pub(super) fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether the source has to be asked for a barrier.
    pub(super) fn wants_barrier(&self) -> bool {
        matches!(self.past, Past::Ask(_))
    }

    /// Whether a visible set can clear something.
    pub(super) fn wants_visible(&self) -> bool {
        matches!(self.past, Past::Barrier(_))
            || (matches!(self.past, Past::Known) && !self.transactions.is_empty())
    }

    pub(super) fn asked(&mut self, number: u64) {
        if let Past::Ask(came_by) = &mut self.past {
            self.past = Past::Asked(number, std::mem::take(came_by));
        }
    }

    /// The source did not answer.
    pub(super) fn not_answered(&mut self, number: u64) {
        if let Past::Asked(asked, came_by) = &mut self.past
            && *asked == number
        {
            self.past = Past::Ask(std::mem::take(came_by));
        }
    }

    pub(super) fn answered(&mut self, number: u64, mut barrier: V::Barrier) {
        if let Past::Asked(asked, came_by) = &self.past
            && *asked == number
        {
            for transaction in came_by {
                V::came_by(&mut barrier, transaction);
            }
            self.past = Past::Barrier(barrier);
        }
    }

    /// A transaction begins to come by in the stream and is remembered.
    pub(super) fn came_by(&mut self, transaction: &Arc<TransactionOrigin>) {
        match &mut self.past {
            Past::Ask(came_by) | Past::Asked(_, came_by) => came_by.push(Arc::clone(transaction)),
            Past::Barrier(barrier) => {
                if V::came_by(barrier, transaction) {
                    self.past = Past::Known;
                }
            }
            Past::Known | Past::Forgotten => {}
        }
    }

    /// The source shows this by now.
    pub(super) fn shown(&mut self, visible: &V) {
        if let Past::Barrier(barrier) = &mut self.past
            && visible.clears(barrier)
        {
            self.past = Past::Known;
        }
        self.transactions.retain(|transaction| !visible.shows(transaction));
    }

    /// These are not remembered any more.
    pub(super) fn add(&mut self, transactions: Vec<Arc<TransactionOrigin>>) {
        self.transactions.extend(transactions);
    }
}
