//! What `debezium_json` promises on its command line, whatever the configuration.

use crate::connector::Connector;
use crate::json::{Node, parse};

/// A small configuration without an address.
pub(crate) const SHOP: &str = r#"{
    "name": "shop",
    "config": {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "topic.prefix": "shop",
        "plugin.name": "pgoutput",
        "tasks.max": "1",
        "key.converter": "org.apache.kafka.connect.json.JsonConverter",
        "key.converter.schemas.enable": "false",
        "value.converter": "org.apache.kafka.connect.json.JsonConverter",
        "value.converter.schemas.enable": "false",
        "header.converter": "org.apache.kafka.connect.json.JsonConverter",
        "header.converter.schemas.enable": "false",
        "slot.drop.on.stop": "true"
    }
}"#;

pub(crate) async fn shop(purpose: &str) -> Connector {
    let connector = Connector::new(purpose, SHOP).await;
    connector.database.run("CREATE TABLE orders (id integer PRIMARY KEY, note text)").await;
    connector.database.run("CREATE TABLE done (id integer PRIMARY KEY)").await;
    connector
}

/// The numbers of rows that lines of a topic show, with what happened: `c1`, `d1`, `-1` for a tombstone.
pub(crate) fn rows(lines: &[String], topic: &str) -> Vec<String> {
    let records = lines.iter().map(|line| parse(line));
    records
        .filter(|record| record.get("topic").and_then(Node::text).as_deref() == Some(topic))
        .map(|record| {
            let value = record.get("value").unwrap();
            let key = record.get("key").and_then(|key| key.get("id")).unwrap();
            let operation = value.get("op").and_then(Node::text);
            format!("{}{key}", operation.as_deref().unwrap_or("-"))
        })
        .collect()
}

#[tokio::test]
async fn until_ends_with_the_row_in_the_source_whatever_transforms_make_of_it() {
    let mut connector = shop("until").await;
    connector.set("transforms", "drop");
    connector.set("transforms.drop.type", "org.apache.kafka.connect.transforms.Filter");
    connector.set("transforms.drop.predicate", "done");
    connector.set("predicates", "done");
    connector.set(
        "predicates.done.type",
        "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
    );
    connector.set("predicates.done.pattern", ".*\\.done");
    connector.database.run("INSERT INTO done VALUES (1); INSERT INTO orders VALUES (1, 'a')").await;
    let mut program = connector.start(&["--until", "public.done"]);
    program.streaming().await;
    connector
        .database
        .run("INSERT INTO orders VALUES (2, 'b'); UPDATE orders SET id = 3 WHERE id = 2")
        .await;
    connector
        .database
        .run("BEGIN; INSERT INTO done VALUES (2); DELETE FROM orders WHERE id = 1; COMMIT")
        .await;
    connector.database.run("INSERT INTO orders VALUES (9, 'too late')").await;
    assert!(program.end().await.success(), "{}", program.errors());
    let orders = rows(&program.lines(), "shop.public.orders");
    assert_eq!(
        orders[..7],
        ["r1", "c2", "d2", "-2", "c3", "d1", "-1"].map(str::to_owned)[..],
        "{orders:?}"
    );
    connector.database.drop_now().await;
}

#[tokio::test]
async fn any_other_end_is_told_by_the_status() {
    let connector = shop("ends").await;
    let mut stopped = connector.start(&[]);
    stopped.streaming().await;
    assert_eq!(stopped.stop().await.code(), Some(130), "{}", stopped.errors());
    let mut refused = connector.start(&["transforms.x.type=y", "slot.nam=z"]);
    assert_eq!(refused.end().await.code(), Some(1));
    assert!(refused.errors().contains("slot.nam"), "{}", refused.errors());
    let mut wrong = connector.start(&["--unti"]);
    assert_eq!(wrong.end().await.code(), Some(2));
    let mut unsupported = connector.start(&["notification.enabled.channels=sink"]);
    assert_eq!(unsupported.end().await.code(), Some(1));
    assert!(unsupported.errors().contains("\"notification.enabled.channels\" is not supported"));
    let mut only = connector.start(&["--until", "public.done", "snapshot.mode=initial_only"]);
    assert_eq!(only.end().await.code(), Some(1), "it ended before the row came");
    connector.database.drop_now().await;
}

#[tokio::test]
async fn a_later_start_goes_on_where_the_state_says() {
    let mut connector = shop("state").await;
    connector.set("slot.drop.on.stop", "false");
    let state = connector.state();
    let arguments = ["--state", state.to_str().unwrap()];
    connector.database.run("INSERT INTO orders VALUES (1, 'a')").await;
    let mut first = connector.start(&arguments);
    first.streaming().await;
    first.until("the row", |program| program.lines().len() == 1).await;
    first.stop().await;
    connector.database.run("INSERT INTO orders VALUES (2, 'b')").await;
    let mut second = connector.start(&arguments);
    second.until("the row", |program| program.lines().len() == 1).await;
    second.stop().await;
    assert_eq!(rows(&second.lines(), "shop.public.orders"), ["c2"]);
    connector.database.drop_now().await;
}

#[tokio::test]
async fn secrets_may_stand_in_a_file() {
    let mut connector = shop("secrets").await;
    let password = connector.property("database.password");
    let file = connector.folder.path().join("secrets.properties");
    std::fs::write(&file, format!("password={password}\n")).unwrap();
    connector.set("database.password", &format!("${{file:{}:password}}", file.display()));
    connector.database.run("INSERT INTO orders VALUES (1, 'a')").await;
    let mut program = connector.start(&["snapshot.mode=initial_only"]);
    assert!(program.end().await.success(), "{}", program.errors());
    assert_eq!(rows(&program.lines(), "shop.public.orders"), ["r1"]);
    connector.database.drop_now().await;
}

#[tokio::test]
async fn heartbeats_come_while_nothing_else_does() {
    let mut connector = shop("heartbeats").await;
    connector.set("heartbeat.interval.ms", "50");
    let mut program = connector.start(&[]);
    program.until("three heartbeats", |program| program.lines().len() >= 3).await;
    for line in program.lines() {
        let record = parse(&line);
        let text = |name: &str| record.get(name).unwrap().to_string();
        assert_eq!(text("topic"), "\"__debezium-heartbeat.shop\"");
        assert_eq!(text("headers"), "[]");
        assert_eq!(text("key"), "{serverName:\"shop\"}");
        assert!(text("value").starts_with("{ts_ms:1"), "{line}");
    }
    connector.database.run("INSERT INTO orders VALUES (1, 'a')").await;
    program
        .until("the row", |program| rows(&program.lines(), "shop.public.orders") == ["c1"])
        .await;
    program.kill();
    connector.database.drop_now().await;
}
