//! The words after a subcommand, taken out one by one; what is left over is an error.

use std::str::FromStr;

use crate::{Failure, Result};

/// The words of a command line that are not used yet.
#[derive(Debug)]
pub(crate) struct Arguments {
    command: String,
    words: Vec<String>,
    /// What stands after `--`, for another program.
    rest: Vec<String>,
}

impl Arguments {
    pub(crate) fn new(command: &str, mut words: Vec<String>) -> Self {
        let mut rest = Vec::new();
        if let Some(place) = words.iter().position(|word| word == "--") {
            rest = words.split_off(place + 1);
            words.pop();
        }
        Self { command: command.to_owned(), words, rest }
    }

    /// Whether `--help` or `-h` is among the words.
    pub(crate) fn ask_for_help(&self) -> bool {
        self.words.iter().any(|word| word == "--help" || word == "-h")
    }

    /// Takes out `--name`.
    pub(crate) fn flag(&mut self, name: &str) -> bool {
        let place = self.words.iter().position(|word| word == name);
        place.map(|place| self.words.remove(place)).is_some()
    }

    /// Takes out `--name VALUE` or `--name=VALUE`.
    pub(crate) fn value<T: FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(place) = self.words.iter().position(|word| {
            word.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        }) else {
            return Ok(None);
        };
        let word = self.words.remove(place);
        let text = match word.split_once('=') {
            Some((_, text)) => text.to_owned(),
            None if place < self.words.len() => self.words.remove(place),
            None => return Err(self.wrong(&format!("{name} needs a value"))),
        };
        let value = text.parse().map_err(|_| self.wrong(&format!("{name} cannot be `{text}`")))?;
        Ok(Some(value))
    }

    /// Takes out every word that is no option.
    pub(crate) fn names(&mut self) -> Vec<String> {
        let (options, names) = self.words.drain(..).partition(|word| word.starts_with('-'));
        self.words = options;
        names
    }

    /// Takes out what stands after `--`.
    pub(crate) fn rest(&mut self) -> Vec<String> {
        std::mem::take(&mut self.rest)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(self) -> Result<()> {
        match self.words.first().or(self.rest.first()) {
            Some(word) => Err(self.wrong(&format!("`{word}` is not known here"))),
            None => Ok(()),
        }
    }

    /// An error of this command line.
    pub(crate) fn wrong(&self, what: &str) -> Failure {
        Failure::new(format!("{what}: see `cargo xtask {} --help`", self.command))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        Arguments::new("try", line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_are_taken_in_any_order_and_form() {
        let mut words = arguments("up --seconds=5 --matrix --version 15 -- --seconds x");
        assert_eq!(words.value::<u32>("--version").unwrap(), Some(15));
        assert_eq!(words.value::<u32>("--seconds").unwrap(), Some(5));
        assert!(words.flag("--matrix"));
        assert!(!words.flag("--matrix"));
        assert_eq!(words.names(), ["up"]);
        assert_eq!(words.rest(), ["--seconds", "x"]);
        words.end().unwrap();
    }

    #[test]
    fn what_is_not_known_or_has_no_value_is_an_error_with_the_place_to_look() {
        let error = arguments("--wrong").end().unwrap_err();
        assert_eq!(error.to_string(), "`--wrong` is not known here: see `cargo xtask try --help`");
        assert!(arguments("--version").value::<u32>("--version").is_err());
        assert!(arguments("--version x").value::<u32>("--version").is_err());
    }
}
