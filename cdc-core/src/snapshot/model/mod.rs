//! The merge against a database that an adversary runs.

mod database;
mod schedule;
mod setup;
mod tape;
mod target;
mod world;

use std::time::Instant;

use database::Workload;
use setup::{Exact, Kind, Setup, ShellFlaw, Start, Subset};
use tape::{Tape, shrink};
use target::Delivery;
use world::World;

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

/// How many schedules each test tries: `CDC_SNAPSHOT_SCHEDULES`, 200 without it.
fn schedules() -> u64 {
    std::env::var("CDC_SNAPSHOT_SCHEDULES").ok().and_then(|count| count.parse().ok()).unwrap_or(200)
}

fn fails<V: Kind>(setup: Setup, flaw: Option<Flaw>, tape: Tape) -> Option<String> {
    with_flaw(flaw, || World::<V>::new(setup, tape, false).run().err())
}

fn first_failure<V: Kind>(
    setup: Setup,
    flaw: Option<Flaw>,
    mut seeds: std::ops::Range<u64>,
) -> Option<u64> {
    seeds.find(|seed| fails::<V>(setup, flaw, Tape::seeded(*seed)).is_some())
}

/// How a schedule fails, in as few steps as could be found.
fn explain<V: Kind>(setup: Setup, flaw: Option<Flaw>, seed: u64) -> String {
    let small = shrink(Tape::seeded(seed), |tape| fails::<V>(setup, flaw, tape).is_some());
    let (error, trace) = with_flaw(flaw, || {
        let mut world = World::<V>::new(setup, small, true);
        (world.run().err().unwrap_or_default(), world.trace())
    });
    format!("schedule {seed}: {error}\n  {}", trace.join("\n  "))
}

fn holds<V: Kind>(setup: Setup) {
    let began = Instant::now();
    if let Some(seed) = first_failure::<V>(setup, None, 0..schedules()) {
        panic!("{}", explain::<V>(setup, None, seed));
    }
    println!("{} schedules in {:?}", schedules(), began.elapsed());
}

/// With `CDC_SNAPSHOT_EXPLAIN` it shows how: the shortest way to understand why a rule is there.
fn is_noticed<V: Kind>(setup: Setup, flaw: Option<Flaw>) {
    is_noticed_from::<V>(0, setup, flaw);
}

fn is_noticed_from<V: Kind>(first: u64, setup: Setup, flaw: Option<Flaw>) {
    let seed = first_failure::<V>(setup, flaw, first..first + 20_000);
    let Some(seed) = seed else { panic!("20 000 schedules without a failure") };
    println!("noticed by schedule {seed}");
    if std::env::var_os("CDC_SNAPSHOT_EXPLAIN").is_some() {
        println!("{}", explain::<V>(setup, flaw, seed));
    }
}

fn shell_flaw_is_noticed<V: Kind>(setup: Setup, flaw: ShellFlaw) {
    is_noticed::<V>(Setup { flaw: Some(flaw), ..setup }, None);
}

mod holds {
    use super::*;

    #[test]
    fn a_transactional_target_has_the_rows_of_the_log_at_every_moment() {
        holds::<Exact>(SETUP);
    }

    #[test]
    fn a_versioned_target_ends_equal_and_never_goes_back() {
        holds::<Exact>(Setup { targets: &[Delivery::Versioned], ..SETUP });
    }

    #[test]
    fn an_idempotent_target_ends_equal_and_never_goes_back() {
        holds::<Exact>(Setup { targets: &[Delivery::Idempotent], ..SETUP });
    }

    #[test]
    fn two_sinks_at_different_offsets_both_get_what_they_lack() {
        const BOTH: &[Delivery] = &[Delivery::Transactional, Delivery::Transactional];
        holds::<Exact>(Setup { targets: BOTH, ..SETUP });
    }

    #[test]
    fn sinks_of_all_kinds_beside_each_other() {
        const ALL: &[Delivery] =
            &[Delivery::Transactional, Delivery::Versioned, Delivery::Idempotent];
        holds::<Exact>(Setup { targets: ALL, ..SETUP });
    }

    #[test]
    fn with_little_memory_it_holds_too() {
        holds::<Exact>(Setup { small_memory: true, ..SETUP });
    }

    #[test]
    fn with_keys_that_only_the_database_can_compare_it_holds_too() {
        let workload = Workload { text_keys: true, ..POSTGRES };
        holds::<Exact>(Setup { workload, ..SETUP });
    }

    #[test]
    fn one_read_at_a_time_and_many_kills() {
        let workload = Workload { transactions: 14, ..POSTGRES };
        holds::<Exact>(Setup { workload, max_reads: 1, kills: 6, requests: false, ..SETUP });
    }

    #[test]
    fn tables_that_are_new_in_the_stream_get_what_was_done_to_them_before() {
        const BOTH: &[Delivery] = &[Delivery::Transactional, Delivery::Idempotent];
        let setup = Setup { targets: BOTH, start: Some(Start::NewlyStreamed), ..SETUP };
        holds::<Exact>(setup);
        holds::<Exact>(Setup { small_memory: true, ..setup });
    }

    #[test]
    fn with_visible_sets_that_lag_behind_what_is_read_it_holds_too() {
        holds::<Subset>(Setup { workload: MYSQL, ..SETUP });
    }

    #[test]
    fn with_visible_sets_that_lag_and_a_versioned_target_it_holds_too() {
        holds::<Subset>(Setup { workload: MYSQL, targets: &[Delivery::Versioned], ..SETUP });
    }

