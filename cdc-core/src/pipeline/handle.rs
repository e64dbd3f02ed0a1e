//! The handle to a running pipeline.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::reader::Command;
use super::saving::{SharedLedger, request_lost};
use super::stop::{Stage, StopSignal};
use crate::error::{Error, Result};
use crate::request::{Answer, Request};
use crate::status::{Progress, Status};

/// What a pipeline and its handle share.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) stop: Arc<StopSignal>,
    pub(crate) progress: Progress,
    pub(crate) ledger: Arc<SharedLedger>,
    pub(crate) paused: watch::Sender<bool>,
    pub(crate) commands: mpsc::Sender<Command>,
    failure: Mutex<Option<Error>>,
}

/// Requests that wait for the reader.
const COMMANDS: usize = 16;

impl Control {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let control = Control {
            stop: Arc::new(StopSignal::new()),
            progress: Progress::default(),
            ledger: Arc::default(),
            paused: watch::Sender::new(false),
            commands,
            failure: Mutex::default(),
        };
        (control, receiver)
    }

    /// Notes the first error that ends the pipeline.
    pub(crate) fn fail(&self, error: &Error) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert_with(|| error.duplicate());
    }

    /// The error that ended the pipeline.
    pub(crate) fn failure(&self) -> Option<Error> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.as_ref().map(Error::duplicate)
    }
}

/// The handle to a pipeline that [runs in a task](super::Pipeline::spawn).
///
/// Dropping it leaves the pipeline running.
#[derive(Debug)]
pub struct Handle {
    control: Arc<Control>,
    task: JoinHandle<Result<()>>,
    ended: Option<Result<(), Error>>,
}

impl Handle {
    pub(super) fn new(control: Arc<Control>, task: JoinHandle<Result<()>>) -> Self {
        Handle { control, task, ended: None }
    }

    /// What the pipeline does now: phase, counters, lag, and the state of every sink.
    pub fn status(&self) -> Status {
        self.control.progress.status()
    }

    /// Reads no more until [`Handle::resume`]; what was read is still written and saved.
    pub fn pause(&self) {
        self.control.paused.send_replace(true);
    }

    /// Reads again.
    pub fn resume(&self) {
        self.control.paused.send_replace(false);
    }

    /// Asks the source for something; answered when an offset that holds the request is saved, so that it survives a
    /// restart.
    ///
    /// # Errors
    /// The source's refusal, which names the request; [`Cancelled`](crate::ErrorKind::Cancelled) when the pipeline ends, or
    /// the source loses its connection, before it is saved.
    pub async fn request(&self, request: Request) -> Result<()> {
        let (answer, answered) = Answer::new();
        self.control.commands.send((request, answer)).await.map_err(|_| request_lost())?;
        answered.await.map_err(|_| request_lost())?
    }

    /// Begins a graceful stop: reads no more, writes what was read, saves, closes. [`Handle::wait`] for its end.
    pub fn stop(&self) {
        self.control.stop.raise(Stage::Stopping);
    }

    /// Ends at once. What was not saved comes again at the next start. The pipeline's result is then an error of kind
    /// [`Cancelled`](crate::ErrorKind::Cancelled).
    pub fn abort(&self) {
        self.control.stop.raise(Stage::Aborting);
    }

    /// Waits until the pipeline has ended. Cancel-safe, and can be called again.
    ///
    /// # Errors
    /// As [`Pipeline::run`](super::Pipeline::run).
    pub async fn wait(&mut self) -> Result<()> {
        if self.ended.is_none() {
            self.ended = Some(match (&mut self.task).await {
                Ok(result) => result,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Err(Error::cancelled("the runtime of the pipeline was shut down")),
            });
        }
        match &self.ended {
            Some(Err(error)) => Err(error.duplicate()),
            _ => Ok(()),
        }
    }

    /// Waits until the pipeline has ended.
    ///
    /// # Errors
    /// As [`Pipeline::run`](super::Pipeline::run).
    pub async fn join(mut self) -> Result<()> {
        self.wait().await
    }
}
