//! What transforms cost an event of eight columns, beside a chain that does nothing.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cdc_benches::items::Items;
use cdc_core::connect::ConnectProfile;
use cdc_core::{Change, ChangeEvent, Properties, RowsBuilder, Transform};
use cdc_smt::{ExtractNewRecordState, transform_of_class};
use criterion::{Criterion, criterion_group, criterion_main};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The class, its options, whether it gets rows without their envelopes, and whether it is one of the common ones.
type Measured = (&'static str, &'static [(&'static str, &'static str)], bool, bool);

const MEASURED: &[Measured] = &[
    ("ExtractNewRecordState", &[], false, true),
    ("RegexRouter", &[("regex", "(.*)items"), ("replacement", "$1copy")], false, true),
    ("ReplaceField$Value", &[("renames", "note:remark")], true, true),
    ("InsertField$Value", &[("topic.field", "table")], true, true),
    ("MaskField$Value", &[("fields", "email")], true, true),
    ("ReplaceField$Value", &[("exclude", "note,email")], true, true),
    ("DropHeaders", &[("headers", "a")], true, true),
    ("InsertHeader", &[("header", "a"), ("value.literal", "1")], true, true),
    ("ValueToKey", &[("fields", "customer")], true, false),
    ("SetSchemaMetadata$Value", &[("schema.name", "n")], true, false),
    ("Cast$Value", &[("spec", "customer:string")], true, false),
    ("Flatten$Value", &[], true, false),
    ("HeaderFrom$Value", &[("fields", "id"), ("headers", "h"), ("operation", "copy")], true, false),
    ("ReadToInsertEvent", &[], false, false),
    ("ExtractChangedRecordState", &[("header.changed.name", "c")], false, false),
    (
        "ByLogicalTableRouter",
        &[("topic.regex", "(.*)items"), ("topic.replacement", "$1all")],
        false,
        false,
    ),
    ("TimezoneConverter", &[("converted.timezone", "Europe/Berlin")], false, false),
    ("ExtractNewRecordState", &[("add.fields", "op,table,source.ts_ms")], false, false),
    (
        "PartitionRouting",
        &[("partition.payload.fields", "change.id"), ("partition.topic.num", "10")],
        false,
        false,
    ),
];

/// Passes events on.
#[derive(Clone)]
struct Nothing;

impl Transform for Nothing {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> cdc_core::Result<()> {
        out.push(event);
        Ok(())
    }
    fn name(&self) -> &str {
        "nothing"
    }
    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

fn title(class: &str, options: &[(&str, &str)]) -> String {
    let options: Vec<&str> = options.iter().map(|(name, _)| *name).collect();
    format!("{class} {}", options.join(","))
}

fn once(transform: &mut dyn Transform, event: &ChangeEvent, out: &mut Vec<ChangeEvent>) -> bool {
    out.clear();
    transform.apply(black_box(event).clone(), out).is_ok()
}

/// Short rounds, so that some are not interrupted on a busy machine.
const ROUNDS: u32 = 1_000;
const EVENTS: u32 = 200;

/// The best time of several rounds, an event.
fn best(times: &mut Duration, transform: &mut dyn Transform, event: &ChangeEvent) {
    let mut out = Vec::with_capacity(1);
    let start = Instant::now();
    for _ in 0..EVENTS {
        black_box(once(transform, event, &mut out));
    }
    *times = (*times).min(start.elapsed() / EVENTS);
}

fn measure(criterion: &mut Criterion) -> Result<()> {
    let items = Items::new()?;
    let mut block = RowsBuilder::new();
    let row = items.row(&mut block, 1_234_567, 3)?;
    block.seal();
    let enveloped = items.event(1, Change::create(row));
    let mut unwrapped = Vec::new();
    ExtractNewRecordState::new().apply(enveloped.clone(), &mut unwrapped)?;
    let flat = unwrapped.pop().ok_or("no row")?;
    let profile = ConnectProfile::builder().topic_prefix("shop").build();
    let mut group = criterion.benchmark_group("transforms");
    let mut out = Vec::with_capacity(1);
    group.bench_function("nothing", |bencher| {
        bencher.iter(|| once(&mut Nothing, &flat, &mut out));
    });
    println!("| transform | ns beyond a chain of nothing | ratio to it |");
    for (class, options, is_flat, common) in MEASURED {
        let properties: Properties = options.iter().copied().collect();
        let mut transform = transform_of_class(class, &properties, &profile)?;
        let event = if *is_flat { &flat } else { &enveloped };
        let title = title(class, options);
        group.bench_function(&title, |bencher| {
            bencher.iter(|| once(&mut *transform, event, &mut out));
        });
        // Interleaved, so that a busy machine is busy for both.
        let (mut nothing, mut it) = (Duration::MAX, Duration::MAX);
        for _ in 0..ROUNDS {
            best(&mut nothing, &mut Nothing, event);
            best(&mut it, &mut *transform, event);
        }
        let beyond = it.as_nanos() as i64 - nothing.as_nanos() as i64;
        let ratio = it.as_secs_f64() / nothing.as_secs_f64();
        let mark = if *common && beyond > 150 { " (more than 150)" } else { "" };
        println!("| {title} | {beyond}{mark} | {ratio:.1} |");
    }
    group.finish();
    Ok(())
}

fn transforms(criterion: &mut Criterion) {
    if let Err(error) = measure(criterion) {
        println!("the transforms could not be measured: {error}");
    }
}

criterion_group!(benches, transforms);
criterion_main!(benches);