    #[test]
    fn with_visible_sets_that_lag_and_two_sinks_and_little_memory_it_holds_too() {
        const BOTH: &[Delivery] = &[Delivery::Transactional, Delivery::Transactional];
        let setup = Setup { workload: MYSQL, targets: BOTH, small_memory: true, ..SETUP };
        holds::<Subset>(setup);
    }
}

/// A test that cannot see what it is for proves nothing: each rule, left out, makes schedules fail.
mod notices {
    use super::*;

    /// No kills, no requests: a plain merge.
    const PLAIN: Setup = Setup { kills: 0, requests: false, start: Some(Start::Merged), ..SETUP };
    const LAGGING: Setup = Setup { workload: MYSQL, ..SETUP };

    #[test]
    fn what_was_streamed_before_a_read_taken_as_reflected() {
        is_noticed::<Exact>(PLAIN, Some(Flaw::ForgetAtOpening));
    }

    #[test]
    fn rows_dropped_where_a_change_lacks_columns() {
        is_noticed::<Exact>(PLAIN, Some(Flaw::DropInsteadOfFold));
    }

    #[test]
    fn rows_dropped_for_any_change_during_the_read() {
        is_noticed::<Exact>(PLAIN, Some(Flaw::DropAnyKey));
    }

    #[test]
    fn the_horizon_taken_before_the_visible_set() {
        shell_flaw_is_noticed::<Exact>(PLAIN, ShellFlaw::HorizonBeforeVisible);
    }

    #[test]
    fn the_flushed_end_of_the_log_as_horizon() {
        shell_flaw_is_noticed::<Exact>(PLAIN, ShellFlaw::HorizonIsFlushed);
    }

    #[test]
    fn no_barrier_at_the_start() {
        shell_flaw_is_noticed::<Exact>(PLAIN, ShellFlaw::NoBarrier);
    }

    #[test]
    fn no_barrier_after_a_kill_during_the_exported_snapshot() {
        let setup = Setup { start: Some(Start::Exported), kills: 2, ..PLAIN };
        shell_flaw_is_noticed::<Exact>(setup, ShellFlaw::NoBarrier);
    }

    #[test]
    fn pending_keys_that_are_not_saved() {
        shell_flaw_is_noticed::<Exact>(SETUP, ShellFlaw::PendingKeysNotSaved);
    }

    #[test]
    fn key_changes_out_of_what_is_not_read_taken_as_complete() {
        is_noticed::<Exact>(PLAIN, Some(Flaw::TrustEveryMove));
    }

    #[test]
    fn columns_carried_across_keys_where_the_visible_set_lags() {
        is_noticed::<Subset>(LAGGING, Some(Flaw::CarryColumns));
    }

    #[test]
    fn gtid_executed_taken_as_the_horizon() {
        shell_flaw_is_noticed::<Subset>(LAGGING, ShellFlaw::HorizonIsVisible);
    }

    #[test]
    fn gtid_executed_taken_as_exact() {
        is_noticed::<Subset>(Setup { workload: MYSQL, ..PLAIN }, Some(Flaw::NoUndo));
    }

    #[test]
    fn no_barrier_where_the_visible_set_lags() {
        shell_flaw_is_noticed::<Subset>(LAGGING, ShellFlaw::NoBarrier);
    }

    #[test]
    fn a_transaction_forgotten_once_some_read_shows_it() {
        is_noticed::<Exact>(PLAIN, Some(Flaw::ReleaseWhatAnyReadShows));
    }

    #[test]
    fn the_done_part_of_a_transaction_left_out_after_a_kill() {
        let workload = Workload {
            transactions: 3,
            asynchronous: false,
            row_filter: false,
            schema_changes: false,
            key_changes: false,
            ..POSTGRES
        };
        let setup = Setup { workload, kills: 1, ..PLAIN };
        shell_flaw_is_noticed::<Exact>(setup, ShellFlaw::NothingAlreadyDone);
    }

    #[test]
    fn the_earlier_of_two_offsets_taken_as_their_meet() {
        const BOTH: &[Delivery] = &[Delivery::Transactional, Delivery::Transactional];
        let setup = Setup { targets: BOTH, ..SETUP };
        shell_flaw_is_noticed::<Exact>(setup, ShellFlaw::MeetIsTheEarlier);
    }

    #[test]
    fn keys_taken_as_read_by_a_change_that_one_sink_is_spared() {
        const BOTH: &[Delivery] = &[Delivery::Transactional, Delivery::Transactional];
        let setup = Setup { targets: BOTH, ..SETUP };
        // It takes two kills and several moves: one schedule in some thousands.
        is_noticed_from::<Exact>(4_200, setup, Some(Flaw::ChangesSettleKeys));
    }

    #[test]
    fn a_table_that_is_new_in_the_stream_read_as_if_all_came_by() {
        let setup = Setup { start: Some(Start::NewlyStreamed), ..PLAIN };
        is_noticed::<Exact>(setup, Some(Flaw::StreamHasAll));
    }

    #[test]
    fn a_table_that_is_new_in_the_stream_taken_as_one_that_was_in_it() {
        let setup = Setup { start: Some(Start::NewlyStreamed), ..PLAIN };
        shell_flaw_is_noticed::<Exact>(setup, ShellFlaw::AsIfStreamed);
    }

    #[test]
    fn rows_without_a_key_given_twice_where_the_visible_set_lags() {
        is_noticed::<Subset>(LAGGING, Some(Flaw::RowsWithoutKeyTwice));
    }
}
