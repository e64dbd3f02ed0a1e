use cdc_core::java_pattern::JavaPattern;
use cdc_core::{Destination, Field, Origin, SnapshotMark, TableId, TransactionOrigin};

use super::*;
use crate::name_pattern::{ColumnSet, NamePattern};

fn customers() -> Arc<Schema> {
    Schema::builder()
        .table(TableId::new("public", "customers"))
        .fields([
            Field::required("id", DataType::Int32),
            Field::required("name", DataType::TEXT),
            Field::optional("email", DataType::Text { max_length: Some(3), fixed: false }),
            Field::optional("age", DataType::Int32),
        ])
        .key(["id"])
        .build()
        .unwrap()
}

fn set(pattern: &str) -> ColumnSet {
    ColumnSet::Patterns(vec![NamePattern::column(pattern).unwrap()])
}

fn row(schema: &Arc<Schema>, id: i32, name: Value) -> Row {
    Row::new(Arc::clone(schema), vec![id.into(), name, Value::Null, 7i32.into()]).unwrap()
}

fn key_only(schema: &Arc<Schema>, id: i32) -> Row {
    let mut values = schema.unavailable_values();
    values[0] = id.into();
    Row::new(Arc::clone(schema), values).unwrap()
}

fn event(change: Change) -> ChangeEvent {
    let table = change.schema.table().unwrap().clone();
    let origin = Origin {
        transaction: Arc::new(TransactionOrigin {
            connector: "postgresql",
            database: "shop".into(),
            id: None,
            commit_time_us: None,
            position: [1, 1],
            previous_commit: None,
            replicated_from: None,
        }),
        index: 0,
        log_position: 1,
        table: Some(Arc::new(table.clone())),
        snapshot: SnapshotMark::No,
        shown_by_snapshot: false,
        batch: 0,
        place: 0,
    };
    ChangeEvent::change(Destination::of_table(&table), change, origin)
}

fn shaped(rules: ShapeRules, change: Change) -> Option<ChangeEvent> {
    Shaper::new(&Arc::new(rules)).shape(event(change)).unwrap()
}

fn values(row: &Row) -> Vec<Value> {
    row.values().map(|value| value.to_value()).collect()
}

#[test]
fn without_rules_nothing_is_touched() {
    let schema = customers();
    let event = shaped(ShapeRules::default(), Change::create(row(&schema, 1, "Sally".into())));
    assert!(Arc::ptr_eq(event.unwrap().after().unwrap().schema(), &schema));
}

#[test]
fn hidden_columns_are_in_no_image_and_masked_ones_show_their_mask() {
    let schema = customers();
    let rules = ShapeRules {
        exclude: vec![set("public.customers.age")],
        masks: vec![
            (set("public.customers.email"), Mask::asterisks(5)),
            (set("public.customers.name"), Mask::Truncate(3)),
        ],
        ..ShapeRules::default()
    };
    let change =
        Change::update(Some(row(&schema, 1, "Sarah".into())), row(&schema, 1, Value::Unavailable));
    let event = shaped(rules, change).unwrap();
    assert_eq!(values(event.before().unwrap()), [1i32.into(), "Sar".into(), "*****".into()]);
    assert_eq!(values(event.after().unwrap()), [1i32.into(), Value::Unavailable, "*****".into()]);
    let email = event.after().unwrap().schema().field(2).unwrap().clone();
    assert_eq!(email.data_type(), &DataType::Text { max_length: Some(5), fixed: false });
    let parameters = &email.value_type.connect.unwrap().parameters;
    assert_eq!(*parameters, [("masked".into(), "true".into())]);
    assert_eq!(values(event.key.as_row().unwrap()), [1i32.into()]);
}

#[test]
fn only_included_columns_are_shown_and_the_key_of_the_record_stays() {
    let schema = customers();
    let rules = ShapeRules { include: Some(set("public.customers.name")), ..ShapeRules::default() };
    let event = shaped(rules, Change::create(row(&schema, 1, "Sally".into()))).unwrap();
    assert_eq!(values(event.after().unwrap()), ["Sally".into()]);
    assert_eq!(values(event.key.as_row().unwrap()), [1i32.into()]);
    assert!(!event.after().unwrap().schema().has_key());
}

#[test]
fn of_several_masks_the_one_that_shows_least_holds() {
    let schema = customers();
    let rules = ShapeRules {
        masks: vec![
            (set("public.customers.name"), Mask::Truncate(3)),
            (set("*.*.n*"), Mask::asterisks(2)),
        ],
        ..ShapeRules::default()
    };
    let event = shaped(rules, Change::create(row(&schema, 1, "Sally".into()))).unwrap();
    assert_eq!(event.after().unwrap().by_name("name").unwrap().to_value(), "**".into());
}

