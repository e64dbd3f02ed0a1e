//! The contracts as tests that any source, sink or offset store can run: one function a contract.
//!
//! A third party implements the fixture ([`source::Fixture`], [`sink::Fixture`]) for its adapter, and calls `all`, or each
//! function in a test of its own, which then has the contract's name. A function panics, saying what was broken, when the
//! contract is not kept.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

pub mod offset_store;
pub mod sink;
pub mod source;
