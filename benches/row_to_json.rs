//! The Debezium envelope of a row of eight columns as JSON and back, beside `serde_json` on a tree of values that is made
//! already, and a copy of the schema block.

use std::hint::black_box;

use cdc_benches::items::Items;
use cdc_core::connect::{ConnectProfile, JsonConverter, JsonOptions, Processed};
use cdc_core::{Change, ChangeEvent, RowsBuilder};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PROCESSED: Processed = Processed::at_nanos(1_795_000_000_223_456_789);

fn converter(schemas: bool) -> Result<JsonConverter> {
    let mut options = JsonOptions::default();
    options.schemas_enable = schemas;
    let profile = ConnectProfile::builder().topic_prefix("shop").build();
    Ok(JsonConverter::new(options, profile)?)
}

fn encoded(converter: &mut JsonConverter, event: &ChangeEvent) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    converter.encode_value(event, PROCESSED, &mut bytes)?;
    Ok(bytes)
}

fn record(criterion: &mut Criterion, name: &str, event: &ChangeEvent) -> Result<()> {
    let mut plain = converter(false)?;
    let bytes = encoded(&mut plain, event)?;
    let tree: serde_json::Value = serde_json::from_slice(&bytes)?;
    let mut with_schemas = converter(true)?;
    let long = encoded(&mut with_schemas, event)?;
    let block = long.get(..long.len() - bytes.len()).unwrap_or_default();
    println!("{name}: {} bytes, {} with schemas", bytes.len(), long.len());

    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    let mut out = Vec::with_capacity(2 * long.len());
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            plain.encode_value(black_box(event), PROCESSED, &mut out).is_ok()
        });
    });
    group.bench_function("serde_json of a tree", |bencher| {
        bencher.iter(|| {
            out.clear();
            serde_json::to_writer(&mut out, black_box(&tree)).is_ok()
        });
    });
    group.bench_function("encode with schemas", |bencher| {
        bencher.iter(|| {
            out.clear();
            with_schemas.encode_value(black_box(event), PROCESSED, &mut out).is_ok()
        });
    });
    group.bench_function("copy of the schemas", |bencher| {
        bencher.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(block));
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| plain.decode(Some(black_box(&bytes))).is_ok());
    });
    group.bench_function("decode with schemas", |bencher| {
        bencher.iter(|| with_schemas.decode(Some(black_box(&long))).is_ok());
    });
    group.finish();
    Ok(())
}

fn row_to_json(criterion: &mut Criterion) {
    let run = |criterion: &mut Criterion| -> Result<()> {
        let items = Items::new()?;
        let mut block = RowsBuilder::new();
        let row = items.row(&mut block, 1_234_567, 3)?;
        block.seal();
        let insert = items.event(1, Change::create(row));
        record(criterion, "insert", &insert)
    };
    if let Err(error) = run(criterion) {
        println!("not measured: {error}");
    }
}

criterion_group!(benches, row_to_json);
criterion_main!(benches);
