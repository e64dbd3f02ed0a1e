//! What is wrong with the target.

use super::{Case, error, says};
use crate::database::Database;

#[tokio::test]
async fn a_target_table_with_a_conflicting_column_type() {
    let case = Case::new("conflict").await;
    let target = Database::shared("conflict_copy").await;
    target.run("CREATE TABLE t (id int PRIMARY KEY, note timestamptz)").await;
    let arguments = [case.source.url.clone(), target.url.clone(), "--state".into(), case.state()];
    says(&error(&arguments), &["t", "note", "text"]);
    for database in [case.source, target] {
        database.drop_now().await;
    }
}

#[tokio::test]
async fn two_source_tables_with_one_target_name() {
    let case = Case::new("collision").await;
    case.source
        .run("CREATE SCHEMA sales; CREATE TABLE sales.orders (id int PRIMARY KEY); CREATE TABLE sales_orders (id int PRIMARY KEY)")
        .await;
    says(&case.error(), &["sales.orders", "sales_orders"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_target_that_is_the_source_database() {
    let case = Case::new("itself").await;
    let same = case.source.url.replace("127.0.0.1", "localhost");
    let arguments = [case.source.url.clone(), same, "--state".into(), case.state()];
    says(&error(&arguments), &["source", "target"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_target_that_was_wiped_is_not_filled_from_the_middle() {
    let case = Case::new("wiped").await;
    case.drain();
    std::fs::remove_file(case.folder.path().join("copy.db")).unwrap();
    says(&case.error(), &["has no offset", "start it anew"]);
    case.source.drop_now().await;
}
