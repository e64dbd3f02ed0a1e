//! What becomes of changes, rows and tables as a source gives them, without records of Connect.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, JsonConverter, JsonOptions, Processed};
use cdc_core::testkit::{shop, some_origin};
use cdc_core::{
    Change, ChangeEvent, DataType, Destination, Field, Operation, Origin, Payload, Properties, Row,
    Schema, Transform, Value, ValueRef,
};
use cdc_smt::{
    ByLogicalTableRouter, DeleteHandling, ExtractNewRecordState, FieldSyntax, InsertField,
    Inserted, RegexRouter, ReplaceField, Side, ValueToKey, from_properties, transform_of_class,
};

fn origin() -> Origin {
    let mut origin = some_origin();
    Arc::make_mut(&mut origin.transaction).connector = "postgresql";
    origin
}

fn event(change: Change) -> ChangeEvent {
    let table = change.schema.table().unwrap().clone();
    ChangeEvent::change(Destination::with_prefix(Some("shop"), &table), change, origin())
}

fn chain(transforms: &mut [&mut dyn Transform], event: ChangeEvent) -> Vec<ChangeEvent> {
    let mut events = vec![event];
    for transform in transforms {
        let mut out = Vec::new();
        for event in events {
            transform.apply(event, &mut out).unwrap();
        }
        events = out;
    }
    events
}

fn row(event: &ChangeEvent) -> &Row {
    event.value.as_row().unwrap()
}

fn table(event: &ChangeEvent) -> &Arc<Schema> {
    let change = event.as_change().unwrap();
    assert_eq!(change.operation, Operation::Table);
    &change.schema
}

fn names(schema: &Schema) -> Vec<&str> {
    schema.fields().iter().map(|field| &*field.name).collect()
}

#[test]
fn an_unwrapped_row_has_the_schema_that_its_table_announced() {
    let mut unwrap = ExtractNewRecordState::new()
        .deletes(DeleteHandling::Rewrite)
        .add_fields("__", ["op", "table"])
        .unwrap();
    let announced = chain(&mut [&mut unwrap], event(Change::table(shop::orders())));
    let inserted = chain(&mut [&mut unwrap], event(Change::create(shop::order(1, "pen"))));
    let expected = ["id", "note", "__deleted", "__op", "__table"];
    assert_eq!(names(table(&announced[0])), expected);
    assert_eq!(names(row(&inserted[0]).schema()), expected);
    assert_eq!(row(&inserted[0]).by_name("__op"), Some(ValueRef::Text("c")));
    assert_eq!(table(&announced[0]).key(), [0]);
}

#[test]
fn a_row_that_is_unwrapped_and_no_more_is_not_copied() {
    let mut unwrap = ExtractNewRecordState::new();
    let order = shop::order(1, "pen");
    let out = chain(&mut [&mut unwrap], event(Change::create(order.clone())));
    let (Some(ValueRef::Text(before)), Some(ValueRef::Text(after))) =
        (order.by_name("note"), row(&out[0]).by_name("note"))
    else {
        panic!("texts");
    };
    assert!(std::ptr::eq(before, after));
}

#[test]
fn a_column_that_was_not_sent_stays_unavailable() {
    let mut unwrap = ExtractNewRecordState::new();
    let change = Change::update(None, shop::order(1, Value::Unavailable));
    let out = chain(&mut [&mut unwrap], event(change));
    assert_eq!(row(&out[0]).by_name("note"), Some(ValueRef::Unavailable));
    let full = Change::update(Some(shop::order(1, "pen")), shop::order(1, Value::Unavailable));
    let out = chain(&mut [&mut unwrap], event(full));
    assert_eq!(row(&out[0]).by_name("note"), Some(ValueRef::Text("pen")));
}

#[test]
fn tables_go_through_a_chain_as_rows_do() {
    let mut route = RegexRouter::new(r"shop\.public\.(.*)", "copy.$1").unwrap();
    let mut unwrap = ExtractNewRecordState::new();
    let mut rename = ReplaceField::new(Side::Value).rename("id", "number").unwrap();
    let mut insert =
        InsertField::new(Side::Value).field("origin!", Inserted::Static("shop".into()));
    let mut transforms: [&mut dyn Transform; 4] =
        [&mut route, &mut unwrap, &mut rename, &mut insert];
    let announced = chain(&mut transforms, event(Change::table(shop::orders())));
    let inserted = chain(&mut transforms, event(Change::create(shop::order(1, "pen"))));
    assert_eq!(announced[0].destination.as_str(), "copy.orders");
    assert_eq!(names(table(&announced[0])), ["number", "note", "origin"]);
    assert_eq!(names(row(&inserted[0]).schema()), ["number", "note", "origin"]);
    assert_eq!(table(&announced[0]).key(), [0], "the key follows its new name");
}

#[test]
fn a_table_whose_rows_are_in_envelopes_keeps_its_columns() {
    let mut exclude = ReplaceField::new(Side::Value).exclude(["note"]).unwrap();
    let announced = chain(&mut [&mut exclude], event(Change::table(shop::orders())));
    assert_eq!(names(table(&announced[0])), ["id", "note"]);
}

