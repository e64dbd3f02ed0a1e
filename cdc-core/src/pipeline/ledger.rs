//! What is durable and what is saved in every sink, and so what the source may release.
//!
//! A state machine without a clock or a task. All sinks of a run see the same batches under the same numbers, so what
//! is saved everywhere is the lowest number that any sink has saved.

use crate::offset::Offset;
use crate::offset_store::SinkOffsets;

/// The state of all sinks.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sinks: Vec<Entry>,
    /// The newest batch whose offset is to be saved at once.
    urgent: u64,
    released: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    name: String,
    /// The sink commits its offset with the data: what is durable in it is saved.
    keeps_offset: bool,
    /// The sink's own offset; it may be past the batches of this run while another sink catches up.
    own: Option<Offset>,
    durable: Reached,
    saved: Reached,
    /// The own offset that the store has.
    stored: Option<Offset>,
}

/// A batch, and the offset that its end is.
#[derive(Debug, Clone, Default)]
struct Reached {
    sequence: u64,
    offset: Option<Offset>,
}

/// Offsets to be written to a store, and what is saved once they are.
#[derive(Debug)]
pub(crate) struct SavePoint {
    pub(crate) offsets: SinkOffsets,
    reached: Vec<Reached>,
}

impl Ledger {
    /// Adds a sink with what it had at the start.
    pub(crate) fn add_sink(
        &mut self,
        name: &str,
        keeps_offset: bool,
        own: Option<Offset>,
        stored: Option<Offset>,
    ) {
        self.sinks.push(Entry {
            name: name.to_owned(),
            keeps_offset,
            own,
            durable: Reached::default(),
            saved: Reached::default(),
            stored,
        });
    }

    /// The offset of this batch, or an earlier one, is to be saved at once when it is durable.
    pub(crate) fn hurry(&mut self, sequence: u64) {
        self.urgent = self.urgent.max(sequence);
    }

    /// All up to the end of a batch is durable in a sink. `own` is the sink's offset now.
    pub(crate) fn durable(&mut self, sink: usize, sequence: u64, end: &Offset, own: &Offset) {
        let Some(entry) = self.sinks.get_mut(sink) else { return };
        if sequence <= entry.durable.sequence {
            return;
        }
        entry.durable = Reached { sequence, offset: Some(end.clone()) };
        entry.own = Some(own.clone());
        if entry.keeps_offset {
            entry.saved = entry.durable.clone();
        }
    }

    /// A sink is done with a part of the batch that follows what is durable in it.
    pub(crate) fn durable_part(&mut self, sink: usize, own: Offset) {
        if let Some(entry) = self.sinks.get_mut(sink) {
            entry.own = Some(own);
        }
    }

