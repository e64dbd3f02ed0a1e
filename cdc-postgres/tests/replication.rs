//! The replication connection and the decoder on a real server.

// The whole crate is a test; clippy knows only its functions marked as such.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[path = "../../cdc-pgconn/tests/server/database.rs"]
mod database;

use std::time::Duration;

use cdc_pgconn::{ConnectConfig, ConnectError};
use cdc_postgres::Lsn;
use cdc_postgres::pgoutput::{Message, OldTuple, ReplicaIdentity, TupleColumn, decode};
use cdc_postgres::wire::command::{SlotSnapshot, create_slot, pgoutput_options};
use cdc_postgres::wire::connection::{ReplicationConnection, cancel};
use cdc_postgres::wire::copy_both::CopyBoth;
use cdc_postgres::wire::replication::{ReplicationMessage, StandbyStatus};
use cdc_testservers::Options;
use database::{PATIENCE, TestDatabase, shared};

/// A stream from a temporary slot of the database's name, which goes away with its connection.
async fn stream(config: &ConnectConfig, options: &[(&str, &str)]) -> CopyBoth {
    let slot = config.database();
    let mut connection = ReplicationConnection::connect(config).await.unwrap();
    // What exceeds this is streamed in blocks, where the protocol allows it.
    if connection.server_version() >= 130_000 {
        connection.simple_query("SET logical_decoding_work_mem = '64kB'").await.unwrap();
    }
    let create = if options.contains(&("two_phase", "on")) {
        format!(
            "CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'nothing', TWO_PHASE)"
        )
    } else {
        create_slot(slot, true, SlotSnapshot::Nothing)
    };
    // It waits for all open transactions.
    let created = tokio::time::timeout(PATIENCE, connection.simple_query(&create));
    created.await.expect("no transaction is open for long").unwrap();
    let version = options.iter().find(|(name, _)| *name == "proto_version").map_or("1", |o| o.1);
    let mut all = pgoutput_options(version.parse().unwrap(), &["cdc \"test\""]);
    let others = options.iter().filter(|(name, _)| !matches!(*name, "proto_version" | "two_phase"));
    all.extend(others.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    if options.contains(&("two_phase", "on")) {
        all.push(("two_phase".to_owned(), "on".to_owned()));
    }
    connection.start_replication(slot, Lsn::ZERO, &all).await.unwrap()
}

/// All messages until `last` says so.
async fn messages(stream: &mut CopyBoth, mut last: impl FnMut(&Message) -> bool) -> Vec<Message> {
    let mut seen = Vec::new();
    let mut in_stream = false;
    let reading = async {
        loop {
            let batch = stream.read_messages().await.unwrap().expect("the stream goes on");
            for message in batch {
                let ReplicationMessage::XLogData { data, .. } = message.unwrap() else { continue };
                let message = decode(data, in_stream).unwrap();
                match message {
                    Message::StreamStart(_) => in_stream = true,
                    Message::StreamStop => in_stream = false,
                    _ => {}
                }
                // The server describes once more what a full reset of its caches took away, whenever others change much.
                let describes = matches!(message, Message::Relation(_) | Message::Type(_));
                if describes && seen.contains(&message) {
                    continue;
                }
                let end = last(&message);
                seen.push(message);
                if end {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.expect("the messages come");
    seen
}

fn is_commit(message: &Message) -> bool {
    matches!(message, Message::Commit(_))
}

fn text(text: &str) -> TupleColumn {
    TupleColumn::Text(text.to_owned().into())
}

#[tokio::test]
async fn the_connection_answers_commands() {
    let config = shared();
    let mut connection = ReplicationConnection::connect(&config).await.unwrap();
    let system = connection.simple_query("IDENTIFY_SYSTEM").await.unwrap();
    assert_eq!(system.text(0, "dbname"), Some(config.database()));
    assert!(system.text(0, "systemid").is_some_and(|id| id.parse::<u64>().is_ok()));
    let position: Lsn = system.text(0, "xlogpos").unwrap().parse().unwrap();
    assert!(position > Lsn::ZERO);
    assert_eq!(
        connection.parameter("server_version").and_then(|v| v.split('.').next()?.parse().ok()),
        Some(connection.server_version() / 10_000)
    );

    let sql = "SELECT NULL::text AS a, 'x' AS b UNION ALL SELECT '', 'ä'";
    let result = connection.simple_query(sql).await.unwrap();
    assert_eq!(result.columns, ["a", "b"]);
    assert_eq!(result.rows, [[None, Some("x".into())], [Some(String::new()), Some("ä".into())]]);
    assert!(connection.simple_query("").await.unwrap().rows.is_empty());

    let error = connection.simple_query("SELECT 1/0").await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("22012"));
    let answer = connection.simple_query("SELECT 1 AS one").await.unwrap();
    assert_eq!(answer.text(0, "one"), Some("1"), "an error leaves the connection usable");
    connection.close().await.unwrap();
}

#[tokio::test]
async fn a_command_that_waits_is_cancelled() {
    let config = shared();
    let mut connection = ReplicationConnection::connect(&config).await.unwrap();
    let key = connection.cancel_key().unwrap();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel(&config, key).await.unwrap();
    };
    let (result, ()) = tokio::join!(connection.simple_query("SELECT pg_sleep(60)"), stop);
    assert_eq!(result.unwrap_err().sqlstate(), Some("57014"));
}

#[tokio::test]
async fn a_command_that_was_dropped_makes_the_connection_refuse_others() {
    let config = shared();
    let mut connection = ReplicationConnection::connect(&config).await.unwrap();
    let slow = connection.simple_query("SELECT pg_sleep(60)");
    assert!(tokio::time::timeout(Duration::from_millis(100), slow).await.is_err());
    let error = connection.simple_query("SELECT 1").await.unwrap_err();
    assert!(error.to_string().contains("connect anew"), "{error}");
    cancel(&config, connection.cancel_key().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_role_without_replication_and_a_wrong_password_are_refused() {
    let database = TestDatabase::create().await;
    let config = &database.config;
    let wrong = config.clone().with_password("wrong-password");
    let error = ReplicationConnection::connect(&wrong).await.unwrap_err();
    assert!(matches!(error, ConnectError::Authentication { .. }), "{error:?}");
    let missing = config.clone().with_database("no_such_database");
    let error = ReplicationConnection::connect(&missing).await.unwrap_err();
    assert!(matches!(error, ConnectError::DatabaseMissing { .. }), "{error:?}");

    let plain = database.role("plain", "").await;
    let error = ReplicationConnection::connect(&plain).await.unwrap_err();
    println!("{error}");
    assert!(matches!(error, ConnectError::Permission { .. }), "{error:?}");
}

#[tokio::test]
async fn every_message_of_protocol_1_arrives() {
    let database = TestDatabase::create().await;
    let (name, client) = (database.name.as_str(), &database.sql);
    client
        .batch_execute(&format!(
            "CREATE TYPE mood AS ENUM ('glad');
             CREATE TABLE plain (id int PRIMARY KEY, m mood, big text, n numeric(10,2));
             ALTER TABLE plain ALTER big SET STORAGE EXTERNAL;
             CREATE TABLE whole (a int, b text);
             ALTER TABLE whole REPLICA IDENTITY FULL;
             CREATE PUBLICATION \"cdc \"\"test\"\"\" FOR TABLE plain, whole;
             SELECT pg_replication_origin_create('{name}')",
        ))
        .await
        .unwrap();
    let with_messages = client.server_version() >= 140_000;
    let options: &[_] = if with_messages { &[("messages", "on")] } else { &[] };
    let mut stream = stream(&database.config, options).await;
    client
        .batch_execute(
            "BEGIN;
             INSERT INTO plain VALUES (1, 'glad', repeat('x', 9000), 1.5);
             UPDATE plain SET n = NULL WHERE id = 1;
             UPDATE plain SET id = 2 WHERE id = 1;
             DELETE FROM plain WHERE id = 2;
             INSERT INTO whole VALUES (1, NULL);
             UPDATE whole SET b = 'b';
             DELETE FROM whole;
             TRUNCATE plain, whole RESTART IDENTITY CASCADE;
             SELECT pg_logical_emit_message(true, 'audit', 'by me');
             COMMIT;",
        )
        .await
        .unwrap();
    let seen = messages(&mut stream, is_commit).await;
    let mut seen = seen.into_iter();
    let mut next = || seen.next().unwrap();

    let Message::Begin(begin) = next() else { panic!() };
    let Message::Type(mood) = next() else { panic!() };
    assert_eq!((mood.namespace.as_str(), mood.name.as_str()), ("public", "mood"));
    let Message::Relation(plain) = next() else { panic!() };
    assert_eq!((plain.name.as_str(), plain.replica_identity), ("plain", ReplicaIdentity::Default));
    let columns: Vec<_> = plain
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.is_key, c.type_id, c.type_modifier))
        .collect();
    assert_eq!(
        columns,
        [
            ("id", true, 23, -1),
            ("m", false, mood.id, -1),
            ("big", false, 25, -1),
            ("n", false, 1700, (10 << 16) + 2 + 4),
        ]
    );
    let Message::Insert(insert) = next() else { panic!() };
    let columns: Vec<_> = insert.new.columns().collect();
    assert_eq!(columns, [text("1"), text("glad"), text(&"x".repeat(9000)), text("1.50")]);
    assert_eq!((insert.relation_id, insert.xid), (plain.id, None));
    let Message::Update(update) = next() else { panic!() };
    assert_eq!(update.old, None);
    let columns: Vec<_> = update.new.columns().collect();
    assert_eq!(columns, [text("1"), text("glad"), TupleColumn::Unchanged, TupleColumn::Null]);
    let Message::Update(moved) = next() else { panic!() };
    let Some(OldTuple::Key(key)) = moved.old else { panic!() };
    assert_eq!(key.columns().next(), Some(text("1")));
    let Message::Delete(delete) = next() else { panic!() };
    let OldTuple::Key(key) = delete.old else { panic!() };
    assert_eq!((key.len(), key.columns().next()), (4, Some(text("2"))));

    let Message::Relation(whole) = next() else { panic!() };
    assert_eq!(whole.replica_identity, ReplicaIdentity::Full);
    let Message::Insert(_) = next() else { panic!() };
    let Message::Update(update) = next() else { panic!() };
    let Some(OldTuple::Full(old)) = update.old else { panic!() };
    assert_eq!(old.columns().collect::<Vec<_>>(), [text("1"), TupleColumn::Null]);
    let Message::Delete(delete) = next() else { panic!() };
    assert!(matches!(delete.old, OldTuple::Full(_)));
    // TRUNCATE gives the tables new files, so the server describes them again.
    let truncate = loop {
        match next() {
            Message::Relation(_) | Message::Type(_) => {}
            Message::Truncate(truncate) => break truncate,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        (truncate.relation_ids.len(), truncate.cascade, truncate.restart_identity),
        (2, true, true)
    );
    if with_messages {
        let Message::Message(audit) = next() else { panic!() };
        assert_eq!((audit.prefix.as_str(), &audit.content[..]), ("audit", &b"by me"[..]));
        assert!(audit.transactional && audit.lsn <= begin.final_lsn);
    }
    let Message::Commit(commit) = next() else { panic!() };
    assert_eq!((commit.commit_lsn, commit.commit_time), (begin.final_lsn, begin.commit_time));
    assert!(commit.end_lsn > commit.commit_lsn);

    if with_messages {
        let alone = "SELECT pg_logical_emit_message(false, 'audit', '')::text";
        let lsn: String = client.query_one(alone, &[]).await.unwrap().get(0);
        let seen = messages(&mut stream, |message| matches!(message, Message::Message(_))).await;
        let [Message::Message(audit)] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!((audit.transactional, audit.lsn), (false, lsn.parse().unwrap()));
    }

    // A transaction that came from elsewhere names its origin.
    client
        .batch_execute(&format!(
            "SELECT pg_replication_origin_session_setup('{name}');
             BEGIN; SELECT pg_replication_origin_xact_setup('0/16B3748', now());
             INSERT INTO whole VALUES (9, ''); COMMIT;
             SELECT pg_replication_origin_session_reset()",
        ))
        .await
        .unwrap();
    let seen = messages(&mut stream, is_commit).await;
    let Message::Origin(origin) = &seen[1] else { panic!("{seen:?}") };
    assert_eq!((origin.name.as_str(), origin.commit_lsn), (name, Lsn(0x16B_3748)));

    // What is confirmed shows at the slot; a graceful end leaves the connection to use.
    let flush = commit.end_lsn;
    let status = StandbyStatus { write: flush, flush, apply: flush, reply_requested: true };
    stream.send_status(status).await.unwrap();
    let mut confirmed = Lsn::ZERO;
    for _ in 0..500 {
        let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
        let row = client.query_one(sql, &[&name]).await.unwrap();
        confirmed = row.get::<_, String>(0).parse().unwrap();
        if confirmed == flush {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(confirmed, flush);
    // The reply that was asked for, after what was sent before it.
    let reply = async {
        while let Some(batch) = stream.read_messages().await.unwrap() {
            for message in batch {
                if let ReplicationMessage::Keepalive { .. } = message.unwrap() {
                    return;
                }
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reply).await.expect("a keepalive comes");
    let mut connection = stream.finish().await.unwrap();
    let answer = connection.simple_query("SELECT 7 AS n").await.unwrap();
    assert_eq!(answer.text(0, "n"), Some("7"));
    connection.close().await.unwrap();
}

#[tokio::test]
async fn transactions_in_progress_and_prepared_ones_arrive() {
    // A prepared transaction holds up every slot that is made meanwhile.
    let database = TestDatabase::on_own_server(Options::new()).await;
    let client = &database.sql;
    let version = client.server_version();
    if database.lacks("the stream of prepared transactions", 15) {
        return;
    }
    client
        .batch_execute(
            "CREATE TABLE t (id int PRIMARY KEY, v text);
             CREATE PUBLICATION \"cdc \"\"test\"\"\" FOR TABLE t",
        )
        .await
        .unwrap();
    let parallel = version >= 160_000;
    let (proto, streaming) = if parallel { ("4", "parallel") } else { ("3", "on") };
    let options = [("proto_version", proto), ("streaming", streaming), ("two_phase", "on")];
    let mut stream = stream(&database.config, &options).await;
    let many = |from: u32| {
        format!(
            "INSERT INTO t SELECT i, repeat('v', 100) FROM generate_series({from}, {from} + 3000) AS i;"
        )
    };
    // One at a time: PREPARE and COMMIT PREPARED go into no batch.
    for sql in [
        format!("BEGIN; {} SAVEPOINT s; {} ROLLBACK TO s; COMMIT", many(0), many(10_000)),
        format!("BEGIN; {} ROLLBACK", many(20_000)),
        "BEGIN; INSERT INTO t VALUES (-1, NULL); PREPARE TRANSACTION 'cdc_small'".to_owned(),
        "COMMIT PREPARED 'cdc_small'".to_owned(),
        "BEGIN; INSERT INTO t VALUES (-2, NULL); PREPARE TRANSACTION 'cdc_back'".to_owned(),
        "ROLLBACK PREPARED 'cdc_back'".to_owned(),
        format!("BEGIN; {} PREPARE TRANSACTION 'cdc_large'", many(30_000)),
        "COMMIT PREPARED 'cdc_large'".to_owned(),
        "INSERT INTO t VALUES (-3, NULL)".to_owned(),
    ] {
        client.batch_execute(&sql).await.unwrap();
    }
    let seen = messages(&mut stream, is_commit).await;
    let count = |kind: fn(&Message) -> bool| seen.iter().filter(|message| kind(message)).count();
    let starts = count(|m| matches!(m, Message::StreamStart(_)));
    assert!(starts > 2, "{starts} blocks");
    assert_eq!(count(|m| matches!(m, Message::StreamStop)), starts);
    assert!(count(|m| matches!(m, Message::StreamStart(start) if start.first)) >= 2);
    assert_eq!(count(|m| matches!(m, Message::StreamCommit(_))), 1);
    assert!(count(|m| matches!(m, Message::StreamAbort(_))) >= 1);
    for message in &seen {
        if let Message::StreamAbort(abort) = message {
            assert_eq!(abort.at.is_some(), parallel);
        }
    }
    assert!(count(|m| matches!(m, Message::Insert(insert) if insert.xid.is_some())) > 3000);
    assert_eq!(count(|m| matches!(m, Message::BeginPrepare(_))), 2);
    assert_eq!(count(|m| matches!(m, Message::Prepare(_))), 2);
    assert_eq!(
        count(|m| matches!(m, Message::RollbackPrepared(back) if back.gid == "cdc_back")),
        1
    );
    assert_eq!(count(|m| matches!(m, Message::CommitPrepared(_))), 2);
    assert_eq!(
        count(|m| matches!(m, Message::StreamPrepare(large) if large.gid == "cdc_large")),
        1
    );
    stream.finish().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn settings_of_the_role_change_no_value_in_the_stream() {
    let database = TestDatabase::create().await;
    let client = &database.sql;
    client
        .batch_execute(
            "CREATE TABLE t (d date, z timestamptz, i interval, b bytea, f float8, c text);
             CREATE PUBLICATION \"cdc \"\"test\"\"\" FOR TABLE t",
        )
        .await
        .unwrap();
    let role = database.contrary_role().await;
    let mut stream = stream(&role, &[]).await;
    client
        .batch_execute(
            r"INSERT INTO t VALUES ('2024-02-29', '2024-02-29 12:00+09', '1 month 2 days 03:04',
                 '\x00ff', 0.1::float8 + 0.2::float8, 'ä€')",
        )
        .await
        .unwrap();
    let seen = messages(&mut stream, is_commit).await;
    let insert = seen.iter().find_map(|message| match message {
        Message::Insert(insert) => Some(insert.new.columns().collect::<Vec<_>>()),
        _ => None,
    });
    let expected = [
        "2024-02-29",
        "2024-02-29 03:00:00+00",
        "1 mon 2 days 03:04:00",
        r"\x00ff",
        "0.30000000000000004",
        "ä€",
    ];
    assert_eq!(insert.unwrap(), expected.map(text));
    let mut connection = stream.finish().await.unwrap();
    let timeout = connection.simple_query("SHOW statement_timeout").await.unwrap();
    assert_eq!(timeout.text(0, "statement_timeout"), Some("0"));
    connection.close().await.unwrap();
}

#[tokio::test]
async fn reading_can_be_cancelled_at_any_moment_without_loss() {
    let database = TestDatabase::create().await;
    let client = &database.sql;
    client
        .batch_execute(
            "CREATE TABLE t (id int, v text);
             CREATE PUBLICATION \"cdc \"\"test\"\"\" FOR TABLE t WITH (publish = 'insert')",
        )
        .await
        .unwrap();
    let mut stream = stream(&database.config, &[]).await;
    // Single rows larger than the read buffer among small ones.
    let insert =
        "INSERT INTO t SELECT i, repeat('v', CASE WHEN i % 500 = 0 THEN 700000 ELSE 100 END)
                  FROM generate_series(1, 5000) AS i";
    client.batch_execute(insert).await.unwrap();
    let mut ids = Vec::new();
    let (mut commits, mut cancelled) = (0, 0);
    while commits == 0 {
        let read = tokio::time::timeout(Duration::from_micros(50), stream.read_messages()).await;
        let Ok(batch) = read else {
            cancelled += 1;
            assert!(cancelled < 1_000_000, "nothing comes");
            continue;
        };
        // Not all of them: the others are given next time.
        for message in batch.unwrap().unwrap().take(7) {
            let ReplicationMessage::XLogData { data, .. } = message.unwrap() else { continue };
            match decode(data, false).unwrap() {
                Message::Insert(insert) => ids.extend(insert.new.columns().next()),
                Message::Commit(_) => commits += 1,
                _ => {}
            }
        }
        stream.send_status(StandbyStatus::default()).await.unwrap();
    }
    println!("{cancelled} reads were cancelled");
    let expected: Vec<_> = (1..=5000).map(|id: u32| text(&id.to_string())).collect();
    assert!(ids == expected, "{} of 5000 rows", ids.len());
    stream.finish().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_missing_slot_and_one_in_use_are_told_apart_and_closing_frees_it() {
    let database = TestDatabase::create().await;
    let client = &database.sql;
    client.batch_execute("CREATE PUBLICATION \"cdc \"\"test\"\"\"").await.unwrap();
    let options = pgoutput_options(1, &["cdc \"test\""]);
    let slot = database.name.as_str();
    let start = || async {
        let connection = ReplicationConnection::connect(&database.config).await.unwrap();
        connection.start_replication(slot, Lsn::ZERO, &options).await
    };
    let error = start().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("42704"));
    database.run(&format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')")).await;
    let first = start().await.unwrap();
    let error = start().await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("55006"), "{error}");
    first.finish().await.unwrap().close().await.unwrap();
    let again = start().await.unwrap();
    again.finish().await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn a_server_that_ends_the_stream_says_why() {
    let database = TestDatabase::create().await;
    let client = &database.sql;
    client.batch_execute("CREATE PUBLICATION \"cdc \"\"test\"\"\"").await.unwrap();
    let mut stream = stream(&database.config, &[]).await;
    let pid = stream.connection().cancel_key().unwrap().process_id;
    client.execute("SELECT pg_terminate_backend($1)", &[&pid]).await.unwrap();
    let error = loop {
        match stream.read_messages().await {
            Ok(Some(mut batch)) => {
                if let Some(Err(error)) = batch.find(Result::is_err) {
                    break error;
                }
            }
            Ok(None) => panic!("the error was swallowed"),
            Err(error) => panic!("only a broken connection: {error}"),
        }
    };
    assert!(matches!(error, ConnectError::ShuttingDown { .. }), "{error:?}");
}
