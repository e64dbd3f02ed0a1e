//! What belongs to a table, in how many parts.

use super::*;

async fn plans(
    database: &TestDatabase,
    name: &str,
    readers: usize,
) -> cdc_core::snapshot::TablePlan {
    let published = [whole(database, name).await];
    let mut plans = plan(&database.sql, &options(database), &published, readers).await.unwrap();
    plans.remove(0).0
}

#[tokio::test]
async fn a_large_table_is_parted_among_the_readers_and_read_once() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE t (a text COLLATE \"C\", b int, filler text, PRIMARY KEY (a, b));
             ALTER TABLE t ALTER filler SET STORAGE PLAIN;
             INSERT INTO t SELECT 'k' || v % 10, v, repeat('x', 700) FROM generate_series(1, 40000) v;
             ANALYZE t",
        )
        .await;
    let planned = plans(&database, "t", 3).await;
    assert!((5..=12).contains(&planned.ranges.len()), "{}", planned.ranges.len());
    assert_eq!(planned.estimated_rows, Some(40_000));
    assert_eq!(plans(&database, "t", 1).await.ranges.len(), 1);
    let chunk = ChunkTarget { first_rows: 900, bytes: 2_000_000, ..ChunkTarget::default() };
    let mut copy = Copy::new(&database, 3, chunk);
    copy.want(&database, &whole(&database, "t").await, 3).await;
    let copy = copy.run().await;
    let mut read = copy.column("b");
    read.sort_unstable();
    read.dedup();
    assert_eq!((copy.rows.len(), read.len()), (40_000, 40_000));
    assert!(copy.regions.len() > 20);
}

#[tokio::test]
async fn a_partitioned_table_is_read_through_its_root() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, filler text) PARTITION BY RANGE (id);
             CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (15000);
             CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (15000) TO (99999);
             INSERT INTO t SELECT v, repeat('x', 800) FROM generate_series(0, 19999) v;
             ANALYZE t",
        )
        .await;
    let planned = plans(&database, "t", 2).await;
    assert!(planned.ranges.len() > 1);
    assert_eq!(planned.estimated_rows, Some(20_000));
    let mut copy = Copy::new(&database, 2, ChunkTarget::default());
    copy.want(&database, &whole(&database, "t").await, 2).await;
    let copy = copy.run().await;
    let mut read = copy.column("id");
    read.sort_unstable();
    read.dedup();
    assert_eq!((copy.rows.len(), read.len()), (20_000, 20_000));
}

#[tokio::test]
async fn children_are_not_read_with_their_parent() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE child () INHERITS (t);
             INSERT INTO t VALUES (1); INSERT INTO child VALUES (2)",
        )
        .await;
    let mut copy = Copy::new(&database, 1, ChunkTarget::default());
    copy.want(&database, &whole(&database, "t").await, 1).await;
    assert_eq!(copy.run().await.column("id"), ["Int32(1)"]);
}

#[tokio::test]
async fn filters_conditions_and_queries_choose_rows_and_columns() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, v int, hidden text);
             INSERT INTO t SELECT n, n % 5, 'x' FROM generate_series(1, 100) n",
        )
        .await;
    let mut table = whole(&database, "t").await;
    table.filter = Some("v <> 0 OR id > 90".into());
    table.columns = Some(vec!["id".into(), "v".into()]);
    let mut copy = Copy::new(&database, 1, small_chunks());
    copy.want(&database, &table, 1).await;
    let id = TableId::new("public", "t");
    let mut plan = TableReadPlan::clone(&copy.plans[&id]);
    plan.choose("id % 2 = 0 OR id < 10");
    copy.plans.insert(id.clone(), Arc::new(plan.clone()));
    let copy = copy.run().await;
    let wanted = |n: &i32| (n % 5 != 0 || *n > 90) && (n % 2 == 0 || *n < 10);
    assert_eq!(copy.rows.len(), (1..=100).filter(wanted).count());
    assert!(copy.rows[0].by_name("hidden").is_none());

    let mut copy = Copy::new(&database, 1, small_chunks());
    copy.want(&database, &table, 1).await;
    plan.choose("SELECT id, v + 1000 AS v FROM t WHERE id <= 20 ;\n");
    copy.plans.insert(id, Arc::new(plan));
    let copy = copy.run().await;
    assert_eq!(copy.column("v")[..2], ["Int32(1001)", "Int32(1002)"]);
}

