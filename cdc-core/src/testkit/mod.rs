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
mod log;
mod log_position;
pub mod shop;
mod target;

pub use log::{MemoryLog, MemorySource, Moment};
pub use target::{Fault, MemorySink, MemoryTarget};

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
