//! Change data capture source for PostgreSQL.

pub mod lsn;
pub mod pgoutput;
pub mod wire;

pub use lsn::Lsn;
