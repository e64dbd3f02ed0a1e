//! Snapshots merged into the stream, without locks.

mod chunk_size;
mod effect;
mod flaws;
mod key;
mod memory;
mod merge;
#[cfg(test)]
mod model;
mod outbox;
mod patches;
mod progress;
mod read;
mod region;
mod state;
mod table;
mod unknown;
mod visible;

pub use chunk_size::ChunkTarget;
pub use key::Key;
pub use merge::{BarrierTicket, FirstReads, Merge, MergeOptions, TablePlan};
pub use outbox::Stamp;
pub use progress::{TablePhase, TableProgress};
pub use read::{Began, Read, ReadId};
pub use region::{KeyRange, Region};
pub use state::{SnapshotState, TableState};
pub use visible::Visible;
