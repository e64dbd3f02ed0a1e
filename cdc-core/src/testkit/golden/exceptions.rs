//! `docs/compat-exceptions.tsv`: four fields set apart by tabs, FILE, TOPIC, PATH and REASON, the first three regular
//! expressions that match the whole. For a case FILE is `<kind>/<file>` and TOPIC its name.

use std::path::Path;

use crate::error::{Error, Result};
use crate::java_pattern::JavaPattern;

pub(super) struct Exceptions(Vec<Exception>);

struct Exception {
    line: String,
    file: JavaPattern,
    topic: JavaPattern,
    seen: bool,
    met: bool,
}

impl Exceptions {
    /// Those whose FILE begins with `<kind>/`.
    pub(super) fn load(path: &Path, kind: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        let mut all = Vec::new();
        for line in lines {
            let fields: Vec<&str> = line.split('\t').collect();
            let [file, topic, _path, _reason] = fields.as_slice() else {
                return Err(Error::configuration(format!("four fields set apart by tabs: {line}")));
            };
            if line.strip_prefix(kind).is_some_and(|rest| rest.starts_with('/')) {
                all.push(Exception {
                    line: line.to_owned(),
                    file: JavaPattern::new("FILE", file)?,
                    topic: JavaPattern::new("TOPIC", topic)?,
                    seen: false,
                    met: false,
                });
            }
        }
        Ok(Exceptions(all))
    }

    /// The exception for a case, if there is one.
    pub(super) fn matching(&mut self, file: &str, case: &str) -> Result<Option<usize>> {
        let mut found = None;
        for (index, exception) in self.0.iter_mut().enumerate() {
            if exception.file.matches(file)? && exception.topic.matches(case)? {
                exception.seen = true;
                found = found.or(Some(index));
            }
        }
        Ok(found)
    }

    /// The exception was needed.
    pub(super) fn meet(&mut self, index: usize) {
        if let Some(exception) = self.0.get_mut(index) {
            exception.met = true;
        }
    }

    /// Those that no case needed. A selection of cases need not have one for each.
    pub(super) fn stale(&self, selection: bool) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |exception| !exception.met && (exception.seen || !selection))
            .map(|exception| exception.line.as_str())
    }
}
