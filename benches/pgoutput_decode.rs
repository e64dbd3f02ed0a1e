//! What it costs to read a row of the log: the message taken apart, and its values typed.
//!
//! Eight columns as in the end-to-end benchmark, with the bytes that a server sends for them.

use bytes::{BufMut, Bytes, BytesMut};
use cdc_core::RowsBuilder;
use cdc_postgres::pgoutput::{ColumnSlice, RowMessage, decode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const ROWS: u64 = 1_000;

fn insert(i: u64) -> Bytes {
    let columns = [
        i.to_string(),
        (i % 1000).to_string(),
        format!("{}.{:02}", i % 10_000, i % 100),
        format!("customer {}", i % 100_000),
        format!("order {i} for delivery"),
        "t".to_owned(),
        format!("2026-01-01 00:{:02}:{:02}.{:03}+00", i / 60 % 60, i % 60, i % 1000),
        format!("{i:x>96}"),
    ];
    let mut message = BytesMut::new();
    message.put_slice(b"I\0\0\x40\x05N\0\x08");
    for column in columns {
        message.put_u8(b't');
        message.put_u32(u32::try_from(column.len()).unwrap_or_default());
        message.put_slice(column.as_bytes());
    }
    message.freeze()
}

/// The columns, and how many bytes they have.
fn walk(message: &[u8]) -> usize {
    let Ok(Some(mut row)) = RowMessage::read(message, false) else { return 0 };
    let mut bytes = 0;
    while let Ok(Some((_, columns))) = row.next_tuple() {
        for _ in 0..columns {
            if let Ok(ColumnSlice::Text(text)) = row.next_column() {
                bytes += text.len();
            }
        }
    }
    bytes
}

/// The texts of all columns into the storage of rows.
fn store(message: &[u8], rows: &mut RowsBuilder) {
    let Ok(Some(mut row)) = RowMessage::read(message, false) else { return };
    while let Ok(Some((_, columns))) = row.next_tuple() {
        for _ in 0..columns {
            match row.next_column() {
                Ok(ColumnSlice::Text(text)) => match std::str::from_utf8(text) {
                    Ok(text) => rows.text(text),
                    Err(_) => rows.unavailable(),
                },
                _ => rows.null(),
            }
        }
    }
}

fn rows(c: &mut Criterion) {
    let messages: Vec<Bytes> = (1..=ROWS).map(insert).collect();
    let mut group = c.benchmark_group("pgoutput");
    group.throughput(Throughput::Elements(ROWS));
    group.bench_function("a row, kept as a message", |b| {
        b.iter(|| {
            messages.iter().filter(|message| decode((*message).clone(), false).is_ok()).count()
        });
    });
    group.bench_function("a row, walked", |b| {
        b.iter(|| messages.iter().map(|message| walk(message)).sum::<usize>());
    });
    group.bench_function("a row, walked and stored as text", |b| {
        let mut rows = RowsBuilder::new();
        b.iter(|| {
            for message in &messages {
                store(message, &mut rows);
            }
            rows.seal();
        });
    });
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
