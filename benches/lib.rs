//! Benchmarks. `cargo bench --bench end_to_end` runs whole pipelines on real servers, `--bench sinks` SQL sinks beside their
//! statements alone; the others are criterion's. `docs/performance.md` says how to read them.

pub mod host;
pub mod items;
pub mod statements;