#[test]
fn a_key_made_of_the_value_is_the_key_of_row_and_table() {
    let mut unwrap = ExtractNewRecordState::new();
    let mut key = ValueToKey::new(["note"], FieldSyntax::V1).unwrap();
    let mut transforms: [&mut dyn Transform; 2] = [&mut unwrap, &mut key];
    let announced = chain(&mut transforms, event(Change::table(shop::orders())));
    let inserted = chain(&mut transforms, event(Change::create(shop::order(1, "pen"))));
    assert_eq!(table(&announced[0]).key(), [1]);
    assert_eq!(row(&inserted[0]).key().unwrap().by_name("note"), Some(ValueRef::Text("pen")));
    assert_eq!(inserted[0].key.as_row().unwrap().len(), 1);
}

#[test]
fn merged_tables_are_changes_still_and_have_the_names_of_their_destination() {
    let mut route = ByLogicalTableRouter::new("(.*)orders", "${1}all").unwrap();
    let profile = ConnectProfile::builder().topic_prefix("shop").build();
    assert!(
        ByLogicalTableRouter::new("(.*)orders", "$1all")
            .unwrap()
            .profile(&profile)
            .apply(event(Change::create(shop::order(1, "pen"))), &mut Vec::new())
            .is_ok()
    );
    // Java takes no braces around numbers.
    assert!(route.apply(event(Change::create(shop::order(1, "pen"))), &mut Vec::new()).is_err());
    let mut route = ByLogicalTableRouter::new("(.*)orders", "$1all").unwrap().profile(&profile);
    let out = chain(&mut [&mut route], event(Change::create(shop::order(1, "pen"))));
    assert_eq!(out[0].operation(), Some(Operation::Create));
    let mut json = JsonConverter::new(JsonOptions::default(), profile).unwrap();
    let mut text = Vec::new();
    json.encode_value(&out[0], Processed::at_nanos(0), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("\"name\":\"shop.public.all.Envelope\""), "{text}");
    assert!(text.contains("\"name\":\"shop.public.all.Value\""), "{text}");
    let announced = chain(&mut [&mut route], event(Change::table(shop::orders())));
    assert_eq!(announced[0].destination.as_str(), "shop.public.all");
}

#[test]
fn merged_rows_are_told_apart_by_a_column_that_records_show_in_the_key_alone() {
    const FIELD: &str = "__dbz__physicalTableIdentifier";
    let profile = ConnectProfile::builder().topic_prefix("shop").build();
    let route = || ByLogicalTableRouter::new("(.*)orders", "$1all").unwrap().profile(&profile);
    let update = || event(Change::update(Some(shop::order(1, "ink")), shop::order(1, "pen")));
    let announced = chain(&mut [&mut route()], event(Change::table(shop::orders())));
    assert_eq!(names(table(&announced[0])), ["id", "note", FIELD]);
    assert_eq!(table(&announced[0]).key(), [0, 2]);
    let mut unwrap = ExtractNewRecordState::new().profile(&profile);
    let mut unwrapped = chain(&mut [&mut route(), &mut unwrap], update());
    let out = chain(&mut [&mut route()], update());
    let from = Some(ValueRef::Text("shop.public.orders"));
    for row in [out[0].after(), out[0].before(), unwrapped[0].value.as_row()] {
        let key = row.unwrap().key().unwrap();
        assert_eq!((key.len(), key.by_name(FIELD)), (2, from.clone()));
    }
    assert_eq!(out[0].key.as_row().unwrap().by_name(FIELD), from);
    let mut json = JsonConverter::new(JsonOptions::default(), profile.clone()).unwrap();
    let lowered = profile.lower(&out[0], Processed::at_nanos(0)).unwrap().unwrap();
    for event in [out[0].clone(), lowered, unwrapped.remove(0)] {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        json.encode_key(&event, Processed::at_nanos(0), &mut key).unwrap();
        json.encode_value(&event, Processed::at_nanos(0), &mut value).unwrap();
        let (key, value) = (String::from_utf8(key).unwrap(), String::from_utf8(value).unwrap());
        assert!(key.contains(&format!("\"{FIELD}\":\"shop.public.orders\"")), "{key}");
        assert!(value.contains("\"note\":\"pen\"") && !value.contains(FIELD), "{value}");
    }
    let mut whole = ByLogicalTableRouter::new("(.*)orders", "$1all").unwrap().key_field(None);
    assert_eq!(chain(&mut [&mut whole], update())[0].after().unwrap().len(), 2);
}

#[test]
fn deletes_and_tombstones_become_what_the_mode_says() {
    let delete = || event(Change::delete(shop::order(1, "pen")));
    let out = |mode| chain(&mut [&mut ExtractNewRecordState::new().deletes(mode)], delete());
    assert!(out(DeleteHandling::Drop).is_empty());
    assert!(matches!(
        &out(DeleteHandling::Tombstone)[0].value,
        Payload::Value { schema: Some(_), value: Value::Null }
    ));
    assert!(out(DeleteHandling::DeleteToTombstone)[0].value.is_absent());
    let rewritten = out(DeleteHandling::Rewrite);
    assert_eq!(row(&rewritten[0]).by_name("__deleted"), Some(ValueRef::Text("true")));
}

