//! A commit that is in the log before others can see it: the schedule that every merge by log positions alone gets wrong,
//! on a real server. First the merge is driven by hand: the log comes from `test_decoding`, chunks are read as they have to be. Then the
//! source does it, also across kills.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cdc_core::snapshot::{
    Began, FirstReads, Merge, MergeOptions, SnapshotState, Stamp, TablePlan, Visible,
};
use cdc_core::{
    BatchLimits, Change, ChangeEvent, DataType, Destination, Field, Operation, Origin, Request,
    Row, Schema, SnapshotMark, TableId, TransactionId, TransactionOrigin, ValueRef,
};
use cdc_pgconn::SqlClient;
use cdc_postgres::SnapshotMode;
use support::{Copy, PATIENCE, TestDatabase};

/// `pg_current_snapshot()`; the server is young enough for its ids to be those of the log.
#[derive(Debug, Clone)]
struct Snapshot {
    xmax: u32,
    in_progress: Vec<u32>,
}

impl Snapshot {
    fn ended(&self, xid: u32) -> bool {
        xid < self.xmax && !self.in_progress.contains(&xid)
    }
}

impl Visible for Snapshot {
    const EXACT: bool = true;
    type Position = u64;
    type Barrier = Vec<u32>;

    fn shows(&self, transaction: &TransactionOrigin) -> bool {
        matches!(transaction.id, Some(TransactionId::Xid(xid)) if self.ended(xid))
    }

    fn clears(&self, barrier: &mut Vec<u32>) -> bool {
        barrier.retain(|xid| !self.ended(*xid));
        barrier.is_empty()
    }

    fn came_by(barrier: &mut Vec<u32>, transaction: &TransactionOrigin) -> bool {
        barrier.retain(|xid| transaction.id != Some(TransactionId::Xid(*xid)));
        barrier.is_empty()
    }
}

const SNAPSHOT: &str = "SELECT pg_current_snapshot()::text";
const INSERT_LSN: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::text";
/// A transaction holds the lock on its own id until others can see it.
const LOCKED: &str = "SELECT coalesce(string_agg(transactionid::text, ','), '') FROM pg_locks
    WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock'";

const TO_999: &str = "UPDATE account SET v = 999 WHERE id = 1";

/// Two accounts of 100 and 200 on a server of their own, where commits can be made to wait; none where it cannot tell what is
/// visible.
async fn two_accounts(amount: &str) -> Option<TestDatabase> {
    let database = TestDatabase::where_commits_can_wait().await;
    if database.lacks("pg_current_snapshot", 13) {
        return None;
    }
    database
        .run(&format!(
            "CREATE TABLE account (id int PRIMARY KEY, {amount} NOT NULL);
             INSERT INTO account VALUES (1, 100), (2, 200)"
        ))
        .await;
    Some(database)
}

async fn text(client: &SqlClient, query: &str) -> String {
    client.query_one(query, &[]).await.unwrap().get(0)
}

async fn snapshot(client: &SqlClient) -> Snapshot {
    let text = text(client, SNAPSHOT).await;
    let parts: Vec<&str> = text.split(':').collect();
    Snapshot { xmax: parts[1].parse().unwrap(), in_progress: numbers(parts[2]) }
}

fn numbers(list: &str) -> Vec<u32> {
    list.split(',').filter(|xid| !xid.is_empty()).map(|xid| xid.parse().unwrap()).collect()
}

/// A source in small, with the target behind it.
struct Shop {
    database: TestDatabase,
    merge: Merge<Snapshot>,
    position: u64,
    target: BTreeMap<i32, i32>,
    schema: Arc<Schema>,
    table: TableId,
}

impl Shop {
    /// Two accounts, and a log that begins behind them.
    async fn open() -> Option<Shop> {
        let database = two_accounts("v int").await?;
        database.run("SELECT pg_create_logical_replication_slot('s', 'test_decoding')").await;
        let table = TableId::new("public", "account");
        let schema = Schema::builder()
            .table(table.clone())
            .fields(["id", "v"].map(|name| Field::required(name, DataType::Int32)))
            .key(["id"])
            .build()
            .unwrap();
        let position = text(&database.sql, INSERT_LSN).await.parse().unwrap();
        let merge = Merge::new(MergeOptions::default(), position, SnapshotState::default());
        let target = BTreeMap::new();
        Some(Shop { database, merge, position, target, schema, table })
    }

