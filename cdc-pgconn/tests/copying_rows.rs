//! Rows of a COPY in large pieces, from a real server.

// The whole crate is a test; clippy knows only its functions marked as such.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

mod server;

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use cdc_pgconn::tokio_postgres::{Error, SimpleQueryMessage};
use cdc_pgconn::{CopyRows, Session, SqlClient, SslMode, connect_sql};
use futures_util::{StreamExt as _, TryStreamExt as _};
use server::database::{PATIENCE, TestDatabase, shared};

const MANY: usize = 300_000;
const COPY_MANY: &str =
    "COPY (SELECT n, 'row ' || n FROM generate_series(1, 300000) n) TO STDOUT /* all */";
/// More than any buffer holds; in the list of columns the series is made as it is read.
const COPY_ENDLESS: &str =
    "COPY (SELECT generate_series(1, 1000000000), repeat('x', 100)) TO STDOUT";

async fn session() -> SqlClient {
    connect_sql(&shared(), &Session::default()).await.unwrap()
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("not in time")
}

/// The bodies of whole messages.
fn bodies(mut run: &[u8]) -> Vec<&[u8]> {
    assert!(!run.is_empty());
    let mut bodies = Vec::new();
    while let Some((&[kind, a, b, c, d], rest)) = run.split_first_chunk::<5>() {
        assert_eq!(kind, b'd');
        let (body, rest) = rest.split_at(u32::from_be_bytes([a, b, c, d]) as usize - 4);
        bodies.push(body);
        run = rest;
    }
    assert!(run.is_empty(), "a message that is not whole");
    bodies
}

/// Reads to the end: all rows, in how many pieces, and how it ended.
async fn read(rows: &mut CopyRows) -> (Vec<String>, usize, Result<(), Error>) {
    let (mut all, mut pieces) = (Vec::new(), 0);
    loop {
        match soon(rows.next()).await {
            Ok(Some(run)) => {
                pieces += 1;
                let text = |body: &&[u8]| String::from_utf8(body.to_vec()).unwrap();
                all.extend(bodies(&run).iter().map(text));
            }
            Ok(None) => return (all, pieces, Ok(())),
            Err(error) => return (all, pieces, Err(error)),
        }
    }
}

/// As [`read`], without an error.
async fn rows_of(client: &SqlClient, statement: &str) -> Vec<String> {
    let (rows, _, end) = read(&mut soon(client.copy_rows(statement)).await.unwrap()).await;
    end.unwrap();
    rows
}

fn numbers(from: usize, to: usize) -> Vec<String> {
    (from..=to).map(|n| format!("{n}\n")).collect()
}

async fn is_usable(client: &SqlClient) {
    let row = soon(client.query_one("SELECT 7", &[])).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
    let two = rows_of(client, "COPY (SELECT generate_series(1, 2)) TO STDOUT").await;
    assert_eq!(two, numbers(1, 2));
}

#[tokio::test]
async fn all_rows_come_in_their_order_in_few_pieces() {
    for mode in [SslMode::Disable, SslMode::Require] {
        let config = shared().with_ssl_mode(mode);
        let client = connect_sql(&config, &Session::default()).await.unwrap();
        let mut copied = client.copy_rows(COPY_MANY).await.unwrap();
        let (rows, pieces, end) = read(&mut copied).await;
        end.unwrap();
        let expected = (1..=MANY).map(|n| format!("{n}\trow {n}\n"));
        assert!(rows.into_iter().eq(expected), "{mode}");
        assert!(pieces < MANY / 50, "{mode}: {pieces} pieces");
        assert!(copied.next().await.unwrap().is_none(), "the end stays");
        is_usable(&client).await;
    }
}

#[tokio::test]
async fn an_error_in_the_middle_comes_after_the_rows_before_it() {
    let client = session().await;
    let statement = "COPY (SELECT 1 / (n - 1000) FROM generate_series(1, 5000) n) TO STDOUT";
    let mut copied = client.copy_rows(statement).await.unwrap();
    let (rows, _, end) = read(&mut copied).await;
    assert_eq!(rows.len(), 999);
    assert_eq!(end.unwrap_err().code().unwrap().code(), "22012");
    assert!(copied.next().await.unwrap().is_none());
    is_usable(&client).await;
}

