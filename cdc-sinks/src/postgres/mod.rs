//! The PostgreSQL sink.

mod binary;
mod catalog;
mod dialect;
mod error;
mod fence;
mod parameter;
mod session;
mod sink;
mod text;
mod types;

pub use sink::{PostgresSink, PostgresSinkBuilder};
