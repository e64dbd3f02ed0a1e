//! What a stage is: it completes events by asking a server, before any transform.

use async_trait::async_trait;

use crate::error::{Error, Result};
use crate::event::ChangeEvent;

/// Completes events with what the source did not send: it may ask the source's database, or a service.
///
/// Stages run one after another between source and common chain ([`PipelineBuilder::stage`]), with a whole batch at a time, so
/// that one question can serve many events. Everything behind them, transforms, sinks and dead letters, sees what they
/// put in. What needs no answer from anybody is a [`Transform`].
///
/// ```
/// use async_trait::async_trait;
/// use cdc_core::{ChangeEvent, Error, Result, Stage};
///
/// /// Asks a service for the time zone of each event's customer.
/// struct Zones;
///
/// #[async_trait]
/// impl Stage for Zones {
///     fn name(&self) -> &str {
///         "zones"
///     }
///
///     async fn apply(&mut self, events: &mut [ChangeEvent]) -> Result<Vec<(usize, Error)>> {
///         // One request for all of them, then each gets its part.
///         for event in events {
///             event.timestamp_ms = Some(0);
///         }
///         Ok(Vec::new())
///     }
/// }
/// ```
///
/// [`PipelineBuilder::stage`]: crate::PipelineBuilder::stage
/// [`Transform`]: crate::Transform
#[async_trait]
pub trait Stage: Send {
    /// A name for errors, status and dead letters.
    fn name(&self) -> &str;

    /// Changes the events of a batch in their places, and tells those that failed: their places, each with its error, of the
    /// kind [`Data`](crate::ErrorKind::Data). They become dead letters, or the first of them ends the pipeline, which adds
    /// the name and where the event came from.
    ///
    /// After a transient error it is called again with the same events, some of which may be changed already. The future may
    /// be dropped, when the pipeline stops: the events come again at the next start.
    ///
    /// # Errors
    /// [`Transient`](crate::ErrorKind::Transient) when it may work later, as it is tried until then. Any other kind ends the
    /// pipeline.
    async fn apply(&mut self, events: &mut [ChangeEvent]) -> Result<Vec<(usize, Error)>>;
}

#[async_trait]
impl<S: Stage + ?Sized> Stage for Box<S> {
    fn name(&self) -> &str {
        (**self).name()
    }
    async fn apply(&mut self, events: &mut [ChangeEvent]) -> Result<Vec<(usize, Error)>> {
        (**self).apply(events).await
    }
}