#[test]
fn a_predicate_chooses_tables_too() {
    let properties: Properties = r#"{
        "transforms": "drop",
        "transforms.drop.type": "Filter",
        "transforms.drop.predicate": "visits",
        "predicates": "visits",
        "predicates.visits.type": "TopicNameMatches",
        "predicates.visits.pattern": "shop\\.public\\.visits"
    }"#
    .parse()
    .unwrap();
    let mut chained = from_properties(&properties, &ConnectProfile::default()).unwrap();
    let mut out = Vec::new();
    chained[0].apply(event(Change::table(shop::visits())), &mut out).unwrap();
    chained[0].apply(event(Change::table(shop::orders())), &mut out).unwrap();
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].destination.as_str(), "shop.public.orders");
}

fn refused(json: &str) -> String {
    let properties: Properties = json.parse().unwrap();
    let result = from_properties(&properties, &ConnectProfile::default());
    result.err().unwrap().to_string()
}

#[test]
fn what_a_chain_cannot_have_is_refused_by_name() {
    let unknown = refused(r#"{"transforms": "a", "transforms.a.type": "com.example.Cast"}"#);
    assert!(
        unknown.starts_with("transforms.a: Class com.example.Cast could not be found."),
        "{unknown}"
    );
    assert!(unknown.contains("org.apache.kafka.connect.transforms.Cast$Value"), "{unknown}");
    let misspelt = refused(
        r#"{"transforms": "a", "transforms.a.type": "RegexRouter", "transforms.a.regex": "a",
            "transforms.a.replacement": "b", "transforms.a.replacment": "c"}"#,
    );
    assert!(misspelt.contains("transforms.a: Unknown configuration \"replacment\""), "{misspelt}");
    let missing = refused(r#"{"transforms": "a"}"#);
    assert_eq!(
        missing,
        "Missing required configuration \"transforms.a.type\" which has no default value."
    );
    let twice = refused(r#"{"transforms": "a,a", "transforms.a.type": "Filter"}"#);
    assert_eq!(
        twice,
        "Invalid value [a, a] for configuration transforms: Duplicate alias provided."
    );
    let negated = refused(
        r#"{"transforms": "a", "transforms.a.type": "Filter", "transforms.a.negate": "true"}"#,
    );
    assert!(negated.contains("there is no config 'transforms.a.predicate'"), "{negated}");
    let predicate = refused(
        r#"{"transforms": "a", "transforms.a.type": "Filter", "transforms.a.predicate": "p"}"#,
    );
    assert!(predicate.contains("transforms.a.predicate"), "{predicate}");
}

#[test]
fn fields_are_masked_cast_and_converted_by_their_types() {
    let timestamp = DataType::Timestamp { precision: 6 };
    let inner = Schema::builder()
        .fields([Field::required("secret", DataType::TEXT), Field::required("n", DataType::Int64)])
        .build()
        .unwrap();
    let schema = Schema::builder()
        .fields([
            Field::required("id", DataType::Int64),
            Field::required("name", DataType::TEXT),
            Field::required("made", timestamp.clone()),
            Field::required("seen", timestamp),
            Field::required("inner", DataType::Struct(Arc::clone(&inner))),
        ])
        .build()
        .unwrap();
    let made = Value::Timestamp(cdc_core::value::Timestamp::micros(1_546_398_245_678_000));
    let nested = Row::new(inner, vec!["s".into(), 5i64.into()]).unwrap();
    let values = vec![7i64.into(), "pen".into(), made.clone(), made, Value::Struct(nested)];
    let row = Row::new(schema, values).unwrap();
    let after = |class: &str, options: &[(&str, &str)]| {
        let properties: Properties = options.iter().copied().collect();
        let mut transform =
            transform_of_class(class, &properties, &ConnectProfile::default()).unwrap();
        let event = ChangeEvent::new(
            Destination::named("t"),
            Payload::Absent,
            Payload::row(row.clone()),
            some_origin(),
        );
        let mut out = Vec::new();
        transform.apply(event, &mut out).unwrap();
        properties.finish().unwrap();
        format!("{:?}", out[0].value.as_row().unwrap())
    };
    let masked = after("MaskField$Value", &[("field.types", "string"), ("replacement", "*")]);
    assert!(masked.contains("\"*\"") && !masked.contains("pen"), "{masked}");
    assert!(!masked.contains("\"s\""), "{masked}");
    let cast = after("Cast$Value", &[("field.types", "INT64:string"), ("spec", "id:int32")]);
    assert!(cast.contains("Int32(7)") && cast.contains("\"5\""), "{cast}");
    let options = [
        ("field.types", "MicroTimestamp"),
        ("target.type", "string"),
        ("format", "yyyy"),
        ("unix.precision", "microseconds"),
    ];
    let converted = after("TimestampConverter$Value", &options);
    assert_eq!(converted.matches("2019").count(), 2, "{converted}");
}
