//! What is wrong with the folder for large transactions.

use std::process::Command;

use super::{Case, says};

#[tokio::test]
async fn a_full_disk_for_a_large_transaction() {
    let case = Case::new("spill").await;
    let version = case.source.one("SHOW server_version_num").await.unwrap();
    if version.parse::<u32>().unwrap() < 140_000 {
        // The server keeps transactions in progress.
        case.source.drop_now().await;
        return;
    }
    case.drain();
    let name = case.source.one("SELECT current_database()").await.unwrap();
    case.source
        .run(&format!("ALTER DATABASE \"{name}\" SET logical_decoding_work_mem = '64kB'"))
        .await;
    // 30 MB, of which 8 are kept in memory.
    case.source
        .run("INSERT INTO t SELECT id, repeat(md5(id::text), 30) FROM generate_series(2, 30001) AS id")
        .await;
    // No file can grow past 5 MB, as on a full disk; the signal that comes with it is ignored.
    let line = "trap '' XFSZ; ulimit -f 10000; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", line])
        .arg(crate::program::binary())
        .args(case.arguments())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    says(&errors, &["error: ", "large transaction", "make room"]);
    case.drain();
    let copy = rusqlite::Connection::open(case.folder.path().join("copy.db")).unwrap();
    let rows: i64 = copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 30_001);
    case.source.drop_now().await;
}
