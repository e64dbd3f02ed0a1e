//! JSON as it is written: names in their order, texts and numbers with the very characters.

/// A value and how it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    /// A text, a number, true, false or null, as it stands.
    Scalar(String),
}

impl Node {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Node::Scalar(text) if text == "null")
    }

    /// The text of a string.
    pub(crate) fn text(&self) -> Option<String> {
        match self {
            Node::Scalar(raw) if raw.starts_with('"') => serde_json::from_str(raw).ok(),
            _ => None,
        }
    }

    /// The value of a name.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        match self {
            Node::Object(members) => members.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            _ => None,
        }
    }
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        match self {
            Node::Scalar(raw) => f.write_str(raw),
            Node::Array(items) => {
                f.write_str("[")?;
                for item in items {
                    write!(f, "{}{item}", std::mem::replace(&mut separator, ","))?;
                }
                f.write_str("]")
            }
            Node::Object(members) => {
                f.write_str("{")?;
                for (name, value) in members {
                    write!(f, "{}{name}:{value}", std::mem::replace(&mut separator, ","))?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Reads a line. What is no JSON fails the test.
pub(crate) fn parse(line: &str) -> Node {
    let mut reader = Reader { text: line, at: 0 };
    let node = reader.value();
    reader.blanks();
    assert_eq!(reader.at, line.len(), "more after the end: {line}");
    node
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, expected: char) -> bool {
        self.blanks();
        let there = self.rest().starts_with(expected);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self) -> Node {
        if self.take('{') {
            let mut members = Vec::new();
            while !self.take('}') {
                assert!(members.is_empty() || self.take(','), "no comma: {}", self.rest());
                let name = self.value().text().expect("a name");
                assert!(self.take(':'), "no colon: {}", self.rest());
                members.push((name, self.value()));
            }
            return Node::Object(members);
        }
        if self.take('[') {
            let mut items = Vec::new();
            while !self.take(']') {
                assert!(items.is_empty() || self.take(','), "no comma: {}", self.rest());
                items.push(self.value());
            }
            return Node::Array(items);
        }
        let raw = self.scalar();
        assert!(serde_json::from_str::<serde_json::Value>(raw).is_ok(), "not JSON: {raw}");
        Node::Scalar(raw.to_owned())
    }

    fn scalar(&mut self) -> &'a str {
        let rest = self.rest();
        let length = match rest.strip_prefix('"') {
            None => rest.find([',', ':', '}', ']', ' ']).unwrap_or(rest.len()),
            Some(inside) => {
                let mut escaped = false;
                let end = inside.bytes().position(|byte| {
                    let ends = byte == b'"' && !escaped;
                    escaped = byte == b'\\' && !escaped;
                    ends
                });
                end.expect("a closing quote") + 2
            }
        };
        self.at += length;
        &rest[..length]
    }
}

/// Whether there are blanks between the parts of a value.
pub(crate) fn is_spaced(raw: &str) -> bool {
    let mut inside = false;
    let mut escaped = false;
    raw.bytes().any(|byte| {
        if inside {
            inside = byte != b'"' || escaped;
            escaped = byte == b'\\' && !escaped;
            return false;
        }
        inside = byte == b'"';
        byte == b' '
    })
}
