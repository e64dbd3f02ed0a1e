//! Every dependency under a licence that `deny.toml` allows.

use super::policy::Policy;
use crate::{Result, cargo::Metadata};

/// Reads the licence expression of every package that may be compiled, on any platform.
pub(super) fn check() -> Result<bool> {
    let policy = Policy::read()?;
    let metadata = Metadata::read()?;
    let mut good = true;
    for package in &metadata.packages {
        let complaint = match package.license.as_deref() {
            None => "has no licence in its manifest".to_owned(),
            Some(text) => match is_allowed(text, &policy.licenses.allow) {
                Some(true) => continue,
                Some(false) => format!("is under `{text}`, which deny.toml does not allow"),
                None => format!("has a licence expression that cannot be read: `{text}`"),
            },
        };
        println!(
            "{} {} {complaint}: use another crate, or allow it",
            package.name, package.version
        );
        good = false;
    }
    Ok(good)
}

/// Whether an SPDX expression is satisfied by allowed licences alone; `None` if it is not one.
fn is_allowed(expression: &str, allow: &[String]) -> Option<bool> {
    // Before 2018, `A/B` was how crates wrote `A OR B`.
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<_> = text.split_whitespace().collect();
    let mut parser = Expression { words: &words, allow };
    let allowed = parser.either()?;
    parser.words.is_empty().then_some(allowed)
}

/// The words of an expression that are not read yet. OR binds weaker than AND, AND than WITH.
struct Expression<'a> {
    words: &'a [&'a str],
    allow: &'a [String],
}

impl Expression<'_> {
    fn take(&mut self, word: &str) -> bool {
        match self.words.split_first() {
            Some((first, rest)) if *first == word => {
                self.words = rest;
                true
            }
            _ => false,
        }
    }

    fn either(&mut self) -> Option<bool> {
        let mut allowed = self.both()?;
        while self.take("OR") {
            allowed |= self.both()?;
        }
        Some(allowed)
    }

    fn both(&mut self) -> Option<bool> {
        let mut allowed = self.licence()?;
        while self.take("AND") {
            allowed &= self.licence()?;
        }
        Some(allowed)
    }

    fn licence(&mut self) -> Option<bool> {
        if self.take("(") {
            let allowed = self.either()?;
            return self.take(")").then_some(allowed);
        }
        let (name, rest) = self.words.split_first()?;
        if ["OR", "AND", "WITH", ")"].contains(name) {
            return None;
        }
        self.words = rest;
        let mut name = (*name).to_owned();
        if self.take("WITH") {
            let (exception, rest) = self.words.split_first()?;
            self.words = rest;
            name = format!("{name} WITH {exception}");
        }
        Some(self.allow.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_of_or_is_enough_and_both_of_and_are_needed() {
        let allow = ["MIT", "Apache-2.0 WITH LLVM-exception", "Zlib"].map(str::to_owned);
        let allowed = |text| is_allowed(text, &allow);
        assert_eq!(allowed("MIT OR GPL-3.0"), Some(true));
        assert_eq!(allowed("Unlicense/MIT"), Some(true));
        assert_eq!(allowed("MIT AND GPL-3.0"), Some(false));
        assert_eq!(allowed("(GPL-3.0 OR MIT) AND Zlib"), Some(true));
        assert_eq!(allowed("GPL-3.0 OR MIT AND ISC"), Some(false));
        assert_eq!(allowed("Apache-2.0 WITH LLVM-exception"), Some(true));
        assert_eq!(allowed("Apache-2.0"), Some(false));
    }

    #[test]
    fn what_is_no_expression_is_not_taken_for_allowed() {
        let allow = ["MIT".to_owned()];
        for text in ["", "MIT OR", "(MIT", "MIT MIT", "MIT )", "OR MIT", "MIT WITH"] {
            assert_eq!(is_allowed(text, &allow), None, "{text}");
        }
    }
}