#[tokio::test]
async fn a_statement_that_is_refused_has_no_rows_and_an_error() {
    let client = session().await;
    for (statement, code) in [("COPY no_such_table TO STDOUT", "42P01"), ("COPY nonsense", "42601")]
    {
        let (rows, _, end) = read(&mut client.copy_rows(statement).await.unwrap()).await;
        assert!(rows.is_empty());
        assert_eq!(end.unwrap_err().code().unwrap().code(), code);
        // Nobody waits for that one's error.
        drop(client.copy_rows(statement).await.unwrap());
        is_usable(&client).await;
    }
    let (rows, _, end) = read(&mut client.copy_rows("SELECT 1").await.unwrap()).await;
    assert!(rows.is_empty() && end.is_ok(), "a statement without rows of COPY");
}

#[tokio::test]
async fn a_copy_that_is_given_up_is_cancelled_and_rolled_back() {
    let config = shared();
    let client = session().await;
    for reads_some in [false, true] {
        client.batch_execute("BEGIN; SET LOCAL application_name = 'given up'").await.unwrap();
        let mut copied = client.copy_rows(COPY_ENDLESS).await.unwrap();
        if reads_some {
            assert!(soon(copied.next()).await.unwrap().is_some());
        } else {
            // It may be that the server has not even begun.
            tokio::task::yield_now().await;
        }
        drop(copied);
        client.cancel(&config).await.unwrap();
        let rolled_back = tokio::time::timeout(Duration::from_secs(2), async {
            // A cancel that came before the statement had no effect.
            while tokio::time::timeout(Duration::from_millis(300), client.batch_execute("ROLLBACK"))
                .await
                .is_err()
            {
                client.cancel(&config).await.unwrap();
            }
        });
        rolled_back.await.unwrap();
        is_usable(&client).await;
    }
}

#[tokio::test]
async fn the_rest_of_a_copy_that_was_dropped_is_thrown_away() {
    let client = session().await;
    for _ in 0..3 {
        let mut copied = client.copy_rows(COPY_MANY).await.unwrap();
        assert!(soon(copied.next()).await.unwrap().is_some());
        drop(copied);
        drop(client.copy_rows(COPY_MANY).await.unwrap());
        is_usable(&client).await;
    }
}

#[tokio::test]
async fn a_connection_that_is_killed_in_the_middle_is_an_error() {
    let (client, admin) = (session().await, session().await);
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let mut copied = client.copy_rows(COPY_ENDLESS).await.unwrap();
    assert!(soon(copied.next()).await.unwrap().is_some());
    admin.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    let error = soon(async {
        loop {
            match copied.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ended like a whole copy"),
                Err(error) => return error,
            }
        }
    });
    let error = error.await;
    assert_eq!(error.code().map(|code| code.code()), Some("57P01"), "{error}");
    assert!(client.copy_rows(COPY_MANY).await.is_err() || client.is_closed());
}

#[tokio::test]
async fn a_copy_of_a_client_that_is_dropped_ends() {
    let client = session().await;
    let mut copied = client.copy_rows(COPY_ENDLESS).await.unwrap();
    assert!(soon(copied.next()).await.unwrap().is_some());
    drop(client);
    assert!(read(&mut copied).await.2.unwrap_err().is_closed());
}

#[tokio::test]
async fn a_row_larger_than_any_buffer_is_whole() {
    const SIZE: usize = 50 << 20;
    let client = session().await;
    let statement = format!(
        "COPY (SELECT CASE n WHEN 2 THEN repeat('ab', {}) ELSE n::text END FROM generate_series(1, 3) n) TO STDOUT",
        SIZE / 2
    );
    let rows = rows_of(&client, &statement).await;
    assert_eq!((rows.len(), &*rows[0], &*rows[2]), (3, "1\n", "3\n"));
    assert!(rows[1].len() == SIZE + 1 && rows[1].ends_with("ab\n"));
    // One that is thrown away does not hold up what follows either.
    let mut copied = client.copy_rows(&statement).await.unwrap();
    assert!(soon(copied.next()).await.unwrap().is_some());
    drop(copied);
    is_usable(&client).await;
}

