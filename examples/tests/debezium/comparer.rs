//! Compares records with those of a real connector: the same topics, the same order in a topic, key, value and headers the
//! same bytes but for what changes from run to run, which must be there or not be there alike.

use std::collections::BTreeMap;

use crate::exceptions::Exceptions;
use crate::json::{Node, is_spaced, parse};

/// Times of processing, positions, transaction ids, versions.
const VOLATILE: [&str; 26] = [
    "ts_ms",
    "ts_us",
    "ts_ns",
    "ts_sec",
    "ts_usec",
    "lsn",
    "lsn_proc",
    "lsn_commit",
    "txId",
    "xmin",
    "sequence",
    "file",
    "pos",
    "gtid",
    "gtids",
    "server_id",
    "thread",
    "version",
    "transaction_id",
    "id_of_transaction",
    "origin_lsn",
    "__ts_ms",
    "__source_ts_ms",
    "__lsn",
    "__source_lsn",
    "__txId",
];

/// One line.
#[derive(Debug)]
struct Record {
    topic: String,
    key: Node,
    value: Node,
    /// Without the one that names a run.
    headers: Node,
    spaced: [bool; 2],
}

/// What came out.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) equal: usize,
    pub(crate) excepted: usize,
    /// What no exception covers, and exceptions that nothing meets.
    pub(crate) wrong: Vec<String>,
}

/// Compares two files; `name` is that of the golden one, such as `postgres/types/default`.
pub(crate) fn compare(
    name: &str,
    expected: &str,
    actual: &str,
    exceptions: &mut Exceptions,
) -> Verdict {
    let (expected, mut actual) = (by_topic(expected), by_topic(actual));
    let mut verdict = Verdict::default();
    for (topic, expected) in expected {
        let actual = actual.remove(&topic).unwrap_or_default();
        for (index, pair) in pairs(&expected, &actual).into_iter().enumerate() {
            let place = format!("{topic}[{index}]");
            let differences = match pair {
                (Some(expected), Some(actual)) => differences(expected, actual),
                (Some(record), None) => vec![("missing".to_owned(), signature(record))],
                (None, Some(record)) => vec![("extra".to_owned(), signature(record))],
                (None, None) => continue,
            };
            if differences.is_empty() {
                verdict.equal += 1;
                continue;
            }
            let count = differences.len();
            let left: Vec<String> = differences
                .into_iter()
                .filter(|(path, _)| !exceptions.excuse(&topic, path))
                .map(|(path, what)| format!("{place} {path}: {what}"))
                .collect();
            assert!(left.len() <= count);
            if left.is_empty() {
                verdict.excepted += usize::from(pair.0.is_some());
            }
            verdict.wrong.extend(left);
        }
    }
    for topic in actual.into_keys() {
        if !exceptions.excuse(&topic, "topic") {
            verdict.wrong.push(format!("topic not expected: {topic}"));
        }
    }
    verdict.wrong.extend(exceptions.stale().map(|line| format!("stale in {name}: {line}")));
    verdict
}

fn by_topic(text: &str) -> BTreeMap<String, Vec<Record>> {
    let mut topics: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let record = record(line);
        topics.entry(record.topic.clone()).or_default().push(record);
    }
    topics
}

fn record(line: &str) -> Record {
    let node = parse(line);
    let part = |name: &str| node.get(name).unwrap_or_else(|| panic!("no {name}: {line}")).clone();
    let run = |header: &Node| matches!(header, Node::Array(pair) if pair[0].text().as_deref() == Some("__debezium.context.runId"));
    let headers = match part("headers") {
        Node::Array(all) => Node::Array(all.into_iter().filter(|header| !run(header)).collect()),
        other => panic!("headers are no list: {other}"),
    };
    let topic = part("topic").text().expect("a topic");
    let raw = |name: &str, until: Option<&str>| {
        let start = line.find(&format!("\"{name}\":")).expect("its place") + name.len() + 3;
        let end = until.and_then(|next| line[start..].find(&format!(",\"{next}\":")));
        let end = end.map_or(line.trim_end().len() - 1, |length| start + length);
        is_spaced(line[start..end].trim())
    };
    let spaced = [raw("key", Some("value")), raw("value", None)];
    Record { topic, key: part("key"), value: part("value"), headers, spaced }
}

/// Key and operation: what tells a record from its neighbours.
fn signature(record: &Record) -> String {
    fn payload(node: &Node) -> &Node {
        node.get("payload").unwrap_or(node)
    }
    let operation = payload(&record.value).get("op").map(Node::to_string).unwrap_or_default();
    format!("{} {operation} {}", payload(&record.key), record.value.is_null())
}

type Pair<'a> = (Option<&'a Record>, Option<&'a Record>);