    /// All that the log has now.
    async fn stream(&mut self) -> usize {
        let end: u64 = text(&self.database.sql, INSERT_LSN).await.parse().unwrap();
        let query = "SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL)";
        let rows = self.database.sql.query(query, &[]).await.unwrap();
        let mut transaction = self.transaction(None);
        let mut events = Vec::new();
        for row in &rows {
            let data: String = row.get(0);
            if let Some(xid) = data.strip_prefix("BEGIN ") {
                transaction = self.transaction(xid.parse().ok());
                self.merge.begin(&transaction);
            } else if data.starts_with("COMMIT ") {
                self.merge.commit(self.position).unwrap();
            } else {
                let number = |name: &str| -> i32 {
                    let value = data.split(&format!("{name}[integer]:")).nth(1).unwrap();
                    value.split(' ').next().unwrap().parse().unwrap()
                };
                let row = self.row(number("id"), number("v"));
                let origin = Origin {
                    transaction: Arc::clone(&transaction),
                    index: 0,
                    log_position: self.position,
                    table: Some(Arc::new(self.table.clone())),
                    snapshot: SnapshotMark::No,
                    shown_by_snapshot: false,
                    batch: 0,
                    place: 0,
                };
                let change = Change::update(None, row);
                let event = ChangeEvent::change(Destination::of_table(&self.table), change, origin);
                self.merge.change(event, &mut events).unwrap();
            }
        }
        let streamed = events.len();
        self.apply(events);
        self.position = end;
        self.merge.reached(end).unwrap();
        streamed
    }

    fn transaction(&self, xid: Option<u32>) -> Arc<TransactionOrigin> {
        Arc::new(TransactionOrigin {
            connector: "postgresql",
            database: "shop".into(),
            id: xid.map(TransactionId::Xid),
            commit_time_us: None,
            position: [self.position, 0],
            previous_commit: None,
            replicated_from: None,
        })
    }

    fn row(&self, id: i32, v: i32) -> Row {
        Row::new(Arc::clone(&self.schema), vec![id.into(), v.into()]).unwrap()
    }

    fn apply(&mut self, events: Vec<ChangeEvent>) {
        for event in events {
            if event.operation() == Some(Operation::Table) {
                continue;
            }
            let number = |name| match event.after().unwrap().by_name(name) {
                Some(ValueRef::Int32(value)) => value,
                other => panic!("{name} is {other:?}"),
            };
            self.target.insert(number("id"), number("v"));
        }
    }

    async fn ask_for_the_barrier(&mut self) -> Vec<u32> {
        let ticket = self.merge.wants_barrier().expect("a question");
        let locked = numbers(&text(&self.database.sql, LOCKED).await);
        self.merge.barrier(ticket, &locked);
        locked
    }

    async fn observe(&mut self) {
        let visible = snapshot(&self.database.sql).await;
        self.merge.observed(visible);
    }

    /// Reads what there is to read as a shell has to, and gives what the read itself saw.
    async fn read(&mut self) -> Option<BTreeMap<i32, i32>> {
        let read = self.merge.next_read()?;
        let reader = self.database.session().await;
        reader
            .batch_execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                 LOCK TABLE account IN ACCESS SHARE MODE",
            )
            .await
            .unwrap();
        let visible = snapshot(&reader).await;
        let horizon = text(&reader, INSERT_LSN).await.parse().unwrap();
        let rows = reader.query("SELECT id, v FROM account ORDER BY id", &[]).await.unwrap();
        reader.batch_execute("COMMIT").await.unwrap();
        let seen: BTreeMap<i32, i32> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let schema = Arc::clone(&self.schema);
        let destination = Destination::of_table(&self.table);
        self.merge.read_began(read.id, Began { visible, horizon, schema, destination });
        let rows: Vec<Row> = seen.iter().map(|(id, v)| self.row(*id, *v)).collect();
        let bytes = rows.iter().map(Row::size).sum();
        self.merge.read_rows(read.id, rows, bytes);
        self.merge.read_ended(read.id, true, Duration::from_millis(1)).unwrap();
        self.stream().await;
        let mut events = Vec::new();
        let stamp = Stamp { transaction: self.transaction(None), log_position: self.position };
        self.merge.take(&BatchLimits::default(), &stamp, |event, _| events.push(event));
        self.apply(events);
        Some(seen)
    }
}

fn accounts(first: i32) -> BTreeMap<i32, i32> {
    BTreeMap::from([(1, first), (2, 200)])
}