    /// Whether a store would learn something new.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.sinks
            .iter()
            .any(|entry| entry.own != entry.stored || entry.saved.sequence < entry.durable.sequence)
    }

    /// Whether that is to happen at once.
    pub(crate) fn is_urgent(&self) -> bool {
        self.sinks
            .iter()
            .any(|entry| entry.saved.sequence < self.urgent.min(entry.durable.sequence))
    }

    /// What a store is to be told now.
    pub(crate) fn save_point(&self) -> SavePoint {
        let own = |entry: &Entry| Some((entry.name.clone(), entry.own.clone()?));
        SavePoint {
            offsets: self.sinks.iter().filter_map(own).collect(),
            reached: self.sinks.iter().map(|entry| entry.durable.clone()).collect(),
        }
    }

    /// The store has it, durably.
    pub(crate) fn saved(&mut self, point: SavePoint) {
        for (entry, reached) in self.sinks.iter_mut().zip(point.reached) {
            entry.stored = point.offsets.get(&entry.name).cloned();
            if reached.sequence > entry.saved.sequence {
                entry.saved = reached;
            }
        }
    }

    /// The batch up to which all is durable in every sink, and its offset.
    pub(crate) fn durable_everywhere(&self) -> Option<(u64, &Offset)> {
        Self::lowest(self.sinks.iter().map(|entry| &entry.durable))
    }

    /// The batch up to which all is saved in every sink.
    pub(crate) fn saved_everywhere(&self) -> u64 {
        self.released
    }

    /// What the source may release now, where that is more than before.
    pub(crate) fn release(&mut self) -> Option<Offset> {
        let (sequence, offset) = Self::lowest(self.sinks.iter().map(|entry| &entry.saved))?;
        if sequence <= self.released {
            return None;
        }
        let offset = offset.clone();
        self.released = sequence;
        Some(offset)
    }

    fn lowest<'a>(reached: impl Iterator<Item = &'a Reached>) -> Option<(u64, &'a Offset)> {
        let lowest = reached.min_by_key(|reached| reached.sequence)?;
        Some((lowest.sequence, lowest.offset.as_ref()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(position: u64) -> Offset {
        format!("{{\"at\":{position}}}").parse().unwrap()
    }

    fn position(offset: &Offset) -> u64 {
        offset.get("at").and_then(serde_json::Value::as_u64).unwrap()
    }

    fn ledger(sinks: &[bool]) -> Ledger {
        let mut ledger = Ledger::default();
        for (index, keeps_offset) in sinks.iter().enumerate() {
            ledger.add_sink(&format!("sink-{index}"), *keeps_offset, None, None);
        }
        ledger
    }

    #[test]
    fn nothing_is_released_before_it_is_saved() {
        let mut ledger = ledger(&[false]);
        ledger.durable(0, 1, &at(10), &at(10));
        assert_eq!(ledger.release(), None);
        let point = ledger.save_point();
        ledger.durable(0, 2, &at(20), &at(20));
        ledger.saved(point);
        assert_eq!(ledger.release(), Some(at(10)));
        assert!(ledger.is_unsaved());
    }

    #[test]
    fn the_slowest_sink_decides() {
        let mut ledger = ledger(&[true, true]);
        ledger.durable(0, 1, &at(10), &at(10));
        ledger.durable(0, 2, &at(20), &at(20));
        assert_eq!(ledger.release(), None);
        ledger.durable(1, 1, &at(10), &at(10));
        assert_eq!(ledger.release(), Some(at(10)));
        assert_eq!(ledger.release(), None);
    }

    #[test]
    fn a_sink_that_is_ahead_keeps_its_own_offset_while_another_catches_up() {
        let mut ledger = Ledger::default();
        ledger.add_sink("ahead", false, Some(at(100)), Some(at(100)));
        ledger.add_sink("behind", false, Some(at(50)), Some(at(50)));
        for sink in 0..2 {
            ledger.durable(sink, 1, &at(60), &at(if sink == 0 { 100 } else { 60 }));
        }
        let point = ledger.save_point();
        assert_eq!(point.offsets.get("ahead"), Some(&at(100)));
        ledger.saved(point);
        assert_eq!(ledger.release(), Some(at(60)));
    }

    #[test]
    fn urgent_is_what_is_durable_and_not_yet_saved() {
        let mut ledger = ledger(&[false]);
        ledger.hurry(2);
        ledger.durable(0, 1, &at(10), &at(10));
        assert!(ledger.is_urgent());
        ledger.saved(ledger.save_point());
        assert!(!ledger.is_urgent());
        ledger.durable(0, 2, &at(20), &at(20));
        assert!(ledger.is_urgent());
        ledger.saved(ledger.save_point());
        ledger.durable(0, 3, &at(30), &at(30));
        assert!(!ledger.is_urgent());
    }

    proptest! {
        /// Batches become durable per sink in order, saves capture a state and end later or never; in every
        /// interleaving the source is told no offset that any sink could not resume from, and only rising ones.
        #[test]
        fn no_interleaving_releases_what_a_restart_would_need(
            sinks in prop::collection::vec(any::<bool>(), 1..4),
            steps in prop::collection::vec((0u8..4, 0usize..4), 1..300),
        ) {
            let mut ledger = ledger(&sinks);
            let mut durable = vec![0u64; sinks.len()];
            let mut store = vec![0u64; sinks.len()];
            let mut saving: Option<SavePoint> = None;
            let mut released = 0;
            for (step, pick) in steps {
                let sink = pick % sinks.len();
                match step {
                    0 => {
                        durable[sink] += 1;
                        let offset = at(durable[sink] * 10);
                        ledger.durable(sink, durable[sink], &offset, &offset);
                    }
                    1 => saving = Some(ledger.save_point()),
                    2 => if let Some(point) = saving.take() {
                        for (index, saved) in store.iter_mut().enumerate() {
                            if let Some(offset) = point.offsets.get(&format!("sink-{index}")) {
                                *saved = position(offset);
                            }
                        }
                        ledger.saved(point);
                    },
                    _ => {
                        let offset = ledger.release();
                        // Where a restart would resume each sink: its own offset, else the store's.
                        let restart = sinks.iter().enumerate()
                            .map(|(index, own)| if *own { durable[index] * 10 } else { store[index] })
                            .min().unwrap();
                        if let Some(offset) = offset {
                            prop_assert!(position(&offset) > released);
                            released = position(&offset);
                        }
                        prop_assert!(released <= restart);
                    }
                }
            }
        }
    }
}
