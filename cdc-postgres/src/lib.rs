//! Change data capture source for PostgreSQL.

pub mod copy_text;
pub mod lsn;
pub mod pgoutput;
mod types;
pub mod wire;

pub use lsn::Lsn;
pub use types::parse_any as parse_any_value;
