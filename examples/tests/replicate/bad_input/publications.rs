//! What is wrong with the publication.

use std::time::Duration;

use super::{Case, error, says};
use crate::program::Program;

async fn drop_publications(case: &Case) {
    while let Some(name) = case.source.one("SELECT quote_ident(pubname) FROM pg_publication").await
    {
        case.source.run(&format!("DROP PUBLICATION {name}")).await;
    }
}

#[tokio::test]
async fn dropped_while_it_was_stopped() {
    let case = Case::new("pub_start").await;
    case.drain();
    drop_publications(&case).await;
    case.source.run("INSERT INTO t VALUES (2, 'unseen')").await;
    says(&case.error(), &["publication"]);
    case.source.drop_now().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_while_it_is_running() {
    let case = Case::new("pub_running").await;
    let arguments = case.arguments();
    let mut program = Program::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    program.wait_for("streaming", Duration::from_secs(30));
    drop_publications(&case).await;
    case.source.run("INSERT INTO t VALUES (2, 'unseen')").await;
    let status = program.wait(Duration::from_secs(30));
    assert_eq!(status.code(), Some(1), "{}", program.errors());
    says(&program.errors(), &["error: ", "publication"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn made_again_after_the_position_of_the_slot() {
    let case = Case::new("pub_later").await;
    case.drain();
    let names = case
        .source
        .one("SELECT string_agg(format('CREATE PUBLICATION %I FOR TABLE t', pubname), ';') FROM pg_publication WHERE pubupdate")
        .await
        .unwrap();
    drop_publications(&case).await;
    case.source.run("INSERT INTO t VALUES (2, 'unseen')").await;
    case.source.run(&names).await;
    says(&error(&case.arguments()), &["publication"]);
    case.source.drop_now().await;
}

#[tokio::test]
async fn the_users_own_one_is_not_there() {
    let case = Case::new("pub_own").await;
    let mut arguments = case.arguments();
    arguments.extend(["--publication".to_owned(), "mine".to_owned()]);
    let said = error(&arguments);
    says(&said, &["\"mine\" does not exist", "--publication", "CREATE PUBLICATION"]);
    assert!(!said.contains(".create_publication"), "{said}");
    case.source.drop_now().await;
}
