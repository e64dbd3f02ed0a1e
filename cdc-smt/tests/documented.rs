//! `docs/transforms.md` names every class with exactly the options that it reads.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cdc_core::Properties;
use cdc_core::connect::ConnectProfile;
use cdc_smt::{Predicate, class_names, transform_of_class};
use serde_json::Value as Json;

/// Options that a class needs to be made at all.
const NEEDED: [(&str, &str); 34] = [
    ("compression.ratio", "1"),
    ("converted.timezone", "UTC"),
    ("field", "a"),
    ("fields", "a"),
    ("format", "yyyy"),
    ("header", "h"),
    ("headers", "h"),
    ("key.field.regex", "a"),
    ("key.field.replacement", "b"),
    ("max.bytes", "1"),
    ("operation", "copy"),
    ("partition.payload.fields", "op"),
    ("partition.topic.num", "1"),
    ("regex", "a"),
    ("replacement", "b"),
    ("schema.change.event.exclude.list", "DROP"),
    ("schema.name", "n"),
    ("spec", "a:int8"),
    ("static.field", "a"),
    ("static.value", "b"),
    ("target.type", "string"),
    ("topic.field", "t"),
    ("topic.format", "a"),
    ("topic.regex", "a"),
    ("topic.replacement", "b"),
    ("transforms", ""),
    ("value.literal", "1"),
    ("name", "h"),
    ("pattern", "a"),
    ("add.fields", "op"),
    ("add.headers", "op"),
    ("language", "cel"),
    ("condition", "true"),
    ("topic.expression", "topic"),
];

/// The classes of the feature `expressions`. The originals need a scripting engine beside them, and none was recorded.
const EXPRESSIONS: [&str; 2] =
    ["io.debezium.transforms.ContentBasedRouter", "io.debezium.transforms.Filter"];

fn is_built(class: &str) -> bool {
    cfg!(feature = "expressions") || !EXPRESSIONS.contains(&class)
}

fn options(class: &str) -> BTreeSet<String> {
    let geometry = class.contains("Geometry");
    let given = NEEDED.iter().filter(|(name, _)| !(geometry && *name == "format"));
    let properties: Properties = given.copied().collect();
    if class.contains("predicates") {
        Predicate::of_class(class, &properties).unwrap();
    } else {
        transform_of_class(class, &properties, &ConnectProfile::default()).unwrap();
    }
    properties.asked().into_iter().collect()
}

#[test]
fn every_class_is_listed_with_the_options_that_it_reads() {
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/transforms.md"),
    )
    .unwrap();
    let mut listed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split(" | ");
        let quoted = |cell: &str| -> Vec<String> {
            cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
        };
        let names = quoted(cells.next().unwrap());
        let options: BTreeSet<String> = quoted(cells.next().unwrap()).into_iter().collect();
        for name in names {
            listed.insert(name, options.clone());
        }
    }
    let mut missing = String::new();
    for class in class_names().filter(|class| is_built(class)) {
        let simple = class.rsplit('.').next().unwrap().split('$').next().unwrap();
        let options = options(class);
        // One of two classes with one simple name stands there by its full name.
        let (name, listed) = match listed.get(class) {
            Some(listed) => (class, Some(listed)),
            None => (simple, listed.get(simple)),
        };
        if listed != Some(&options) {
            let options: Vec<String> = options.iter().map(|name| format!("`{name}`")).collect();
            missing.push_str(&format!("| `{name}` | {} |\n", options.join(", ")));
        }
    }
    assert!(missing.is_empty(), "docs/transforms.md should say\n{missing}");
    let known: BTreeSet<&str> = class_names()
        .flat_map(|class| [class, class.rsplit('.').next().unwrap().split('$').next().unwrap()])
        .collect();
    for name in listed.keys() {
        assert!(
            known.contains(name.as_str()),
            "docs/transforms.md names {name}, which is no class"
        );
    }
}

#[test]
fn the_golden_cases_are_of_all_classes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/smt");
    let mut cased = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines() {
            let Ok(case) = serde_json::from_str::<Json>(line) else { continue };
            cased.insert(case["class"].as_str().unwrap().to_owned());
            if let Some(class) = case["predicate"]["class"].as_str() {
                cased.insert(class.to_owned());
            }
        }
    }
    let uncased: Vec<&str> = class_names()
        .filter(|class| !cased.contains(*class) && !EXPRESSIONS.contains(class))
        .collect();
    assert!(uncased.is_empty(), "{uncased:?}");
}
