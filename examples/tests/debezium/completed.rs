//! Records that the source completes from its tables, and records that no converter can write.

use crate::connector::Connector;

const CONFIG: &str = r#"{
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "shop",
    "plugin.name": "pgoutput", "publication.autocreate.mode": "filtered", "snapshot.mode": "no_data",
    "post.processors": "reselector",
    "post.processors.reselector.type": "io.debezium.processors.reselect.ReselectColumnsPostProcessor",
    "post.processors.reselector.reselect.null.values": "false",
    "transforms": "key", "transforms.key.type": "org.apache.kafka.connect.transforms.ExtractField$Key",
    "transforms.key.field": "id",
    "key.converter": "org.apache.kafka.connect.converters.IntegerConverter",
    "value.converter.schemas.enable": "false",
    "errors.tolerance": "all"
}"#;

#[tokio::test]
async fn toast_values_are_in_the_records_and_a_record_without_a_form_is_a_letter() {
    let connector = Connector::new("completed", CONFIG).await;
    let sql = &connector.database.sql;
    let table = "CREATE TABLE notes (id int PRIMARY KEY, n int, note text);
        ALTER TABLE notes ALTER note SET STORAGE EXTERNAL; CREATE TABLE words (id text PRIMARY KEY);
        CREATE TABLE done (id int PRIMARY KEY); INSERT INTO notes VALUES (1, 0, repeat('n', 9000))";
    sql.batch_execute(table).await.unwrap();
    let letters = connector.folder.path().join("letters");
    let letters_argument = letters.display().to_string();
    let mut running = connector.start(&["--until", "public.done", "--letters", &letters_argument]);
    running.streaming().await;
    let statements = "UPDATE notes SET n = 1; INSERT INTO words VALUES ('a');
        UPDATE notes SET n = 2; INSERT INTO done VALUES (1)";
    sql.batch_execute(statements).await.unwrap();
    assert!(running.end().await.success(), "{}", running.errors());
    let lines = running.lines();
    let lines: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |topic: &str| -> Vec<&serde_json::Value> {
        lines.iter().filter(|line| line["topic"] == topic).collect()
    };
    let notes = of("shop.public.notes");
    assert_eq!(notes.len(), 2);
    for (line, n) in notes.into_iter().zip([1, 2]) {
        assert_eq!(line["value"]["after"]["n"], n);
        assert_eq!(line["value"]["after"]["note"], "n".repeat(9_000));
    }
    assert!(of("shop.public.words").is_empty());
    assert_eq!(of("shop.public.done").len(), 1);
    let mut texts = String::new();
    for file in std::fs::read_dir(&letters).unwrap() {
        texts += &std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        texts.push('\n');
    }
    let kept: Vec<serde_json::Value> = texts
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|letter: &serde_json::Value| letter["stage"] == "sink")
        .collect();
    assert_eq!(kept.len(), 1, "{texts}");
    let error = kept[0]["error"]["text"].as_str().unwrap();
    assert!(error.contains("public.words, transaction "), "{error}");
}
