//! What is wrong with the server.

use std::process::Command;

use cdc_testservers::{Options, private_postgres};

use super::{Case, error, says};
use crate::database::Database;

#[tokio::test]
async fn wal_level_replica() {
    let server = private_postgres(Options::new().setting("wal_level", "replica")).unwrap();
    let case = Case::on(&server.url("postgres"), "wal_level").await;
    says(
        &case.error(),
        &[
            "Postgres server wal_level property must be 'logical' but is: 'replica'",
            "ALTER SYSTEM SET wal_level",
        ],
    );
}

#[tokio::test]
async fn prerequisites_that_are_not_met_are_reported_together() {
    let server = private_postgres(
        Options::new().setting("wal_level", "replica").setting("max_replication_slots", "0"),
    )
    .unwrap();
    let case = Case::on(&server.url("postgres"), "together").await;
    case.source.run("CREATE ROLE plain LOGIN PASSWORD 'secret'").await;
    let message = error(&case.arguments_from(&case.url_as("plain", "secret")));
    says(&message, &["wal_level", "max_replication_slots", "REPLICATION"]);
}

#[tokio::test]
async fn no_free_slot() {
    let server = private_postgres(Options::new().setting("max_replication_slots", "1")).unwrap();
    let case = Case::on(&server.url("postgres"), "free_slot").await;
    case.source.run("SELECT pg_create_physical_replication_slot('taken')").await;
    says(&case.error(), &["slot", "max_replication_slots"]);
}

#[tokio::test]
async fn server_encoding_sql_ascii() {
    let server = private_postgres(Options::new().encoding("SQL_ASCII")).unwrap();
    let case = Case::on(&server.url("postgres"), "ascii").await;
    says(&case.error(), &["SQL_ASCII"]);
}

#[tokio::test]
async fn another_server_than_the_one_the_offset_is_of() {
    let one = private_postgres(Options::new()).unwrap();
    let other = private_postgres(Options::new()).unwrap();
    let case = Case::on(&one.url("postgres"), "system").await;
    case.drain();
    let twin = Database::create(&other.url("postgres"), "twin").await;
    twin.run(&format!("CREATE DATABASE \"{}\"", case.source.name)).await;
    let url = crate::database::with_database(&other.url("postgres"), &case.source.name);
    says(&error(&case.arguments_from(&url)), &["system"]);
}

#[tokio::test]
async fn a_timeline_that_does_not_contain_the_offset() {
    let mut server = private_postgres(Options::new()).unwrap();
    let case = Case::on(&server.url("postgres"), "timeline").await;
    case.drain();
    server.stop().unwrap();
    let (data, backup) = (server.data_dir(), server.data_dir().with_extension("backup"));
    copy(&data, &backup);
    server.restart(&[]).unwrap();
    let case = Case { source: case.source.reconnected().await, folder: case.folder };
    case.source.run("INSERT INTO t SELECT i, 'lost' FROM generate_series(2, 1000) i").await;
    case.drain();

    // The backup becomes the server: what the copy has seen since never happened there.
    server.stop().unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    copy(&data.join("PG_VERSION"), &data.join("standby.signal"));
    server.restart(&[]).unwrap();
    let admin = crate::database::connect(&server.url("postgres")).await;
    admin.batch_execute("SELECT pg_promote()").await.unwrap();
    says(&case.error(), &["timeline"]);
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}
