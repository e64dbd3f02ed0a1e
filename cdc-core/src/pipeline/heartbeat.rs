//! Heartbeats: records that come at an interval, whether the database changes or not.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::{Instant, sleep_until};

use crate::batch::Batch;
use crate::connect::heartbeat;
use crate::error::Result;
use crate::event::{ChangeEvent, Destination};
use crate::offset::Offset;
use crate::origin::Origin;

/// What the heartbeats of a pipeline are.
#[derive(Debug, Clone)]
pub(crate) struct HeartbeatSettings {
    pub(crate) interval: Duration,
    pub(crate) topic: Destination,
    pub(crate) server: String,
}

/// When the next one is due.
#[derive(Debug)]
pub(crate) struct Heartbeat {
    settings: Option<HeartbeatSettings>,
    due: Instant,
}

impl Heartbeat {
    pub(crate) fn new(settings: Option<HeartbeatSettings>) -> Self {
        let due = Instant::now() + settings.as_ref().map_or(Duration::ZERO, |set| set.interval);
        Heartbeat { settings, due }
    }

    /// Waits until one is due; for ever without heartbeats.
    pub(crate) async fn due(&self) {
        match self.settings {
            Some(_) => sleep_until(self.due).await,
            None => std::future::pending().await,
        }
    }

    /// The batch with the heartbeat that is due, at the offset that is reached. `None` before the stream has begun.
    ///
    /// A heartbeat belongs to no position of the log: after a commit in doubt one may be lost or come twice.
    pub(crate) fn beat(
        &mut self,
        streaming: bool,
        reached: Option<&Offset>,
    ) -> Result<Option<Batch>> {
        let Some(settings) = &self.settings else { return Ok(None) };
        self.due = Instant::now() + settings.interval;
        let Some(reached) = reached.filter(|_| streaming) else { return Ok(None) };
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        let (key, value) = heartbeat(&settings.server, now)?;
        let topic = settings.topic.clone();
        let event = ChangeEvent::new(topic, key, value, Origin::of_pipeline());
        Ok(Some(Batch::new(vec![event], reached.clone())))
    }
}