#[tokio::test]
async fn a_read_that_lags_behind_the_stream_takes_nothing_back() {
    let Some(mut shop) = Shop::open().await else { return };
    let plan = TablePlan::new(shop.table.clone(), ["id"]);
    shop.merge.request([plan], FirstReads::Own);
    assert!(shop.ask_for_the_barrier().await.is_empty(), "nobody writes");
    shop.observe().await;

    let waiting = shop.database.commit_that_waits(TO_999).await;
    assert_eq!(shop.stream().await, 1, "the log has the commit that nobody sees");
    assert_eq!(shop.target, BTreeMap::from([(1, 999)]));
    let seen = shop.read().await.expect("a read");
    assert_eq!(seen, accounts(100), "a merge by log positions would now emit 100");
    assert_eq!(shop.target, accounts(999));
    assert!(shop.merge.is_idle() && !waiting.is_finished());

    shop.database.let_commits_end().await;
    waiting.await.unwrap();
}

#[tokio::test]
async fn after_a_kill_nothing_is_read_before_what_the_log_had_is_visible() {
    let Some(mut shop) = Shop::open().await else { return };
    let plan = TablePlan::new(shop.table.clone(), ["id"]);
    shop.merge.request([plan], FirstReads::Own);
    shop.ask_for_the_barrier().await;
    shop.observe().await;
    let waiting = shop.database.commit_that_waits(TO_999).await;
    assert_eq!(shop.stream().await, 1);

    // Killed: the next run has the offset, and a stream that begins behind the commit.
    let state = SnapshotState::from_json(&shop.merge.state().to_json()).unwrap();
    shop.merge = Merge::new(MergeOptions::default(), shop.position, state);
    let locked = shop.ask_for_the_barrier().await;
    assert_eq!(locked.len(), 1, "the transaction holds the lock on its id while it waits");
    let visible = snapshot(&shop.database.sql).await;
    assert!(!visible.in_progress.contains(&locked[0]), "a snapshot does not list the newest ids");
    shop.merge.observed(visible);
    assert!(shop.read().await.is_none(), "a read would show 100");
    assert_eq!(shop.stream().await, 0, "the stream never brings the change again");
    assert!(shop.read().await.is_none());

    shop.database.let_commits_end().await;
    waiting.await.unwrap();
    assert!(shop.merge.wants_visible());
    shop.observe().await;
    assert_eq!(shop.read().await, Some(accounts(999)));
    assert_eq!(shop.target, accounts(999));
    assert!(shop.merge.is_idle());
}

/// A source that copies accounts, on a server where commits can be made to wait.
struct Source {
    database: TestDatabase,
    copy: Copy,
}

impl Source {
    async fn of_two_accounts(mode: SnapshotMode) -> Option<Source> {
        let database = two_accounts("version bigint").await?;
        let copy = Copy::new(database.source().snapshot(mode));
        Some(Source { database, copy })
    }

    async fn kill(&mut self, mode: SnapshotMode) {
        self.copy.kill(self.database.source().snapshot(mode)).await;
        self.copy.start().await.unwrap();
    }

    /// What of the snapshot comes within a second.
    async fn rows_for_a_second(&mut self) -> usize {
        let second = tokio::time::sleep(Duration::from_secs(1));
        tokio::pin!(second);
        loop {
            tokio::select! {
                () = &mut second => break,
                step = self.copy.step() => step.unwrap(),
            }
        }
        self.rows().len()
    }

    fn rows(&self) -> Vec<&ChangeEvent> {
        self.copy.target.of("public.account", Operation::Read)
    }

    async fn ends_equal_when_nobody_waits(mut self, waiting: tokio::task::JoinHandle<()>) {
        self.database.let_commits_end().await;
        waiting.await.unwrap();
        self.copy.until_read().await.unwrap();
        self.copy.finish(&self.database).await;
    }
}

fn account() -> Request {
    Request::snapshot([TableId::new("public", "account")])
}

