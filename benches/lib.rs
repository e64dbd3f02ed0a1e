//! Benchmarks. `cargo bench --bench end_to_end` runs whole pipelines on real servers; the others are criterion's.
//! `docs/performance.md` says how to read them.
