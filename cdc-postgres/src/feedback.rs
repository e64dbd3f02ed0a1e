//! What was acknowledged, on its way to the server.

use cdc_core::{Acknowledge, Offset};
use tokio::sync::watch;

use crate::lsn::Lsn;
use crate::position::{Phase, Position};

/// The newest offset that is saved everywhere; `None` before the first.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged(watch::Sender<Option<Position>>);

/// Asks a reader to tell the server what is saved and to end.
#[derive(Debug, Clone)]
pub(crate) struct Stop(watch::Sender<bool>);

impl Stop {
    pub(crate) fn new() -> Self {
        Stop(watch::Sender::new(false))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<bool> {
        self.0.subscribe()
    }

    /// Asks, and waits until every reader has ended.
    pub(crate) async fn stop(&self) {
        self.0.send_replace(true);
        self.0.closed().await;
    }
}

impl Acknowledged {
    pub(crate) fn new() -> Self {
        Acknowledged(watch::Sender::new(None))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Option<Position>> {
        self.0.subscribe()
    }

    /// Waits until this position, or a later one, is saved.
    pub(crate) async fn wait_for(&self, wanted: &Position) {
        let mut changes = self.0.subscribe();
        // The sender lives in self, so waiting cannot fail.
        let _ =
            changes.wait_for(|saved| saved.as_ref().is_some_and(|saved| has(saved, wanted))).await;
    }
}

/// Whether a saved position holds what another says.
fn has(saved: &Position, wanted: &Position) -> bool {
    if saved.phase != wanted.phase {
        return saved.phase > wanted.phase;
    }
    saved.point() > wanted.point()
        || saved.point() == wanted.point()
            && wanted.joining.iter().all(|table| saved.joining.contains(table))
}

/// What the server may let go of.
pub(crate) fn confirmable(position: Option<&Position>) -> Lsn {
    match position {
        Some(position) if position.phase == Phase::Streaming => position.end,
        _ => Lsn::ZERO,
    }
}

impl Acknowledge for Acknowledged {
    fn acknowledge(&self, offset: &Offset) {
        let Ok(position) = Position::from_offset(offset) else {
            tracing::warn!(%offset, "an offset of another source was acknowledged; it is left out");
            return;
        };
        self.0.send_if_modified(|saved| {
            let older = saved.as_ref().is_some_and(|saved| {
                (saved.phase, saved.point()) > (position.phase, position.point())
            });
            if older || saved.as_ref() == Some(&position) {
                return false;
            }
            *saved = Some(position);
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::tests::streaming;

    #[test]
    fn an_older_acknowledgement_changes_nothing() {
        let acknowledged = Acknowledged::new();
        acknowledged.acknowledge(&streaming(200).to_offset());
        acknowledged.acknowledge(&streaming(100).to_offset());
        assert_eq!(confirmable(acknowledged.subscribe().borrow().as_ref()), Lsn(200));
    }

    #[test]
    fn nothing_is_confirmed_while_the_copy_is_made() {
        let acknowledged = Acknowledged::new();
        let mut position = streaming(200);
        position.phase = Phase::Snapshot;
        acknowledged.acknowledge(&position.to_offset());
        assert_eq!(confirmable(acknowledged.subscribe().borrow().as_ref()), Lsn::ZERO);
    }

    #[tokio::test]
    async fn waiting_ends_with_the_position_or_a_later_one() {
        let acknowledged = Acknowledged::new();
        let mut intent = streaming(0);
        intent.phase = Phase::Intent;
        acknowledged.acknowledge(&streaming(5).to_offset());
        acknowledged.wait_for(&intent).await;
    }
}
