//! The lines of a golden file, with the bytes of keys and values as they were written.

use std::path::Path;

#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) line: usize,
    pub(crate) topic: String,
    pub(crate) headers: String,
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

pub(crate) fn records(file: &str) -> Vec<Record> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/postgres");
    let text = std::fs::read_to_string(folder.join(format!("{file}.jsonl"))).unwrap();
    // The connector ran on a Java before 19, whose shortest form of a float is not always the shortest.
    let text = text.replace(":-1.17549435E-38,", ":-1.1754944E-38,");
    text.split('\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| record(index + 1, line))
        .collect()
}

fn record(number: usize, line: &str) -> Record {
    let mut rest = line;
    let mut part = |name: &str| {
        let at = rest.find(&format!("\"{name}\":")).unwrap() + name.len() + 3;
        let end = at + value_length(&rest[at..]);
        let span = rest[at..end].to_owned();
        rest = &rest[end..];
        span
    };
    let (topic, headers, key, value) = (part("topic"), part("headers"), part("key"), part("value"));
    let present = |span: String| (span != "null").then_some(span);
    Record {
        line: number,
        topic: topic.trim_matches('"').to_owned(),
        headers,
        key: present(key),
        value: present(value),
    }
}

/// How long the JSON value at the start is.
fn value_length(text: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth > 0 => depth -= 1,
            b',' | b'}' | b']' if depth == 0 => return at,
            _ => {}
        }
    }
    text.len()
}

/// Fails with what stands around the first difference.
pub(crate) fn first_difference(written: &str, expected: &str, file: &str, line: usize) {
    let at = written.bytes().zip(expected.bytes()).position(|(a, b)| a != b);
    if written != expected {
        let at = at.unwrap_or(written.len().min(expected.len())).saturating_sub(60);
        let around = |text: &str| text.chars().skip(at).take(160).collect::<String>();
        panic!("{file} line {line}:\n  {}\ninstead of\n  {}", around(written), around(expected));
    }
}
