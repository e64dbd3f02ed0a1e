//! `docs/compat-exceptions.tsv`: four fields set apart by tabs, FILE, TOPIC, PATH and REASON, the first three regular
//! expressions that match the whole. Here FILE is `converters/<file>` and TOPIC the name of a case.

use std::path::Path;

use regex_lite::Regex;

pub(crate) struct Exceptions(Vec<Exception>);

struct Exception {
    line: String,
    file: Regex,
    topic: Regex,
    seen: bool,
    met: bool,
}

impl Exceptions {
    pub(crate) fn load(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let whole =
            |text: &str| Regex::new(&format!("^(?:{text})$")).expect("a regular expression");
        let all = lines.map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            let [file, topic, _path, _reason] = fields.as_slice() else {
                panic!("four fields set apart by tabs: {line}");
            };
            Exception {
                line: line.to_owned(),
                file: whole(file),
                topic: whole(topic),
                seen: false,
                met: false,
            }
        });
        Exceptions(all.filter(|exception| exception.line.starts_with("converters/")).collect())
    }

    /// The exception for a case, if there is one.
    pub(crate) fn matching(&mut self, file: &str, case: &str) -> Option<usize> {
        let mut found = None;
        for (index, exception) in self.0.iter_mut().enumerate() {
            if exception.file.is_match(file) && exception.topic.is_match(case) {
                exception.seen = true;
                found = found.or(Some(index));
            }
        }
        found
    }

    /// The exception was needed.
    pub(crate) fn meet(&mut self, index: usize) {
        self.0[index].met = true;
    }

    /// Those that no case needed. A selection of cases need not have one for each.
    pub(crate) fn stale(&self, selection: bool) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |exception| !exception.met && (exception.seen || !selection))
            .map(|exception| exception.line.as_str())
    }
}
