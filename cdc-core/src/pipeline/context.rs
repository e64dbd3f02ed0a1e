//! What all tasks of a running pipeline share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::burying::Burial;
use super::handle::Control;
use super::retry::RetryPolicy;
use super::saving::SharedLedger;
use super::stop::StopSignal;
use crate::error::{Error, Result};
use crate::source::Positions;
use crate::status::Progress;

/// How long closing a connection may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What all tasks of a running pipeline share.
#[derive(Debug)]
pub(crate) struct RunContext {
    pub(crate) pipeline: Arc<str>,
    pub(crate) stop: Arc<StopSignal>,
    pub(crate) ledger: Arc<SharedLedger>,
    pub(crate) positions: Arc<dyn Positions>,
    pub(crate) progress: Progress,
    pub(crate) retry: RetryPolicy,
    pub(crate) control: Arc<Control>,
    /// Where events go that fail; `None` where they end the pipeline.
    pub(crate) burial: Option<Burial>,
}

impl RunContext {
    /// Notes the error that ends the pipeline, before its parts come down.
    pub(crate) fn fail(&self, error: &Error) {
        self.control.fail(error);
    }

    /// Closes something, but does not wait for ever: everything that counts is saved by then.
    pub(crate) async fn close_in_time(
        &self,
        what: &str,
        close: impl Future<Output = Result<()>>,
    ) -> Result<()> {
        match tokio::time::timeout(CLOSE_TIMEOUT, close).await {
            Ok(Err(error)) if !error.is_transient() => Err(error.context(what)),
            Ok(Err(error)) => {
                tracing::warn!(pipeline = &*self.pipeline, what, %error, "closing failed");
                Ok(())
            }
            Ok(Ok(())) => Ok(()),
            Err(_) => {
                let error = Error::transient("closing took too long");
                tracing::warn!(pipeline = &*self.pipeline, what, %error, "left open");
                Ok(())
            }
        }
    }
}
