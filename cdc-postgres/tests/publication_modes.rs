//! One publication, as Debezium makes it, and the replica identities that are set.

#![allow(clippy::unwrap_used)]

mod support;

use cdc_core::{Error, ErrorKind, Operation, Source as _};
use cdc_postgres::{PublicationMode, ReplicaIdentity};
use support::{Copy, TestDatabase, context};

async fn published(database: &TestDatabase) -> Option<String> {
    let query = format!(
        "SELECT string_agg(tablename, ',' ORDER BY tablename) FROM pg_publication_tables WHERE pubname = '{}'",
        database.slot()
    );
    database.text(&query).await
}

async fn refused(database: &TestDatabase, more: &[(&str, &str)]) -> Error {
    let error = database.connector(more).acquire(&context(false)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    error
}

#[tokio::test]
async fn a_publication_for_all_tables_has_those_that_are_made_later() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)").await;
    let source = || database.connector(&[]);
    let mut copy = Copy::from(source());
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("CREATE TABLE late (id int PRIMARY KEY, v text); INSERT INTO late VALUES (1, 'x')")
        .await;
    copy.catch_up().await.unwrap();
    assert_eq!(copy.target.of("public.late", Operation::Create).len(), 1);
    copy.replace(source()).await;
    copy.start().await.unwrap();
    database.run("UPDATE late SET v = 'y'").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.of("public.late", Operation::Update).len(), 1);
    assert_eq!(published(&database).await.as_deref(), Some("late,t"));
}

#[tokio::test]
async fn a_filtered_publication_is_altered_at_each_start() {
    let database = TestDatabase::create().await;
    database
        .run("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY)")
        .await;
    let filtered = |list: &'static str| {
        database
            .connector(&[("publication.autocreate.mode", "filtered"), ("table.include.list", list)])
    };
    let mut copy = Copy::from(filtered("public.[ab]"));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    assert_eq!(published(&database).await.as_deref(), Some("a,b"));
    copy.replace(filtered("public.b,public.c")).await;
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    assert_eq!(published(&database).await.as_deref(), Some("b,c"));
    database
        .run("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1)")
        .await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let rows = |table: &str| copy.target.contents().get(table).map(|rows| rows.len());
    assert_eq!((rows("public.b"), rows("public.c")), (Some(1), Some(1)));
    assert_eq!(rows("public.a"), Some(0));
}

#[tokio::test]
async fn a_filtered_publication_cannot_be_one_for_all_tables_or_for_none() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let none = [("publication.autocreate.mode", "filtered"), ("table.include.list", "public.none")];
    let error = refused(&database, &none).await.to_string();
    assert!(error.starts_with("No table filters found for filtered publication"), "{error}");
    database.run(&format!("CREATE PUBLICATION {} FOR ALL TABLES", database.slot())).await;
    let error =
        refused(&database, &[("publication.autocreate.mode", "filtered")]).await.to_string();
    assert!(
        error.starts_with("A logical publication for all tables named '")
            && error.contains("all_tables"),
        "{error}"
    );
}

#[tokio::test]
async fn a_publication_without_tables_gets_them_from_others() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let mut copy = Copy::from(database.connector(&[("publication.autocreate.mode", "no_tables")]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    assert_eq!(published(&database).await, None);
    database.run(&format!("ALTER PUBLICATION {} ADD TABLE t", database.slot())).await;
    database.run("INSERT INTO t VALUES (1)").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.of("public.t", Operation::Create).len(), 1);
}

