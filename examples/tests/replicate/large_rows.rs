//! A row that is larger than everything else together.

use std::time::Duration;

use crate::database::{Database, eventually};
use crate::program::Program;

/// Its size in bytes; `CDC_LARGE_ROW=200000000` makes it a really large one.
const SIZE: usize = 20_000_000;

/// Waits until the row is in the target as it is in the source.
async fn copied(source: &Database, target: &Database, id: u32, size: usize) {
    let row =
        format!("SELECT id || ' ' || length(note) || ' ' || md5(note) FROM t WHERE id = {id}");
    let expected = source.one(&row).await.unwrap();
    assert!(expected.starts_with(&format!("{id} {size} ")), "{expected}");
    eventually("the row is copied", Duration::from_secs(120), async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        target.one(&row).await.as_deref() == Some(expected.as_str())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_of_many_megabytes_is_copied_and_followed() {
    let given = std::env::var("CDC_LARGE_ROW").ok().and_then(|text| text.parse().ok());
    let size: usize = given.unwrap_or(SIZE) / 32 * 32;
    let source = Database::shared("large").await;
    let row = |id| format!("INSERT INTO t VALUES ({id}, repeat(md5('{id}'), {}))", size / 32);
    source.run("CREATE TABLE t (id int PRIMARY KEY, note text)").await;
    source.run(&format!("INSERT INTO t VALUES (0, 'small'); {}", row(1))).await;
    let target = Database::shared("large_copy").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut program =
        Program::start(&[&source.url, &target.url, "--state", state.to_str().unwrap()]);

    copied(&source, &target, 1, size).await;
    let first = program.peak_memory();
    source.run(&format!("{}; INSERT INTO t VALUES (3, 'small')", row(2))).await;
    copied(&source, &target, 2, size).await;
    println!("peak memory {first} MB copied, {} MB followed", program.peak_memory());

    source.run("UPDATE t SET note = 'small' WHERE id IN (1, 2)").await;
    eventually("small again", Duration::from_secs(60), async || {
        target.one("SELECT count(*) FROM t WHERE note = 'small'").await.as_deref() == Some("4")
    })
    .await;
    program.signal("TERM");
    assert!(program.wait(Duration::from_secs(20)).success());
    source.assert_copied_to(&target).await;
    source.drop_now().await;
    target.drop_now().await;
}
