//! Folding a batch of the mix: what it costs before any statement runs.

use std::hint::black_box;

use cdc_benches::items::{Hits, Items, Mix};
use cdc_core::fold::Folder;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const EVENTS: usize = 8_192;

fn fold(criterion: &mut Criterion) {
    let Ok(items) = Items::new() else { return };
    let mut mix = Mix::new(items, Hits::Newest);
    let (Ok(_), Ok(batch)) = (mix.inserts(20_000), mix.changes(EVENTS)) else { return };
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(EVENTS as u64));
    group.bench_function("mix of 8192 changes", |bencher| {
        let mut folder = Folder::default();
        bencher.iter(|| folder.fold(black_box(&batch)).map(|tables| tables.len()));
    });
    group.finish();
}

criterion_group!(benches, fold);
criterion_main!(benches);