#[tokio::test]
async fn a_reader_that_stands_still_holds_up_the_server_and_what_waits_behind() {
    let (client, admin) = (session().await, session().await);
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let sent = || async {
        let sent = "SELECT bytes_processed FROM pg_stat_progress_copy WHERE pid = $1";
        // Before PostgreSQL 14 nobody tells.
        let row = admin.query_opt(sent, &[&pid]).await.ok().flatten();
        row.map(|row| row.get::<_, i64>(0))
    };
    let mut copied =
        client.copy_rows(&COPY_MANY.replace("'row '", "repeat('x', 500)")).await.unwrap();
    assert!(soon(copied.next()).await.unwrap().is_some());
    let mut behind = pin!(client.query_one("SELECT 7", &[]));
    let waits = tokio::time::timeout(Duration::from_millis(700), behind.as_mut());
    assert!(waits.await.is_err(), "its answer is behind the rows");
    let before = sent().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(before, sent().await, "nothing is read that nobody takes");
    assert!(before.unwrap_or_default() < 64 << 20, "{before:?}");

    let (rows, _, end) = tokio::join!(read(&mut copied), soon(behind.as_mut())).0;
    end.unwrap();
    assert!(rows.len() > MANY / 2);
    is_usable(&client).await;
}

#[tokio::test]
async fn a_plain_copy_beside_is_left_alone() {
    let client = session().await;
    let plain = |from: usize| {
        let to = from + 99_999;
        format!("COPY (SELECT generate_series({from}, {to})) TO STDOUT")
    };
    let text = |rows: Vec<Bytes>| -> Vec<String> {
        rows.iter().map(|row| String::from_utf8(row.to_vec()).unwrap()).collect()
    };
    // One before it is not read yet, and one waits behind it.
    let before = soon(client.copy_out(&plain(1))).await.unwrap();
    let prepared = async {
        let rows = client.copy_out(&plain(300_001)).await.unwrap();
        rows.try_collect::<Vec<_>>().await.unwrap()
    };
    let taken = async {
        let mut rows = client.copy_rows(&plain(200_001)).await.unwrap();
        read(&mut rows).await.0
    };
    let first = async { before.try_collect::<Vec<_>>().await.unwrap() };
    let (first, taken, behind) = soon(async { tokio::join!(first, taken, prepared) }).await;
    assert_eq!(text(first), numbers(1, 100_000));
    assert_eq!(taken, numbers(200_001, 300_000));
    assert_eq!(text(behind), numbers(300_001, 400_000));

    // The rows of a plain copy that nobody reads are not taken for those of the next.
    let mut left = Box::pin(client.copy_out(&plain(1)).await.unwrap());
    assert!(left.next().await.unwrap().is_ok());
    drop(left);
    is_usable(&client).await;
}

#[tokio::test]
async fn copies_of_one_session_take_turns() {
    let client = session().await;
    let one = |n: usize| {
        let client = &client;
        async move {
            let copied = format!("COPY (SELECT {n} FROM generate_series(1, 20000)) TO STDOUT");
            (n, rows_of(client, &copied).await)
        }
    };
    let all = soon(futures_util::future::join_all((1..=5).map(one))).await;
    for (n, rows) in all {
        assert!(rows.len() == 20_000 && rows.iter().all(|row| *row == format!("{n}\n")));
    }
}

#[tokio::test]
async fn notices_and_changed_settings_between_rows_pass() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE FUNCTION noisy(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
               RAISE NOTICE 'row %', n;
               PERFORM set_config('application_name', 'row ' || n, false);
               RETURN n;
             END $$",
        )
        .await;
    let client = database.session().await;
    let rows =
        rows_of(&client, "COPY (SELECT noisy(n) FROM generate_series(1, 3000) n) TO STDOUT").await;
    assert_eq!(rows, numbers(1, 3000));
    let answers = client.simple_query("SHOW application_name").await.unwrap();
    let name = answers.iter().find_map(|answer| match answer {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(name, Some("row 3000"));
}
