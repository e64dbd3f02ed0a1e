//! What the benchmarks share: a table of eight columns, its rows, and a mix of changes.

pub mod items;
