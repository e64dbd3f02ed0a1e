//! Dead letters: events that fail, kept instead of stopping the pipeline, and read again later.
//!
//! With [`PipelineBuilder::dead_letters`](crate::PipelineBuilder::dead_letters) (Connect's `errors.tolerance=all`) an event
//! on which a transform fails, or which a sink does not take, becomes a [`DeadLetter`]: which step failed and why, and the
//! event as the source gave it, before any transform. The pipeline goes on with the events behind it. Only
//! [data errors](crate::ErrorKind::Data) are tolerated; a lost connection is still retried, and a wrong setting or another
//! instance still ends the pipeline.
//!
//! What is promised:
//!
//! - An event goes through a chain whole or not at all: where a transform fails on one of the records that were made of
//!   it, none of them reaches the sink.
//! - One letter for each event and sink; an event that fails in the common chain has one letter, which names no sink. The
//!   order of the other events stays as it was.
//! - A letter is durable before the offset behind its event is saved. So after a kill or a stop in between, the event comes
//!   again and may be there twice; it is never lost. A transactional sink says what it does not take
//!   [before](crate::TransactionalSink::find_rejected) it commits, and what it commits is still exactly-once.
//! - A constraint that a target checks at the commit alone (`DEFERRABLE INITIALLY DEFERRED`) fails for no single event: such
//!   an error still ends the pipeline.
//! - A later update of a row whose insert became a letter, and which carries no value of its large columns, changes a row that
//!   is not there: nothing happens in a SQL target, and there is no second letter. A replay brings the row as it was in the letter.
//!   Where that is not enough, read the table again.
//! - A full disk under [`FileDeadLetters`] ends the pipeline with an error that says so. Nothing is lost: the event comes
//!   again at the next start.
//!
//! [`DeadLetterSource`] reads the letters into a pipeline again, once the reason is mended. A letter holds the row as it was
//! then: where a later change of the same row has landed since, the replay brings the older one back. Replay before that
//! happens, or into a sink of its own.
//!
//! ```
//! use cdc_core::dead_letter::{DeadLetterSource, FileDeadLetters};
//! use cdc_core::{Change, Pipeline};
//!
//! # use cdc_core::testkit::{MemoryLog, MemoryTarget, shop};
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! # let folder = std::env::temp_dir().join(format!("cdc-letters-doc-{}", std::process::id()));
//! # let log = MemoryLog::new([shop::orders()]);
//! # log.commit([Change::create(shop::order(1, "pen")), Change::create(shop::order(2, "ink"))]);
//! # let source = log.source();
//! # let target = MemoryTarget::new();
//! # target.refuse(|event| event.after().is_some_and(|row| *row == shop::order(1, "pen")));
//! # let sink = target.transactional("shop");
//! Pipeline::builder("shop-copy", source)
//!     .sink(sink)
//!     .dead_letters(FileDeadLetters::open(&folder)?)
//! #   .until_caught_up()
//!     .build()?
//!     .run()
//!     .await?;
//! # assert_eq!(target.rows("public.orders"), [shop::order(2, "ink")]);
//! # target.refuse(|_| false);
//! # let sink = target.transactional("shop");
//!
//! // Later, when the target takes them:
//! Pipeline::builder("shop-copy-again", DeadLetterSource::open(&folder)?)
//!     .sink(sink)
//!     .build()?
//!     .run()
//!     .await?;
//! # assert_eq!(target.rows("public.orders").len(), 2);
//! # std::fs::remove_dir_all(&folder).ok();
//! # Ok::<(), cdc_core::Error>(()) }).unwrap();
//! ```

mod event_json;
mod file;
mod folder;
mod record;
mod schema_json;
mod source;
mod value_json;

use std::sync::Arc;

use async_trait::async_trait;

pub use file::{FileDeadLetters, FileDeadLettersBuilder};
pub use record::{DeadLetter, DeadLetterError, Stage};
pub use source::DeadLetterSource;

use crate::error::Result;

/// Keeps dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// Becomes the only writer of the pipeline's letters. The default does nothing.
    ///
    /// # Errors
    /// [`Fenced`](crate::ErrorKind::Fenced), saying who, while another writer holds them.
    async fn open(&self, pipeline: &str) -> Result<()> {
        let _ = pipeline;
        Ok(())
    }

    /// Becomes the only writer though another instance may still hold the letters: the sinks have fenced that instance. The
    /// default is [`open`](DeadLetters::open).
    ///
    /// # Errors
    /// As [`open`](DeadLetters::open).
    async fn take_over(&self, pipeline: &str) -> Result<()> {
        self.open(pipeline).await
    }

    /// Adds letters after the others, all of one pipeline; durable when it returns.
    ///
    /// # Errors
    /// [`Transient`](crate::ErrorKind::Transient) when it may work later: it is tried again, and may then be there twice. Any
    /// other kind ends the pipeline, and the events come again at the next start.
    async fn write(&self, letters: &[DeadLetter]) -> Result<()>;

    /// Lets another writer in. The default does nothing.
    async fn close(&self, pipeline: &str) -> Result<()> {
        let _ = pipeline;
        Ok(())
    }
}

#[async_trait]
impl<D: DeadLetters + ?Sized> DeadLetters for Arc<D> {
    async fn open(&self, pipeline: &str) -> Result<()> {
        (**self).open(pipeline).await
    }
    async fn take_over(&self, pipeline: &str) -> Result<()> {
        (**self).take_over(pipeline).await
    }
    async fn write(&self, letters: &[DeadLetter]) -> Result<()> {
        (**self).write(letters).await
    }
    async fn close(&self, pipeline: &str) -> Result<()> {
        (**self).close(pipeline).await
    }
}
