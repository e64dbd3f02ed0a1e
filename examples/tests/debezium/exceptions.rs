//! `docs/compat-exceptions.tsv`: FILE, TOPIC, PATH and REASON set apart by tabs, the first three regular expressions that
//! match the whole.

use std::path::Path;

use cdc_core::java_pattern::JavaPattern;

/// The exceptions for one golden file.
pub(crate) struct Exceptions(Vec<Exception>);

struct Exception {
    line: String,
    topic: JavaPattern,
    path: JavaPattern,
    met: bool,
}

/// The file in the repository.
pub(crate) fn text() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compat-exceptions.tsv");
    std::fs::read_to_string(path).unwrap()
}

/// Its lines, each in its four fields.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = [&str; 4]> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let fields: [&str; 4] =
            fields.try_into().unwrap_or_else(|_| panic!("four fields set apart by tabs: {line}"));
        assert!(!fields[3].trim().is_empty(), "a reason: {line}");
        fields
    })
}

/// Whether an expression matches the whole of a name.
pub(crate) fn matches(expression: &str, name: &str) -> bool {
    JavaPattern::new("FILE", expression).unwrap().matches(name).unwrap()
}

impl Exceptions {
    /// Those of a text whose FILE matches.
    pub(crate) fn of_text(text: &str, file: &str) -> Self {
        Self::of_text_but(text, file, |_| false)
    }

    /// The same without those whose reason is not one.
    pub(crate) fn of_text_but(text: &str, file: &str, not: impl Fn(&str) -> bool) -> Self {
        let all = lines(text).filter(|[of, _, _, reason]| matches(of, file) && !not(reason)).map(
            |[of, topic, path, reason]| Exception {
                line: [of, topic, path, reason].join("  "),
                topic: JavaPattern::new("TOPIC", topic).unwrap(),
                path: JavaPattern::new("PATH", path).unwrap(),
                met: false,
            },
        );
        Exceptions(all.collect())
    }

    /// Whether a difference is excused; every exception that does so is met.
    pub(crate) fn excuse(&mut self, topic: &str, path: &str) -> bool {
        let mut excused = false;
        for exception in &mut self.0 {
            if exception.topic.matches(topic).unwrap() && exception.path.matches(path).unwrap() {
                exception.met = true;
                excused = true;
            }
        }
        excused
    }

    /// Those that nothing met.
    pub(crate) fn stale(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|exception| !exception.met).map(|exception| exception.line.as_str())
    }
}
