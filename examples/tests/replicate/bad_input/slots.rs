//! What is wrong with the slot.

use std::time::Duration;

use cdc_testservers::{Options, private_postgres};

use super::{Case, error, says};
use crate::program::Program;

#[tokio::test]
async fn a_missing_slot_with_an_offset() {
    let case = Case::new("missing_slot").await;
    case.drain();
    let slot = case.slot().await;
    case.source.run(&format!("SELECT pg_drop_replication_slot('{slot}')")).await;
    says(&case.error(), &["slot", &slot, "does not exist", "new copy"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_slot_that_is_ahead_of_the_offset() {
    let case = Case::new("slot_ahead").await;
    case.drain();
    let slot = case.slot().await;
    case.source.run("INSERT INTO t VALUES (2, 'lost')").await;
    case.source
        .run(&format!("SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())"))
        .await;
    says(&case.error(), &["slot", &slot, "ahead"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_slot_without_offset_or_intent() {
    let case = Case::new("foreign_slot").await;
    case.drain();
    let slot = case.slot().await;
    std::fs::remove_dir_all(case.state()).unwrap();
    std::fs::remove_file(case.folder.path().join("copy.db")).unwrap();
    says(&case.error(), &["slot", &slot, "adopt", "drop"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn wal_that_is_already_removed() {
    let mut server = private_postgres(Options::new().setting("max_wal_size", "32MB")).unwrap();
    if server.major() < 13 {
        println!("PostgreSQL {} never takes the log away from a slot", server.major());
        return;
    }
    server.restart(&[("max_slot_wal_keep_size", "1MB")]).unwrap();
    let case = Case::on(&server.url("postgres"), "removed").await;
    case.drain();
    let slot = case.slot().await;
    for _ in 0..8 {
        case.source.run("INSERT INTO t SELECT 1000 + g, 'x' FROM generate_series(1, 1000) g; DELETE FROM t WHERE id > 1000").await;
        case.source.run("SELECT pg_switch_wal()").await;
        case.source.run("CHECKPOINT").await;
    }
    let lost = format!("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '{slot}'");
    assert_eq!(case.source.one(&lost).await.as_deref(), Some("lost"));
    says(&case.error(), &["slot", &slot, "removed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_in_use_when_waiting_is_turned_off() {
    let case = Case::new("in_use").await;
    let arguments = case.arguments();
    let mut first = Program::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    first.wait_for("streaming", Duration::from_secs(30));
    let elsewhere = case.folder.path().join("elsewhere").display().to_string();
    let second =
        [case.source.url.clone(), case.target(), "--state".into(), elsewhere, "--no-wait".into()];
    says(&error(&second), &["slot", "in use", "server process"]);
    assert!(first.is_running());
    drop(first);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_slot_of_another_database_is_not_removed() {
    let (case, other) = (Case::new("mine").await, Case::new("not_mine").await);
    case.drain();
    let slot = case.slot().await;
    let source = cdc_postgres::PostgresSource::builder(other.source.url.as_str());
    let error = source.slot_name(&slot).build().unwrap().remove("replicate").await.unwrap_err();
    says(&error.to_string(), &[&slot, &case.source.name, "was not dropped"]);
    case.drain();
    case.source.drop_now().await;
    other.source.drop_now().await;
}