/// Records of one topic side by side; where their numbers differ, those that have one signature in the longest common order.
fn pairs<'a>(expected: &'a [Record], actual: &'a [Record]) -> Vec<Pair<'a>> {
    if expected.len() == actual.len() {
        return expected.iter().map(Some).zip(actual.iter().map(Some)).collect();
    }
    let signatures = |records: &[Record]| records.iter().map(signature).collect::<Vec<_>>();
    let (e, a) = (signatures(expected), signatures(actual));
    let mut longest = vec![vec![0usize; a.len() + 1]; e.len() + 1];
    for i in (0..e.len()).rev() {
        for j in (0..a.len()).rev() {
            longest[i][j] = match e[i] == a[j] {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut out = Vec::new();
    while i < e.len() || j < a.len() {
        if i < e.len() && j < a.len() && e[i] == a[j] {
            out.push((Some(&expected[i]), Some(&actual[j])));
            (i, j) = (i + 1, j + 1);
        } else if j == a.len() || i < e.len() && longest[i + 1][j] >= longest[i][j + 1] {
            out.push((Some(&expected[i]), None));
            i += 1;
        } else {
            out.push((None, Some(&actual[j])));
            j += 1;
        }
    }
    out
}

/// Path and description of each difference.
fn differences(expected: &Record, actual: &Record) -> Vec<(String, String)> {
    let mut out = Vec::new();
    let parts = [
        ("key", &expected.key, &actual.key),
        ("value", &expected.value, &actual.value),
        ("headers", &expected.headers, &actual.headers),
    ];
    for (name, expected, actual) in parts {
        differ(expected, actual, &mut vec![name.to_owned()], &mut out);
    }
    for (name, index) in [("key", 0), ("value", 1)] {
        if expected.spaced[index] != actual.spaced[index] {
            out.push((name.to_owned(), "spaced otherwise".to_owned()));
        }
    }
    out
}

fn differ(e: &Node, a: &Node, path: &mut Vec<String>, out: &mut Vec<(String, String)>) {
    let name = path.last().map_or("", String::as_str);
    let in_schema =
        path.iter().take(3).any(|p| p == "schema") && path.iter().any(|p| p == "fields");
    if !in_schema && VOLATILE.contains(&name) {
        if e.is_null() != a.is_null() {
            push(path, e, a, out);
        }
        return;
    }
    match (e, a) {
        (Node::Object(expected), Node::Object(actual)) => {
            let names = |members: &[(String, Node)]| {
                let names = members.iter().map(|(name, _)| name.as_str());
                names.collect::<Vec<_>>().join(",")
            };
            let (wanted, there) = (names(expected), names(actual));
            if wanted != there {
                push(path, &wanted, &there, out);
            }
            for (name, value) in expected {
                if let Some(other) = a.get(name) {
                    path.push(name.clone());
                    differ(value, other, path, out);
                    path.pop();
                }
            }
        }
        (Node::Array(expected), Node::Array(actual)) => {
            if expected.len() != actual.len() {
                push(path, &expected.len(), &actual.len(), out);
            }
            for (index, (value, other)) in expected.iter().zip(actual).enumerate() {
                path.push(index.to_string());
                differ(value, other, path, out);
                path.pop();
            }
        }
        _ if e == a => {}
        _ if name == "id" && path.join(".").contains("transaction") && is_id(e) && is_id(a) => {}
        _ => push(path, e, a, out),
    }
}

/// `<xid>` or `<xid>:<LSN>`.
fn is_id(node: &Node) -> bool {
    let Some(text) = node.text() else { return false };
    let (xid, lsn) = text.split_once(':').unwrap_or((&text, "0"));
    [xid, lsn].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

fn push(
    path: &[String],
    expected: &impl std::fmt::Display,
    actual: &impl std::fmt::Display,
    out: &mut Vec<(String, String)>,
) {
    let short = |text: String| text.chars().take(200).collect::<String>();
    let (expected, actual) = (short(expected.to_string()), short(actual.to_string()));
    out.push((path.join("."), format!("expected {expected}, got {actual}")));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = r#"{"topic":"t","headers":[],"key":{"id":1},"value":{"n":1.50,"ts_ms":5}}"#;

    fn with(exceptions: &str, actual: &str) -> Verdict {
        let mut exceptions = Exceptions::of_text(exceptions, "postgres/x/y");
        compare("postgres/x/y", ONE, actual, &mut exceptions)
    }

    #[test]
    fn bytes_count_but_for_what_changes_from_run_to_run() {
        let same = with("", &ONE.replace("\"ts_ms\":5", "\"ts_ms\":6"));
        assert_eq!(same, Verdict { equal: 1, ..Verdict::default() });
        for (from, to, path) in [
            ("1.50", "1.5", "value.n"),
            ("\"ts_ms\":5", "\"ts_ms\":null", "value.ts_ms"),
            ("\"n\":1.50,\"ts_ms\":5", "\"ts_ms\":5,\"n\":1.50", "value"),
            ("{\"id\":1}", "{\"id\": 1}", "key"),
            ("[]", "[[\"h\",1]]", "headers"),
        ] {
            let verdict = with("", &ONE.replace(from, to));
            assert_eq!(verdict.wrong.len(), 1, "{verdict:?}");
            assert!(verdict.wrong[0].starts_with(&format!("t[0] {path}: ")), "{verdict:?}");
        }
        assert_eq!(with("", "").wrong, ["t[0] missing: {id:1}  false"]);
        let twice = with("", &format!("{ONE}\n{ONE}"));
        assert_eq!((twice.equal, twice.wrong.len()), (1, 1));
        let other = ONE.replace("\"topic\":\"t\"", "\"topic\":\"u\"");
        assert!(with("", &other).wrong.contains(&"topic not expected: u".to_owned()));
    }

    #[test]
    fn an_exception_excuses_what_it_names_and_is_stale_without() {
        let exception = "postgres/x/.*\tt\tvalue\\.n\twhy";
        let excused = with(exception, &ONE.replace("1.50", "7"));
        assert_eq!((excused.excepted, excused.wrong.len()), (1, 0));
        let stale = with(exception, ONE);
        assert!(stale.wrong[0].starts_with("stale in postgres/x/y"), "{stale:?}");
        let elsewhere = with("postgres/x/z\tt\tvalue\\.n\twhy", ONE);
        assert_eq!(elsewhere.wrong, [""; 0]);
    }
}
