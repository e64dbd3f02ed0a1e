//! What is wrong with the offset file.

use std::process::Command;
use std::time::Duration;

use super::{Case, error, says};
use crate::program::Program;

fn offset_file(case: &Case) -> std::path::PathBuf {
    let mut files = std::fs::read_dir(case.state()).unwrap().map(|entry| entry.unwrap().path());
    files
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))
        .expect("an offset file")
}

#[tokio::test]
async fn a_damaged_offset_file() {
    let case = Case::new("damaged").await;
    case.drain();
    let file = offset_file(&case);
    let whole = std::fs::read_to_string(&file).unwrap();
    for damage in ["", "{", &whole[..whole.len() / 2], &whole.replacen("lsn", "nsl", 1)] {
        std::fs::write(&file, damage).unwrap();
        says(&case.error(), &["offset", file.file_name().unwrap().to_str().unwrap()]);
    }
    std::fs::write(&file, &whole).unwrap();
    case.drain();
    case.source.drop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_file_that_another_process_holds() {
    let case = Case::new("held").await;
    let arguments = case.arguments();
    let mut first = Program::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    first.wait_for("streaming", Duration::from_secs(30));
    let mut second = case.arguments();
    second.push("--no-wait".into());
    says(&error(&second), &["held", "process"]);
    assert!(first.is_running());
    drop(first);
    case.source.drop_now().await;
}

#[tokio::test]
async fn a_full_disk_for_the_offset_file() {
    let case = Case::new("full").await;
    let target = crate::database::Database::shared("full_copy").await;
    std::fs::create_dir_all(case.state()).unwrap();
    // No file can grow past 0 bytes, as on a full disk; the signal that comes with it is ignored.
    let line = "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\"";
    let output = Command::new("sh")
        .args(["-c", line])
        .arg(crate::program::binary())
        .args([&case.source.url, &target.url, "--state", &case.state()])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    says(&errors, &["error: ", "offset"]);
    case.source.drop_now().await;
    target.drop_now().await;
}
