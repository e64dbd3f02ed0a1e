//! The merge against a database that an adversary runs.

mod database;
mod tape;
mod target;
mod world;

use std::time::Instant;

use database::Workload;
use tape::{Tape, shrink};
use target::Delivery;
use world::{Exact, Kind, Setup, ShellFlaw, Start, Subset, World};

use super::flaws::{Flaw, with_flaw};

const POSTGRES: Workload = Workload {
    transactions: 9,
    statements: 3,
    minimal_images: false,
    asynchronous: true,
    subset: false,
    key_changes: true,
    row_filter: true,
    schema_changes: true,
    text_keys: false,
};

const MYSQL: Workload = Workload {
    minimal_images: true,
    asynchronous: false,
    subset: true,
    row_filter: false,
    ..POSTGRES
};

const SETUP: Setup = Setup {
    workload: POSTGRES,
    targets: &[Delivery::Transactional],
    kills: 3,
    start: None,
    flaw: None,
    max_reads: 3,
    small_memory: false,
    requests: true,
};

/// How many schedules are tried: `CDC_SNAPSHOT_SCHEDULES`, 1 000 without it.
fn schedules() -> u64 {
    std::env::var("CDC_SNAPSHOT_SCHEDULES")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(1_000)
}

fn fails<V: Kind>(setup: Setup, flaw: Option<Flaw>, tape: Tape) -> Option<String> {
    with_flaw(flaw, || World::<V>::new(setup, tape, false).run().err())
}

/// Runs schedules until one fails; tells how it does in as few steps as could be found.
fn first_failure<V: Kind>(setup: Setup, flaw: Option<Flaw>, count: u64) -> Option<String> {
    let seed = (0..count).find(|seed| fails::<V>(setup, flaw, Tape::seeded(*seed)).is_some())?;
    let small = shrink(Tape::seeded(seed), |tape| fails::<V>(setup, flaw, tape).is_some());
    let (error, trace) = with_flaw(flaw, || {
        let mut world = World::<V>::new(setup, small, true);
        (world.run().err().unwrap_or_default(), world.trace())
    });
    Some(format!("schedule {seed}: {error}\n  {}", trace.join("\n  ")))
}

fn holds<V: Kind>(setup: Setup) {
    let began = Instant::now();
    if let Some(failure) = first_failure::<V>(setup, None, schedules()) {
        panic!("{failure}");
    }
    println!("{} schedules in {:?}", schedules(), began.elapsed());
}

fn is_noticed<V: Kind>(setup: Setup, flaw: Option<Flaw>) {
    let count = schedules().max(20_000);
    let failure = first_failure::<V>(setup, flaw, count);
    assert!(failure.is_some(), "{count} schedules without a failure");
    println!("{}", failure.unwrap_or_default());
}

#[test]
fn a_transactional_target_has_the_logs_rows_at_every_moment() {
    holds::<Exact>(SETUP);
}