#[tokio::test]
async fn while_a_commit_waits_for_a_standby_chunks_go_on_and_show_nothing_older() {
    let Some(mut source) = Source::of_two_accounts(SnapshotMode::NoData).await else { return };
    source.copy.start().await.unwrap();
    source.copy.catch_up().await.unwrap();
    // Halted before it has begun, and gone on with.
    source.copy.ask(Request::PauseSnapshot);
    source.copy.ask(account());
    source.copy.ask(Request::ResumeSnapshot);
    source.copy.until_read().await.unwrap();
    source
        .copy
        .until(|copy| copy.target.of("public.account", Operation::Read).len() == 2)
        .await
        .unwrap();
    let waiting =
        source.database.commit_that_waits("UPDATE account SET version = 999 WHERE id = 1").await;
    source
        .copy
        .until(|copy| !copy.target.of("public.account", Operation::Update).is_empty())
        .await
        .unwrap();
    // Asked for only now, it was not remembered: nothing is read before it is visible.
    source.copy.ask(account());
    source.copy.until(|copy| !copy.left().is_empty()).await.unwrap();
    assert_eq!(source.rows_for_a_second().await, 2);
    source.ends_equal_when_nobody_waits(waiting).await;
}

#[tokio::test]
async fn killed_while_a_commit_waits_the_source_reads_nothing_older() {
    let Some(mut source) = Source::of_two_accounts(SnapshotMode::NoData).await else { return };
    source.copy.start().await.unwrap();
    source.copy.catch_up().await.unwrap();
    source.copy.ask(account());
    source
        .copy
        .until(|copy| copy.target.of("public.account", Operation::Read).len() == 2)
        .await
        .unwrap();
    source.copy.until_read().await.unwrap();
    let waiting =
        source.database.commit_that_waits("UPDATE account SET version = 999 WHERE id = 1").await;
    source
        .copy
        .until(|copy| !copy.target.of("public.account", Operation::Update).is_empty())
        .await
        .unwrap();
    source.copy.ask(account());
    source.copy.until(|copy| !copy.left().is_empty()).await.unwrap();
    source.kill(SnapshotMode::NoData).await;
    assert_eq!(source.rows_for_a_second().await, 2, "the stream never brings the change again");
    source.ends_equal_when_nobody_waits(waiting).await;
}

/// `CDC_COMMIT_WAITS_SECONDS` makes it wait for longer.
#[tokio::test]
async fn a_commit_that_begins_to_wait_during_a_snapshot_does_not_hold_it_up() {
    let Some(mut source) = Source::of_two_accounts(SnapshotMode::NoData).await else { return };
    source
        .database
        .run(
            "ALTER TABLE account ADD note text;
             INSERT INTO account SELECT i, i, repeat('x', 1000) FROM generate_series(1000, 40000) i",
        )
        .await;
    source.copy.start().await.unwrap();
    source.copy.catch_up().await.unwrap();
    source.copy.ask(account());
    source
        .copy
        .until(|copy| !copy.target.of("public.account", Operation::Read).is_empty())
        .await
        .unwrap();
    let update = "UPDATE account SET version = 1000000 WHERE id IN (2, 39999)";
    let waiting = source.database.commit_that_waits(update).await;
    // Who takes rows slowly has the snapshot go on for as long: its chunks are read while there is room for them.
    let seconds = std::env::var("CDC_COMMIT_WAITS_SECONDS").ok();
    let pause = Duration::from_secs(seconds.map_or(1, |seconds| seconds.parse().unwrap())) / 10;
    while !source.copy.left().is_empty() {
        let step = tokio::time::timeout(PATIENCE, source.copy.step());
        step.await.expect("a batch in time").unwrap();
        tokio::time::sleep(pause).await;
    }
    assert!(!waiting.is_finished(), "all was read meanwhile");
    assert_eq!(source.copy.target.contents()["public.account"].len(), 39_003);
    source.ends_equal_when_nobody_waits(waiting).await;
}

#[tokio::test]
async fn of_a_slot_made_while_a_commit_waits_nothing_older_is_read_after_a_kill() {
    let Some(mut source) = Source::of_two_accounts(SnapshotMode::Initial).await else { return };
    let rows = "INSERT INTO account SELECT i, i FROM generate_series(1000, 40000) i";
    source.database.run(rows).await;
    source.copy.start().await.unwrap();
    source.copy.step().await.unwrap();
    let update = "UPDATE account SET version = 1000000 WHERE id IN (2, 39999)";
    // The slot is being made, or was.
    let waiting = source.database.commit_that_waits(update).await;
    source.copy.until(|copy| !copy.left().is_empty()).await.unwrap();
    source.kill(SnapshotMode::Initial).await;
    source.rows_for_a_second().await;
    source.ends_equal_when_nobody_waits(waiting).await;
}
