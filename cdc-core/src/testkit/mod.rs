//! An in-memory source, in-memory sinks, and the conformance suite for the sources, sinks and stores of others.
//!
//! [`MemoryLog`] stands for a server: transactions are committed to it, it can lose connections, and it forgets what was
//! acknowledged, so that a pipeline which acknowledges too much is found out. [`MemoryTarget`] stands for a target that
//! outlives the sinks which write to it. Both can be told to fail.
//!
//! ```
//! use cdc_core::testkit::{MemoryLog, MemoryTarget, shop};
//! use cdc_core::{Change, Pipeline};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let log = MemoryLog::new([shop::orders()]);
//! log.commit([Change::create(shop::order(1, "pen"))]);
//! let target = MemoryTarget::new();
//! Pipeline::builder("copy", log.source())
//!     .sink(target.transactional("target"))
//!     .until_caught_up()
//!     .build()?
//!     .run()
//!     .await?;
//! assert_eq!(target.rows("public.orders"), [shop::order(1, "pen")]);
//! # Ok::<(), cdc_core::Error>(()) }).unwrap();
//! ```

pub mod conformance;
mod dead_letters;
pub mod golden;
mod log;
mod log_position;
pub mod shop;
mod target;

use std::sync::Arc;

use crate::origin::{Origin, SnapshotMark, TransactionOrigin};

pub use dead_letters::MemoryDeadLetters;
pub use log::{MemoryLog, MemorySource, Moment};
pub use target::{Fault, MemorySink, MemoryTarget};

/// An origin, where a test needs one and does not care which.
pub fn some_origin() -> Origin {
    Origin {
        transaction: Arc::new(TransactionOrigin {
            connector: "memory",
            database: "shop".into(),
            id: None,
            commit_time_us: None,
            position: [1, 1],
            previous_commit: None,
            replicated_from: None,
        }),
        index: 0,
        log_position: 1,
        table: None,
        snapshot: SnapshotMark::No,
        shown_by_snapshot: false,
        batch: 0,
        place: 0,
    }
}

/// Waits until something has become true, for at most 10 s.
///
/// # Panics
/// When it does not become true.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    assert!(condition(), "within 10 s: {what}");
}
