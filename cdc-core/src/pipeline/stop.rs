//! How a pipeline is told to end, and how far that has gone.

use std::time::Duration;

use tokio::sync::watch;

/// How a pipeline ends. Later stages win over earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Running,
    /// Read no more, write what was read, save, close.
    Stopping,
    /// Something failed for good: write no more, close.
    Failing,
    /// End at once, closing nothing.
    Aborting,
}

/// The stage, seen by all parts of a pipeline.
#[derive(Debug)]
pub(crate) struct StopSignal(watch::Sender<Stage>);

impl StopSignal {
    pub(crate) fn new() -> Self {
        StopSignal(watch::Sender::new(Stage::Running))
    }

    /// Goes on to a later stage; an earlier one changes nothing.
    pub(crate) fn raise(&self, stage: Stage) {
        self.0.send_if_modified(|current| {
            let later = stage > *current;
            if later {
                *current = stage;
            }
            later
        });
    }

    pub(crate) fn is(&self, stage: Stage) -> bool {
        *self.0.borrow() >= stage
    }

    /// Ends when the stage, or a later one, is reached.
    pub(crate) async fn reached(&self, stage: Stage) {
        // The sender is `self`, so the channel cannot close here.
        let _ = self.0.subscribe().wait_for(|current| *current >= stage).await;
    }

    /// Sleeps; `false` when the pipeline was told to stop before the time was over.
    pub(crate) async fn sleep(&self, wait: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.reached(Stage::Stopping) => false,
        }
    }
}