#[tokio::test]
async fn a_table_without_a_key_comes_block_by_block_as_it_is_asked_for() {
    let database = TestDatabase::create().await;
    database
        .run("CREATE TABLE t (v text); INSERT INTO t SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
        .await;
    let mut copy = Copy::new(&database, 1, ChunkTarget::default());
    copy.want(&database, &whole(&database, "t").await, 1).await;
    let Answer::Began(read, began) = copy.first_of_a_read().await else { panic!("no beginning") };
    let horizon = began.horizon;
    copy.merge.read_began(read, began);
    let nothing = tokio::time::timeout(Duration::from_millis(300), copy.readers.answers.recv());
    assert!(nothing.await.is_err(), "rows that nobody asked for");
    copy.merge.reached(horizon).unwrap();
    copy.ask(Ask::More(read)).await;
    let Answer::Rows(_, rows, bytes) = copy.answer().await else { panic!("no rows") };
    assert!((100..1_900).contains(&rows.len()), "{}", rows.len());
    copy.merge.read_rows(read, rows, bytes);
    copy.ask(Ask::More(read)).await;
    assert_eq!(copy.run().await.rows.len(), 2_000);
}

#[tokio::test]
async fn a_chunk_ends_at_its_bytes() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, v text);
             INSERT INTO t SELECT n, repeat(md5(n::text), 1000) FROM generate_series(1, 200) n",
        )
        .await;
    let chunk = ChunkTarget { first_rows: 1_000_000, bytes: 500_000, ..ChunkTarget::default() };
    let mut copy = Copy::new(&database, 1, chunk);
    copy.want(&database, &whole(&database, "t").await, 1).await;
    let copy = copy.run().await;
    let ids: Vec<String> = (1..=200).map(|n| format!("Int32({n})")).collect();
    assert_eq!(copy.column("id"), ids);
    assert!(copy.regions.len() > 5, "{}", copy.regions.len());
}

#[tokio::test]
async fn a_key_that_changed_asks_for_another_plan() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY, other int NOT NULL)").await;
    let mut copy = Copy::new(&database, 1, ChunkTarget::default());
    copy.want(&database, &whole(&database, "t").await, 1).await;
    database.run("ALTER TABLE t DROP CONSTRAINT t_pkey, ADD PRIMARY KEY (other)").await;
    let Answer::Failed(_, error) = copy.first_of_a_read().await else { panic!("it was read") };
    assert!(matches!(error, crate::PostgresError::TableRewritten { .. }), "{error}");
}

#[tokio::test]
async fn a_chunk_that_is_read_in_pieces_shows_one_moment() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, v int, filler text DEFAULT repeat('x', 200));
             INSERT INTO t SELECT n, 0 FROM generate_series(1, 1900) n",
        )
        .await;
    let mut copy = Copy::new(&database, 1, ChunkTarget::default());
    copy.want(&database, &whole(&database, "t").await, 1).await;
    assert!(matches!(copy.first_of_a_read().await, Answer::Began(..)));
    let writer = database.session().await;
    let writing = tokio::spawn(async move {
        for _ in 0..20 {
            let change = "UPDATE t SET v = v + 1; DELETE FROM t WHERE id % 2 = 0; INSERT INTO t SELECT n, 1 FROM generate_series(2, 1900, 2) n";
            writer.batch_execute(change).await.unwrap();
        }
    });
    let mut pieces = Vec::new();
    let at_end = loop {
        match copy.answer().await {
            Answer::Rows(_, rows, _) => pieces.push(rows),
            Answer::Ended(_, at_end, _) => break at_end,
            other => panic!("{other:?}"),
        }
    };
    writing.await.unwrap();
    assert!(at_end);
    assert!(pieces.len() > 5, "{}", pieces.len());
    let column = |name: &str| -> Vec<String> {
        let rows = pieces.iter().flatten();
        rows.map(|row| format!("{:?}", row.by_name(name).unwrap())).collect()
    };
    let ids: Vec<String> = (1..=1_900).map(|id| format!("Int32({id})")).collect();
    assert!(column("id") == ids, "{:?}...", &column("id")[..5]);
    assert!(column("v").iter().all(|v| v == "Int32(0)"));
}
