//! The stages of a pipeline: they complete the events of a batch before the common chain.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::burying::{Failed, is_tolerated};
use super::context::RunContext;
use super::retry::Backoff;
use crate::dead_letter::Stage as FailedStage;
use crate::error::{Error, Result};
use crate::event::ChangeEvent;
use crate::stage::Stage;

/// Stages in order.
#[derive(Default)]
pub(crate) struct Stages(Vec<Box<dyn Stage>>);

impl Stages {
    pub(crate) fn push(&mut self, stage: Box<dyn Stage>) {
        self.0.push(stage);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends events through all stages, and leaves out those that fail where they may. Their places stay as they were
    /// numbered. A transient error is waited out.
    ///
    /// # Errors
    /// That of a stage, or of the first event that fails where there is no place for it, with the name of the stage.
    pub(crate) async fn apply(
        &mut self,
        mut events: Vec<ChangeEvent>,
        context: &RunContext,
        failed: &mut Vec<Failed>,
    ) -> Result<Vec<ChangeEvent>> {
        for stage in &mut self.0 {
            let of_stage = ask(&mut **stage, &mut events, context).await?;
            if of_stage.is_empty() {
                continue;
            }
            let mut of_stage: BTreeMap<usize, Error> = of_stage.into_iter().collect();
            let name: Arc<str> = stage.name().into();
            let mut left = Vec::with_capacity(events.len());
            for (place, event) in events.into_iter().enumerate() {
                let Some(error) = of_stage.remove(&place) else {
                    left.push(event);
                    continue;
                };
                let origin = event.origin().clone();
                let error = error.context(&origin).context(format_args!("stage {name}"));
                if context.burial.is_none() || !is_tolerated(&error) {
                    return Err(error);
                }
                let transform = Some(Arc::clone(&name));
                failed.push(Failed { origin, stage: FailedStage::Lookup, transform, error });
            }
            events = left;
        }
        failed.sort_by_key(|failed| failed.origin.place);
        Ok(events)
    }
}

/// Asks until it can be answered.
async fn ask(
    stage: &mut dyn Stage,
    events: &mut [ChangeEvent],
    context: &RunContext,
) -> Result<Vec<(usize, Error)>> {
    let mut backoff = Backoff::new(context.retry);
    loop {
        match stage.apply(events).await {
            Ok(failed) => {
                if backoff.reset() {
                    context.progress.set_error(None);
                }
                return Ok(failed);
            }
            Err(error) => {
                let error = error.context(format_args!("stage {}", stage.name()));
                if !error.is_transient() {
                    return Err(error);
                }
                tracing::warn!(pipeline = &*context.pipeline, %error, "trying again");
                context.progress.set_error(Some(error.to_string()));
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|stage| stage.name().to_owned())).finish()
    }
}
