//! The Debezium envelope of a row of eight columns as JSON and back, beside `serde_json` on a tree of values that is made
//! already, and a copy of the schema block.

use std::hint::black_box;
use std::time::Instant;

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

    let mut plain_out = Vec::with_capacity(2 * long.len());
    let mut tree_out = Vec::with_capacity(2 * long.len());
    let mut copied = Vec::with_capacity(2 * long.len());
    let [encode, tree, with_schemas, copy] = interleaved([
        &mut || {
            plain_out.clear();
            plain.encode_value(black_box(event), PROCESSED, &mut plain_out).is_ok()
        },
        &mut || {
            tree_out.clear();
            serde_json::to_writer(&mut tree_out, black_box(&tree)).is_ok()
        },
        &mut || {
            out.clear();
            with_schemas.encode_value(black_box(event), PROCESSED, &mut out).is_ok()
        },
        &mut || {
            copied.clear();
            copied.extend_from_slice(black_box(block));
            true
        },
    ]);
    println!(
        "{name}, interleaved: encode {encode:.0} ns, serde_json {tree:.0} ns ({:.1} x); schemas add {:.0} ns to a copy's {copy:.0} ns ({:.2} x)",
        tree / encode,
        with_schemas - encode,
        (with_schemas - encode) / copy,
    );
    Ok(())
}

/// The median of what each takes, in ns, over rounds in which all of them run.
fn interleaved<const N: usize>(contenders: [&mut dyn FnMut() -> bool; N]) -> [f64; N] {
    const ROUNDS: usize = 1_000;
    const TIMES: u32 = 500;
    let mut took = [const { Vec::new() }; N];
    let mut contenders = contenders;
    for _ in 0..ROUNDS {
        for (contender, took) in contenders.iter_mut().zip(&mut took) {
            let start = Instant::now();
            for _ in 0..TIMES {
                black_box(contender());
            }
            took.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES));
        }
    }
    took.map(|mut took| {
        took.sort_by(f64::total_cmp);
        took.get(ROUNDS / 2).copied().unwrap_or(f64::NAN)
    })
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
