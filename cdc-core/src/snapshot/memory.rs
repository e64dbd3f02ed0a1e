//! Streamed transactions that a read may not reflect yet.

use std::collections::VecDeque;
use std::sync::Arc;

use super::effect::Effect;
use super::flaws::{Flaw, has_flaw};
use super::visible::Visible;
use crate::origin::TransactionOrigin;

/// The transaction in the middle of which the stream is.
#[derive(Debug, Clone)]
pub(super) struct Open<P> {
    pub(super) transaction: Arc<TransactionOrigin>,
    /// Its commit is behind this place of the log.
    pub(super) behind: P,
    /// Reads from this number on reflect it.
    pub(super) shown_from: Option<u64>,
}

/// What one transaction did to the table.
#[derive(Debug)]
pub(super) struct Kept<P> {
    pub(super) transaction: Arc<TransactionOrigin>,
    /// Its commit is behind this place of the log.
    pub(super) behind: P,
    pub(super) effects: Vec<Effect>,
    bytes: usize,
    /// Reads from this number on reflect it, because the source has shown it before they began.
    shown_from: Option<u64>,
}

/// A read in flight, as far as the memory needs to know it.
#[derive(Debug, Clone, Copy)]
pub(super) struct InFlight<'a, V> {
    pub(super) number: u64,
    /// What it reflects, once that is known.
    pub(super) visible: Option<&'a V>,
}

/// The transactions of the stream that some read, in flight or to come, may not reflect; in log order.
#[derive(Debug)]
pub(super) struct Memory<V: Visible> {
    kept: VecDeque<Kept<V::Position>>,
    bytes: usize,
}

impl<V: Visible> Memory<V> {
    pub(super) fn new() -> Self {
        Memory { kept: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn kept(&self) -> impl Iterator<Item = &Kept<V::Position>> {
        self.kept.iter()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Remembers an effect of the transaction that is being streamed.
    pub(super) fn push(
        &mut self,
        open: &Open<V::Position>,
        effect: Effect,
        reads: &[InFlight<'_, V>],
    ) {
        let bytes = effect.size();
        if let Some(last) = self.kept.back_mut()
            && Arc::ptr_eq(&last.transaction, &open.transaction)
        {
            last.effects.push(effect);
            last.bytes += bytes;
        } else {
            let kept = Kept {
                transaction: Arc::clone(&open.transaction),
                behind: open.behind,
                effects: vec![effect],
                bytes,
                shown_from: open.shown_from,
            };
            // Most transactions of a quiet stretch are shown by the newest visible set when they come by.
            if (V::EXACT || self.kept.is_empty()) && !kept.is_needed(reads) {
                return;
            }
            self.kept.push_back(kept);
        }
        self.bytes += bytes;
    }

    /// The source shows these transactions by now, and so will every read from number `next` on.
    pub(super) fn shown(&mut self, visible: &V, next: u64) {
        for kept in &mut self.kept {
            if kept.shown_from.is_none() && visible.shows(&kept.transaction) {
                kept.shown_from = Some(next);
            }
        }
    }

    /// Forgets what every read in flight and to come reflects.
    pub(super) fn release(&mut self, reads: &[InFlight<'_, V>]) {
        if V::EXACT {
            self.kept.retain(|kept| kept.is_needed(reads));
        } else {
            // A visible set that is a subset may show a transaction and not an older one of the same key, which is undone
            // by the newer: so that stays as long as anything older does.
            while self.kept.front().is_some_and(|kept| !kept.is_needed(reads)) {
                self.kept.pop_front();
            }
        }
        self.bytes = self.kept.iter().map(|kept| kept.bytes).sum();
    }

    /// Forgets everything, and tells of which transactions it was.
    pub(super) fn forget(&mut self) -> Vec<Arc<TransactionOrigin>> {
        self.bytes = 0;
        self.kept.drain(..).map(|kept| kept.transaction).collect()
    }
}

impl<P> Kept<P> {
    fn is_needed<V: Visible>(&self, reads: &[InFlight<'_, V>]) -> bool {
        let Some(from) = self.shown_from else { return true };
        if has_flaw(Flaw::ReleaseWhatAnyReadShows) {
            return false;
        }
        // A read that began before the source was seen to show the transaction may not reflect it, in whatever order
        // the answers arrive.
        reads.iter().any(|read| {
            read.number < from
                && read.visible.is_none_or(|visible| !visible.shows(&self.transaction))
        })
    }
}
