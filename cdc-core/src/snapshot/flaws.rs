//! Mistakes that the tests of the merge make on purpose, to see that they would be noticed.

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// What was streamed before a read began is taken as reflected by it.
    ForgetAtOpening,
    /// A change that lacks columns takes the row out of the chunk.
    DropInsteadOfFold,
    /// Any change that came by while the chunk was read takes the row out, whether the read reflects it or not.
    DropAnyKey,
    /// A row that gets another key inside a chunk keeps the columns that were read.
    #[cfg(test)]
    CarryColumns,
    /// Changes that the read does not surely reflect are folded even where a newer one of the key is reflected.
    NoUndo,
    /// A transaction is forgotten once any read shows it.
    ReleaseWhatAnyReadShows,
    /// A key that has to be read is taken as read when a complete change of it comes by.
    ChangesSettleKeys,
    /// A key change from a chunk that is not read yet is trusted.
    TrustEveryMove,
    /// A table that is new in the stream is read although it may lack what was done to it before.
    StreamHasAll,
    /// Rows without a key are given although a change may be in them already.
    RowsWithoutKeyTwice,
}

#[cfg(not(test))]
pub(super) const fn has_flaw(_: Flaw) -> bool {
    false
}

#[cfg(test)]
pub(super) use switched::{has_flaw, with_flaw};

#[cfg(test)]
mod switched {
    use std::cell::Cell;

    use super::Flaw;

    thread_local! {
        static FLAW: Cell<Option<Flaw>> = const { Cell::new(None) };
    }

    pub(in super::super) fn has_flaw(flaw: Flaw) -> bool {
        FLAW.with(|set| set.get() == Some(flaw))
    }

    /// Runs something with a rule left out, on this thread.
    pub(in super::super) fn with_flaw<T>(flaw: Option<Flaw>, run: impl FnOnce() -> T) -> T {
        FLAW.with(|set| set.set(flaw));
        let result = run();
        FLAW.with(|set| set.set(None));
        result
    }
}