#[tokio::test]
async fn a_publication_that_is_not_made_must_be_there() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let error =
        refused(&database, &[("publication.autocreate.mode", "disabled")]).await.to_string();
    assert!(
        error.contains(
            "Publication autocreation is disabled, please create one and restart the connector."
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_role_that_may_not_publish_all_tables_learns_what_to_do() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let role = database.role("weak", "REPLICATION").await;
    database
        .run(&format!(
            "GRANT CREATE ON DATABASE {} TO {role}; GRANT SELECT ON t TO {role}",
            database.name,
            role = role.user()
        ))
        .await;
    let builder = cdc_postgres::PostgresSource::builder(role)
        .slot_name(database.slot())
        .publication_name(database.slot())
        .publication_mode(PublicationMode::AllTables);
    let mut copy = Copy::new(builder);
    copy.start().await.unwrap();
    let error = copy.until_error().await.to_string();
    assert!(error.contains("FOR ALL TABLES") && error.contains("filtered"), "{error}");
}

#[tokio::test]
async fn partitions_come_under_their_root_where_that_is_wanted() {
    let database = TestDatabase::create().await;
    if database.lacks("publish_via_partition_root", 13) {
        return;
    }
    database
        .run(
            "CREATE TABLE p (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
             CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100);
             CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (100) TO (200);
             CREATE TABLE plain (id int PRIMARY KEY);
             INSERT INTO p VALUES (1, 'a'), (150, 'b')",
        )
        .await;
    let modes = ["all_tables", "filtered"].map(|mode| {
        database.connector(&[
            ("publication.autocreate.mode", mode),
            ("publish.via.partition.root", "true"),
            ("slot.drop.on.stop", "true"),
        ])
    });
    let managed = database.source().publish_via_partition_root(true).build().unwrap();
    for source in modes.into_iter().chain([managed]) {
        let mut copy = Copy::from(source);
        copy.start().await.unwrap();
        copy.catch_up().await.unwrap();
        database.run("INSERT INTO p VALUES (2, 'c'); UPDATE p SET v = 'd' WHERE id = 150").await;
        copy.catch_up().await.unwrap();
        copy.source.close().await.unwrap();
        let rows = copy.target.contents();
        assert_eq!(rows.keys().collect::<Vec<_>>(), ["public.p", "public.plain"]);
        assert_eq!(rows["public.p"].len(), 3);
        database
            .run(&format!("DROP PUBLICATION {}; DELETE FROM p WHERE id = 2", database.slot()))
            .await;
    }
}

#[tokio::test]
async fn a_publication_that_is_made_leaves_skipped_operations_out() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE t (id int PRIMARY KEY)").await;
    let source = database.connector(&[("skipped.operations", "d,t")]);
    let mut copy = Copy::from(source);
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database.run("INSERT INTO t VALUES (1); DELETE FROM t; TRUNCATE t").await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    assert_eq!(copy.target.of("public.t", Operation::Create).len(), 1);
    assert_eq!(copy.target.of("public.t", Operation::Delete).len(), 0);
    assert_eq!(copy.target.of("public.t", Operation::Truncate).len(), 0);
}

#[tokio::test]
async fn replica_identities_are_set_before_the_slot_is_made() {
    let database = TestDatabase::create().await;
    database
        .run(
            "CREATE TABLE full_t (id int PRIMARY KEY, v text); CREATE TABLE keyless (v text);
             CREATE TABLE by_index (id int PRIMARY KEY, code text NOT NULL); CREATE UNIQUE INDEX Idx ON by_index (code);
             INSERT INTO full_t VALUES (1, 'a'); INSERT INTO keyless VALUES ('a'); INSERT INTO by_index VALUES (1, 'c')",
        )
        .await;
    let mut copy = Copy::from(database.connector(&[(
        "replica.identity.autoset.values",
        "public.full_.*:FULL,public.keyless:FULL,public.by_index:INDEX idx",
    )]));
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    database
        .run("UPDATE full_t SET v = 'b'; UPDATE keyless SET v = 'b'; DELETE FROM by_index")
        .await;
    copy.catch_up().await.unwrap();
    copy.source.close().await.unwrap();
    let before = copy.target.of("public.full_t", Operation::Update)[0].before().unwrap();
    assert!(before.is_complete());
    assert!(copy.target.of("public.keyless", Operation::Update)[0].before().unwrap().is_complete());
    let deleted = copy.target.of("public.by_index", Operation::Delete)[0];
    assert_eq!(format!("{:?}", deleted.key.as_row().unwrap()), "{\"code\": Text(\"c\")}");
}

#[tokio::test]
async fn an_identity_moves_a_table_into_the_publication_with_all_operations() {
    let database = TestDatabase::create().await;
    database.run("CREATE TABLE keyless (v text); INSERT INTO keyless VALUES ('a')").await;
    let builder = database.source().replica_identity("public.*", ReplicaIdentity::Full);
    let mut copy = Copy::new(builder);
    copy.start().await.unwrap();
    copy.catch_up().await.unwrap();
    assert_eq!(published(&database).await.as_deref(), Some("keyless"));
    copy.source.close().await.unwrap();
}
