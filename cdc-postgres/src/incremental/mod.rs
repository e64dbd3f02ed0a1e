//! Reading chunks of tables beside the stream: what [`cdc_core::snapshot`] asks of a source.
//!
//! [`plan`] says how a table can be read in chunks, [`readers`] reads them on connections of their own. Each read is one
//! transaction that locks its table in ACCESS SHARE mode first, then takes its snapshot, then asks where the log ends, then
//! looks at the table's columns, and then reads rows.

mod barrier;
mod bounds;
mod courtesy;
pub(crate) mod literal;
pub(crate) mod plan;
mod reader;
pub(crate) mod readers;
mod select;
pub(crate) mod visible;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