#[test]
fn a_key_of_other_columns_is_unmasked_and_filled_where_it_was_not_sent() {
    let schema = customers();
    let list = JavaPattern::list("message.key.columns", "public.customers.name").unwrap();
    let rules = ShapeRules {
        keys: vec![KeyColumns::Expressions(list)],
        masks: vec![(set("public.customers.name"), Mask::Truncate(3))],
        ..ShapeRules::default()
    };
    let update = Change::update(Some(key_only(&schema, 10)), row(&schema, 11, "Anna".into()));
    let moved = shaped(rules.clone(), update).unwrap();
    assert_eq!(values(moved.key.as_row().unwrap()), ["Anna".into()]);
    let old = moved.as_change().unwrap().old_record_key().unwrap();
    assert_eq!(values(&old), ["".into()]);
    let stays = Change::update(None, row(&schema, 10, "Anna".into()));
    let stays = shaped(rules.clone(), stays).unwrap();
    assert!(stays.as_change().unwrap().old_record_key().is_none());
    let deleted = shaped(rules, Change::delete(key_only(&schema, 11))).unwrap();
    assert_eq!(values(deleted.key.as_row().unwrap()), ["".into()]);
}

#[test]
fn updates_that_change_nothing_that_is_shown_are_left_out() {
    let schema = customers();
    let rules = ShapeRules {
        exclude: vec![set("public.customers.name")],
        skip_unchanged: true,
        ..ShapeRules::default()
    };
    let full = |id, name: &str| row(&schema, id, name.into());
    let unseen = Change::update(Some(full(1, "a")), full(1, "b"));
    assert!(shaped(rules.clone(), unseen).is_none());
    let moved = Change::update(Some(full(1, "a")), full(2, "a"));
    assert!(shaped(rules.clone(), moved).is_some());
    // Nobody knows whether anything changed.
    assert!(shaped(rules.clone(), Change::update(None, full(1, "b"))).is_some());
    let key = Change::update(Some(key_only(&schema, 1)), full(1, "b"));
    assert!(shaped(rules, key).is_some());
}

#[test]
fn a_masked_column_is_a_column_like_any_other_in_connect() {
    let mut field = Field::optional("e-mail", DataType::TEXT);
    field.comment = Some("where to".into());
    let schema =
        Schema::builder().table(TableId::new("public", "customers")).field(field).build().unwrap();
    let rules =
        ShapeRules { masks: vec![(set("*.*.*"), Mask::Truncate(7))], ..ShapeRules::default() };
    let row = Row::new(Arc::clone(&schema), vec![Value::Null]).unwrap();
    let event = shaped(rules, Change::create(row)).unwrap();
    let profile = cdc_core::connect::ConnectProfile::builder()
        .property("include.schema.comments", "true")
        .unwrap()
        .property("field.name.adjustment.mode", "avro")
        .unwrap()
        .build();
    let view = profile.view(event.after().unwrap().schema()).unwrap();
    let field = view.field("e_mail").unwrap();
    let attributes = field.schema().attributes();
    assert_eq!(attributes.doc.as_deref(), Some("where to"));
    assert_eq!(attributes.parameters, [("truncateLength".into(), "7".into())]);
}

#[test]
fn a_key_of_a_column_that_is_not_there_is_refused() {
    let rules = ShapeRules {
        keys: vec![KeyColumns::Named {
            table: TableId::new("public", "customers"),
            columns: vec!["nmae".into()],
        }],
        ..ShapeRules::default()
    };
    let change = Change::create(row(&customers(), 1, "Sally".into()));
    let error = Shaper::new(&Arc::new(rules)).shape(event(change)).unwrap_err().to_string();
    assert!(error.contains("public.customers has no column \"nmae\""), "{error}");
}

#[test]
fn a_salt_is_not_shown() {
    let mask = Mask::Hash {
        algorithm: HashAlgorithm::Sha256,
        version: HashVersion::Bytes,
        salt: "pepper".into(),
    };
    assert_eq!(format!("{mask:?}"), "Hash(SHA-256, Bytes)");
}

#[test]
fn a_default_is_masked_like_a_value() {
    let text = || cdc_core::ValueType::required(DataType::TEXT).with_default("secret".into());
    let mut computed = Field::optional("computed", DataType::TEXT);
    computed.default_expression = Some("lower('SECRET')".into());
    let schema = Schema::builder()
        .table(TableId::new("public", "t"))
        .fields([Field::new("cut", text()), Field::new("fixed", text()), computed])
        .build()
        .unwrap();
    let rules = ShapeRules {
        masks: vec![
            (set("public.t.cut"), Mask::Truncate(2)),
            (set("public.t.fixed"), Mask::asterisks(3)),
            (set("public.t.computed"), Mask::Truncate(2)),
        ],
        ..ShapeRules::default()
    };
    let event = shaped(rules, Change::table(schema)).unwrap();
    let shown = &event.as_change().unwrap().schema;
    assert_eq!(shown.field(0).unwrap().value_type.default, Some("se".into()));
    assert!(!format!("{shown:?}").to_lowercase().contains("secret"));
}
