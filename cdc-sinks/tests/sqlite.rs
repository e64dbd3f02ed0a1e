//! What the SQLite sink does with events, seen by SQL.
#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends where something is not as it should be"
)]

mod behaviours;
mod feed;

use std::path::PathBuf;

use behaviours::Target as _;
use cdc_core::{DataType, ErrorKind, Field, Sink, Value, ValueType};
use cdc_sinks::{SqliteSink, TableName, TableNames};
use feed::*;
use rusqlite::Connection;

struct Target {
    folder: tempfile::TempDir,
    sink: SqliteSink,
}

impl Target {
    fn path(&self) -> PathBuf {
        self.folder.path().join("copy.db")
    }

    fn sql(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// The rows of a query, values parted by `|`, NULL as `~`.
    fn rows(&self, query: &str) -> Vec<String> {
        let connection = self.sql();
        let mut statement = connection.prepare(query).unwrap();
        let width = statement.column_count();
        let rows = statement.query_map([], |row| {
            (0..width)
                .map(|at| Ok(row.get::<_, Option<String>>(at)?.unwrap_or_else(|| "~".into())))
                .collect::<Result<Vec<_>, _>>()
                .map(|values| values.join("|"))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

impl behaviours::Target for Target {
    type Sink = SqliteSink;

    fn sink(&mut self) -> &mut SqliteSink {
        &mut self.sink
    }

    fn another_sink(&self) -> SqliteSink {
        SqliteSink::open(self.path()).unwrap()
    }

    async fn orders(&self) -> Vec<String> {
        self.rows("SELECT CAST(id AS TEXT), note, document FROM orders ORDER BY id")
    }

    async fn log(&self) -> Vec<String> {
        self.rows("SELECT CAST(level AS TEXT), line FROM log ORDER BY level, line NULLS LAST")
    }
}

/// A new file, made ready by these statements, with a loaded sink.
async fn target_with(sql: &str) -> Target {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("copy.db");
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let mut sink = SqliteSink::open(&path).unwrap();
    assert_eq!(load(&mut sink).await.unwrap(), None);
    Target { folder, sink }
}

async fn target() -> Target {
    target_with("").await
}

behaviours::behaviours!();

#[tokio::test]
async fn an_announced_table_exists_though_it_is_empty() {
    let mut target = target().await;
    let items = table(
        "shop.items",
        &["line", "order"],
        vec![
            Field::required("order", DataType::Int32),
            Field::optional("price", DataType::DECIMAL),
            Field::required("line", DataType::Int32),
        ],
    );
    target.commit(1, vec![orders().announce(), log().announce(), items.announce()]).await.unwrap();
    let tables = target.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name");
    assert_eq!(tables, ["cdc_offsets", "log", "orders", "shop_items"]);
    let columns = target.rows(
        "SELECT name, type, CAST(\"notnull\" AS TEXT), CAST(pk AS TEXT) FROM pragma_table_info('shop_items')",
    );
    assert_eq!(columns, ["order|INTEGER|1|2", "price|TEXT|0|0", "line|INTEGER|1|1"]);
}

#[tokio::test]
async fn delete_and_insert_of_a_key_leave_nothing_of_the_old_row() {
    let mut target = target_with(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT, document TEXT, own TEXT)",
    )
    .await;
    let t = orders();
    target.commit(1, vec![t.create([1i64.into(), "a".into(), "x".into()])]).await.unwrap();
    target.sql().execute("UPDATE orders SET own = 'kept'", []).unwrap();
    target.commit(2, vec![t.update([1i64.into(), "b".into(), "y".into()])]).await.unwrap();
    assert_eq!(target.rows("SELECT note, own FROM orders"), ["b|kept"]);
    let events =
        vec![t.delete([1i64.into(), GONE, GONE]), t.create([1i64.into(), "c".into(), Value::Null])];
    target.commit(3, events).await.unwrap();
    assert_eq!(target.rows("SELECT note, document, own FROM orders"), ["c|~|~"]);
}

#[tokio::test]
async fn an_added_column_follows_with_its_constant_default() {
    let mut target = target().await;
    let t = orders();
    target.commit(1, vec![t.create([1i64.into(), "a".into(), Value::Null])]).await.unwrap();
    let mut fields = order_fields();
    fields.push(Field::optional("paid", DataType::Bool));
    fields.push(Field::new("rank", ValueType::required(DataType::Int32).with_default(7i32.into())));
    let wider = table("orders", &["id"], fields);
    let events = vec![
        wider.announce(),
        wider.create([2i64.into(), "b".into(), Value::Null, true.into(), 1i32.into()]),
        wider.announce(),
    ];
    target.commit(2, events).await.unwrap();
    let rows =
        target.rows("SELECT note, CAST(paid AS TEXT), CAST(rank AS TEXT) FROM orders ORDER BY id");
    assert_eq!(rows, ["a|~|7", "b|1|1"]);
    // A dropped column stays, and is empty in rows that come later.
    target
        .commit(3, vec![t.announce(), t.create([3i64.into(), "c".into(), Value::Null])])
        .await
        .unwrap();
    assert_eq!(target.rows("SELECT CAST(rank AS TEXT) FROM orders ORDER BY id"), ["7", "1", "~"]);
}

#[tokio::test]
async fn the_offset_is_committed_with_the_rows_and_an_older_instance_is_fenced() {
    let mut target = target().await;
    let t = orders();
    target.commit(7, vec![t.create([1i64.into(), "a".into(), Value::Null])]).await.unwrap();
    let mut second = target.another_sink();
    assert_eq!(load(&mut second).await.unwrap(), Some(offset(7)));
    let events = vec![t.create([2i64.into(), "late".into(), Value::Null])];
    let error = target.commit(8, events).await.unwrap_err();
    assert_error(&error, ErrorKind::Fenced, &["copy.db", "\"copy\"", "taken over"]);
    assert_eq!(target.orders().await, ["1|a|~"]);
    commit(&mut second, 9, vec![]).await.unwrap();
    assert_eq!(load(&mut second).await.unwrap(), Some(offset(9)));
    second.transactional().unwrap().forget("copy").await.unwrap();
    assert_eq!(load(&mut target.sink).await.unwrap(), None);
    assert!(commit(&mut second, 10, vec![]).await.is_err());
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_batch_that_fails_leaves_neither_rows_nor_offset() {
    let mut target =
        target_with("CREATE TABLE log (level INTEGER CHECK (level < 5), line TEXT)").await;
    let (t, l) = (orders(), log());
    let events = vec![
        t.announce(),
        t.create([1i64.into(), "a".into(), Value::Null]),
        l.create([9i32.into(), "too high".into()]),
    ];
    let error = target.commit(1, events).await.unwrap_err();
    assert_error(&error, ErrorKind::Data, &["table log", "CHECK", "drop the constraint"]);
    assert_eq!(
        target.rows("SELECT name FROM sqlite_schema WHERE name = 'orders'"),
        Vec::<String>::new()
    );
    assert_eq!(load(&mut target.sink).await.unwrap(), None);
    // The table is made again after it was undone.
    let events = vec![t.create([1i64.into(), "a".into(), Value::Null])];
    target.commit(2, events).await.unwrap();
    assert_eq!(target.orders().await, ["1|a|~"]);
}

#[tokio::test]
async fn what_does_not_fit_is_an_error_that_names_it_and_the_remedy() {
    let mut target = target_with(
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, note INTEGER, document TEXT);
         CREATE TABLE log (level INTEGER, line TEXT, own TEXT NOT NULL);
         CREATE TABLE items (id INTEGER, note TEXT, document TEXT)",
    )
    .await;
    let error = target.commit(1, vec![orders().announce()]).await.unwrap_err();
    assert_error(
        &error,
        ErrorKind::Configuration,
        &["orders", "\"note\"", "INTEGER", "text", "rename"],
    );
    let error = target.commit(1, vec![log().announce()]).await.unwrap_err();
    assert_error(&error, ErrorKind::Configuration, &["log", "\"own\"", "NOT NULL", "DROP COLUMN"]);
    let items = table("items", &["id"], order_fields());
    let error = target.commit(1, vec![items.announce()]).await.unwrap_err();
    assert_error(&error, ErrorKind::Configuration, &["items", "(id)", "CREATE UNIQUE INDEX"]);
}

#[tokio::test]
async fn two_source_tables_with_one_target_name_are_an_error_unless_they_are_named() {
    let mut target = target().await;
    let (a, b) = (
        table("public.shop_log", &["id"], order_fields()),
        table("shop.log", &["id"], order_fields()),
    );
    let error = target.commit(1, vec![a.announce(), b.announce()]).await.unwrap_err();
    assert_error(
        &error,
        ErrorKind::Configuration,
        &["public.shop_log", "shop.log", ".table_names("],
    );

    let names = TableNames::by(|destination| {
        let (schema, table) = destination.schema_and_table();
        TableName::new(format!("{}__{table}", schema.unwrap_or("none")))
    });
    let mut named = SqliteSink::builder(target.path()).table_names(names).build().unwrap();
    load(&mut named).await.unwrap();
    commit(&mut named, 1, vec![a.announce(), b.announce()]).await.unwrap();
    let tables = target.rows(
        "SELECT name FROM sqlite_schema WHERE name LIKE '%\\_\\_%' ESCAPE '\\' ORDER BY name",
    );
    assert_eq!(tables, ["public__shop_log", "shop__log"]);
}

#[tokio::test]
async fn paths_that_cannot_be_written_and_files_that_are_something_else_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteSink::open(folder.path().join("missing/copy.db")).unwrap_err();
    assert_error(&error, ErrorKind::Configuration, &["missing/copy.db", "folder exists"]);
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "no database, just text that is long enough to be looked at".repeat(20))
        .unwrap();
    let error = SqliteSink::open(&text).unwrap_err();
    assert_error(
        &error,
        ErrorKind::Configuration,
        &["notes.txt", "not a database", "another path"],
    );
}

#[tokio::test]
async fn a_file_that_another_process_writes_to_is_tried_again() {
    let target = target().await;
    let mut sink = SqliteSink::builder(target.path())
        .busy_timeout(std::time::Duration::from_millis(50))
        .build()
        .unwrap();
    load(&mut sink).await.unwrap();
    let other = target.sql();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = commit(&mut sink, 1, vec![]).await.unwrap_err();
    assert_error(&error, ErrorKind::Transient, &["locked", "another process"]);
    other.execute_batch("ROLLBACK").unwrap();
    commit(&mut sink, 1, vec![]).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_transient_and_nothing_is_lost() {
    let mut target = target().await;
    let t = orders();
    target.commit(1, vec![t.create([1i64.into(), "a".into(), Value::Null])]).await.unwrap();
    // A page limit makes SQLite answer as on a full disk.
    let sink = SqliteSink::builder(target.path());
    let mut limited = sink.max_pages(10).build().unwrap();
    load(&mut limited).await.unwrap();
    let big = "x".repeat(200_000);
    let events = vec![t.create([2i64.into(), big.as_str().into(), Value::Null])];
    let error = commit(&mut limited, 2, events).await.unwrap_err();
    assert_error(&error, ErrorKind::Transient, &["full", "free space"]);
    assert_eq!(load(&mut limited).await.unwrap(), Some(offset(1)));
    assert_eq!(target.orders().await, ["1|a|~"]);
}

#[tokio::test]
async fn every_type_is_stored_without_loss() {
    let mut target = target().await;
    let (t, rows, texts) = all_types();
    let mut events = vec![t.announce()];
    events.extend(rows.into_iter().map(|row| t.create(row)));
    target.commit(1, events).await.unwrap();
    let fields = t.0.fields().iter().skip(1);
    for (column, field) in fields.enumerate() {
        let name = &field.name;
        let expression = match field.data_type() {
            DataType::Bytes { .. } => format!("hex(\"{name}\")"),
            _ => format!("CAST(\"{name}\" AS TEXT)"),
        };
        let query = format!(
            "SELECT CASE WHEN \"{name}\" IS NULL THEN NULL ELSE {expression} END FROM all_types ORDER BY id"
        );
        let wanted: Vec<_> = texts.iter().map(|row| row[column].unwrap_or("~")).collect();
        assert_eq!(target.rows(&query), wanted, "{name}");
    }
    let exact: f64 = target
        .sql()
        .query_row("SELECT float64 FROM all_types WHERE id = 0", [], |row| row.get(0))
        .unwrap();
    assert_eq!(exact.to_bits(), f64::MIN_POSITIVE.to_bits());
}

#[tokio::test]
async fn a_call_that_was_given_up_is_mended_by_loading_again() {
    let mut target = target().await;
    let t = orders();
    {
        let batch = batch(1, vec![t.create([1i64.into(), "a".into(), Value::Null])]);
        let given_up = target.sink.transactional().unwrap().commit(batch);
        let _ = tokio::time::timeout(std::time::Duration::ZERO, given_up).await;
    }
    let found = load(&mut target.sink).await.unwrap();
    let rows = if found.is_some() { vec!["1|a|~".to_owned()] } else { vec![] };
    if !rows.is_empty() {
        assert_eq!(target.orders().await, rows);
    }
    target.commit(2, vec![t.update([1i64.into(), "b".into(), Value::Null])]).await.unwrap();
    assert_eq!(target.orders().await, ["1|b|~"]);
}

/// A file whose table does not take some rows, a pipeline with dead letters, and a replay after the constraint is gone.
#[tokio::test]
async fn rows_that_the_table_does_not_take_are_dead_letters_and_the_rest_is_committed_exactly_once()
{
    use cdc_core::dead_letter::{DeadLetterSource, FileDeadLetters};
    use cdc_core::testkit::{MemoryLog, shop};
    use cdc_core::{Change, Pipeline};

    let folder = tempfile::tempdir().unwrap();
    let (path, letters) = (folder.path().join("copy.db"), folder.path().join("letters"));
    let sql = "CREATE TABLE visits (id INTEGER CHECK (id % 5 <> 3), note TEXT)";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let log = MemoryLog::new([shop::visits()]);
    // One batch: without a key a row that is written twice would show.
    log.commit((1..=20).map(|id| Change::create(shop::visit(id, "v"))));
    let count = |query: &str| -> String {
        Connection::open(&path)
            .unwrap()
            .query_row(query, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    let ids = "SELECT group_concat(id, ' ') FROM (SELECT id FROM visits ORDER BY id)";
    let pipeline = Pipeline::builder("copy", log.source().without_snapshot())
        .sink(SqliteSink::open(&path).unwrap())
        .dead_letters(FileDeadLetters::open(&letters).unwrap())
        .until_caught_up()
        .build()
        .unwrap();
    let progress = pipeline.progress();
    pipeline.run().await.unwrap();
    assert_eq!(count(ids), "1 2 4 5 6 7 9 10 11 12 14 15 16 17 19 20");
    assert_eq!(progress.status().sinks[0].dead_letters, 4);
    let text = std::fs::read_to_string(letters.join("copy.00000001.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 4);
    assert!(text.contains("CHECK constraint failed"), "{text}");

    let sql = "ALTER TABLE visits RENAME TO old; CREATE TABLE visits (id INTEGER, note TEXT);
        INSERT INTO visits SELECT * FROM old; DROP TABLE old";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    for _ in 0..2 {
        let again = Pipeline::builder("again", DeadLetterSource::open(&letters).unwrap())
            .sink(SqliteSink::open(&path).unwrap())
            .build()
            .unwrap();
        again.run().await.unwrap();
        let all: Vec<String> = (1..=20).map(|id| id.to_string()).collect();
        assert_eq!(count(ids), all.join(" "));
    }
}

#[tokio::test]
async fn looking_for_what_is_not_taken_changes_nothing() {
    let mut target =
        target_with("CREATE TABLE log (level INTEGER CHECK (level < 5), line TEXT)").await;
    let (t, l) = (orders(), log());
    let events = vec![
        t.create([1i64.into(), "a".into(), Value::Null]),
        l.create([9i32.into(), "too high".into()]),
        l.create([1i32.into(), "fits".into()]),
    ];
    let sink = target.sink.transactional().unwrap();
    let rejected = sink.find_rejected(batch(1, events)).await.unwrap();
    assert_eq!(rejected.len(), 1);
    assert_eq!(rejected[0].0, 1);
    assert_error(&rejected[0].1, ErrorKind::Data, &["table log", "CHECK"]);
    assert_eq!(target.log().await, Vec::<String>::new());
    let events = vec![t.create([1i64.into(), "a".into(), Value::Null])];
    target.commit(2, events).await.unwrap();
    assert_eq!(target.orders().await, ["1|a|~"]);
}
