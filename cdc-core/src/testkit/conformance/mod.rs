//! The contracts as tests that any source, sink or offset store can run: one function a contract.
//!
//! Each function panics, saying what was broken, when the contract is not kept.
