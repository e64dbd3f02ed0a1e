//! Regular expressions of configurations: Java's, as Debezium's include lists and Connect's transforms have them.
//!
//! Classes such as `\w` are ASCII, as in Java; back-references, look-around, atomic groups and possessive quantifiers
//! work. (`java.util.regex.Pattern`, Debezium's `Strings.listOfRegex`.)

use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

use fancy_regex::{Captures, Regex};

use crate::error::{Error, Result};

/// A regular expression of Java that must match the whole of a text.
///
/// ```
/// use cdc_core::java_pattern::JavaPattern;
///
/// let pattern = JavaPattern::new("transforms.route.regex", r"shop\.(\w+)\.\1_(.*)")?;
/// assert!(pattern.matches("shop.orders.orders_2026")?);
/// assert!(!pattern.matches("my.shop.orders.orders_2026")?);
/// assert_eq!(pattern.replace_first("shop.orders.orders_2026", "$1-$2")?, "orders-2026");
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Clone)]
pub struct JavaPattern {
    text: String,
    whole: Regex,
    anywhere: Regex,
}

impl JavaPattern {
    /// The value of the option `name`, which tells upper and lower case apart.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when it is no regular expression.
    pub fn new(name: &str, pattern: &str) -> Result<Self> {
        Self::compile(name, pattern, "")
    }

    /// The value of the option `name`, the same for upper and lower case.
    ///
    /// # Errors
    /// As [`JavaPattern::new`].
    pub fn ignoring_case(name: &str, pattern: &str) -> Result<Self> {
        Self::compile(name, pattern, "(?i)")
    }

    /// A list of regular expressions as Debezium's include and exclude lists have them: set apart by commas, one that
    /// belongs to an expression written as `\,`; blanks around them left out; the same for upper and lower case.
    ///
    /// ```
    /// use cdc_core::java_pattern::JavaPattern;
    ///
    /// let list = JavaPattern::list("table.include.list", r"public\.a{1\,2}, shop\..*")?;
    /// assert!(list[0].matches("PUBLIC.AA")? && list[1].matches("shop.orders")?);
    /// # Ok::<(), cdc_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`JavaPattern::new`].
    pub fn list(name: &str, value: &str) -> Result<Vec<Self>> {
        let parts = split_list(value);
        parts.iter().map(|part| Self::ignoring_case(name, part)).collect()
    }

    /// Whether any pattern of a list matches the whole text.
    ///
    /// # Errors
    /// As [`JavaPattern::matches`].
    pub fn any(list: &[JavaPattern], text: &str) -> Result<bool> {
        for pattern in list {
            if pattern.matches(text)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn compile(name: &str, pattern: &str, flags: &str) -> Result<Self> {
        let translated = translate(pattern);
        let compile = |pattern: String| {
            Regex::new(&pattern).map_err(|error| {
                Error::configuration(format!(
                    "Invalid value {pattern} for configuration {name}: Invalid regular expression: {error}",
                    pattern = self::quoted(&pattern, flags),
                ))
            })
        };
        let anywhere = compile(format!("{flags}{translated}"))?;
        let whole = compile(format!("{flags}\\A(?:{translated})\\z"))?;
        Ok(JavaPattern { text: pattern.to_owned(), whole, anywhere })
    }

    /// The expression as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it matches the whole text (`Matcher.matches`).
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when the expression needs too many attempts.
    pub fn matches(&self, text: &str) -> Result<bool> {
        self.whole.is_match(text).map_err(|error| self.exhausted(&error))
    }

    /// Whether it matches a part of the text (`Matcher.find`).
    ///
    /// # Errors
    /// As [`JavaPattern::matches`].
    pub fn finds(&self, text: &str) -> Result<bool> {
        self.anywhere.is_match(text).map_err(|error| self.exhausted(&error))
    }

    /// The groups of a match of the whole text; the first is the text itself. `None` where it does not match.
    ///
    /// # Errors
    /// As [`JavaPattern::matches`].
    pub fn groups<'t>(&self, text: &'t str) -> Result<Option<Vec<Option<&'t str>>>> {
        let found = self.whole.captures(text).map_err(|error| self.exhausted(&error))?;
        Ok(found
            .map(|groups| groups.iter().map(|group| group.map(|group| group.as_str())).collect()))
    }

    /// Puts `replacement` in the place of the first match (`Matcher.replaceFirst`): `$1` and `${name}` are groups, `\`
    /// takes the meaning from what follows. Where nothing matches the text comes back.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when the replacement is none, in Java's words; and as
    /// [`JavaPattern::matches`].
    pub fn replace_first(&self, text: &str, replacement: &str) -> Result<String> {
        self.replace(text, replacement, 1)
    }

    /// The same for every match (`Matcher.replaceAll`).
    ///
    /// # Errors
    /// As [`JavaPattern::replace_first`].
    pub fn replace_all(&self, text: &str, replacement: &str) -> Result<String> {
        self.replace(text, replacement, usize::MAX)
    }

    fn replace(&self, text: &str, replacement: &str, most: usize) -> Result<String> {
        let mut out = String::with_capacity(text.len() + replacement.len());
        let mut done = 0;
        for found in self.anywhere.captures_iter(text).take(most) {
            let groups = found.map_err(|error| self.exhausted(&error))?;
            let Some(whole) = groups.get(0) else { continue };
            out.push_str(text.get(done..whole.start()).unwrap_or_default());
            self.expand(&groups, replacement, &mut out)?;
            done = whole.end();
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Ok(out)
    }

    fn expand(&self, groups: &Captures<'_>, replacement: &str, out: &mut String) -> Result<()> {
        let illegal = |why: &str| Error::configuration(format!("{why} in {replacement:?}"));
        let mut letters = replacement.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' => match letters.next() {
                    Some(next) => out.push(next),
                    None => return Err(illegal("character to be escaped is missing")),
                },
                '$' if letters.peek() == Some(&'{') => {
                    letters.next();
                    let name: String =
                        std::iter::from_fn(|| letters.next_if(|c| c.is_ascii_alphanumeric()))
                            .collect();
                    if letters.next() != Some('}') {
                        return Err(illegal("named capturing group is missing trailing '}'"));
                    }
                    if !self.anywhere.capture_names().flatten().any(|known| known == name) {
                        return Err(illegal(&format!("No group with name {{{name}}}")));
                    }
                    out.push_str(groups.name(&name).map_or("", |group| group.as_str()));
                }
                '$' => {
                    let number = self.group_number(&mut letters).map_err(|why| illegal(&why))?;
                    out.push_str(groups.get(number).map_or("", |group| group.as_str()));
                }
                other => out.push(other),
            }
        }
        Ok(())
    }

    /// As many digits as still name a group, the first in any case.
    fn group_number(&self, letters: &mut Peekable<Chars<'_>>) -> Result<usize, String> {
        let digit =
            |letter: &char| letter.to_digit(10).and_then(|digit| usize::try_from(digit).ok());
        let Some(first) = letters.peek().and_then(digit) else {
            return Err("Illegal group reference".to_owned());
        };
        letters.next();
        let last = self.anywhere.captures_len().saturating_sub(1);
        if first > last {
            return Err(format!("No group {first}"));
        }
        let mut number = first;
        while let Some(next) = letters.peek().and_then(digit) {
            match number.checked_mul(10).and_then(|tens| tens.checked_add(next)) {
                Some(longer) if longer <= last => number = longer,
                _ => break,
            }
            letters.next();
        }
        Ok(number)
    }

    fn exhausted(&self, error: &fancy_regex::Error) -> Error {
        Error::configuration(format!(
            "the regular expression {} cannot be used: {error}",
            self.text
        ))
        .remedy("write it with less room for going back, so without nested repetitions")
    }
}

impl fmt::Debug for JavaPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl PartialEq for JavaPattern {
    fn eq(&self, other: &Self) -> bool {
        self.whole.as_str() == other.whole.as_str()
    }
}

impl Eq for JavaPattern {}

/// The expression without what was put around it.
fn quoted<'a>(pattern: &'a str, flags: &str) -> &'a str {
    let inner = pattern.strip_prefix(flags).unwrap_or(pattern);
    inner.strip_prefix("\\A(?:").and_then(|inner| inner.strip_suffix(")\\z")).unwrap_or(inner)
}

/// Splits a list at commas without a backslash before them. The expressions keep their other escapes.
///
/// ```
/// assert_eq!(cdc_core::java_pattern::split_list(r"a\.b , c\,d"), [r"a\.b", "c,d"]);
/// ```
pub fn split_list(value: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        let Some(part) = parts.last_mut() else { break };
        match letter {
            ',' => parts.push(String::new()),
            '\\' => match letters.next() {
                Some(',') => part.push(','),
                Some(next) => part.extend(['\\', next]),
                None => part.push('\\'),
            },
            other => part.push(other),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// What Java writes otherwise: quoting by `\Q..\E`, and classes that are ASCII.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        let Some(escaped) = rest.chars().next() else {
            out.push('\\');
            break;
        };
        rest = rest.get(escaped.len_utf8()..).unwrap_or_default();
        match escaped {
            'Q' => {
                let (quoted, after) = rest.split_once("\\E").unwrap_or((rest, ""));
                out.push_str(&fancy_regex::escape(quoted));
                rest = after;
            }
            'd' => out.push_str("[0-9]"),
            'D' => out.push_str("[^0-9]"),
            'w' => out.push_str("[a-zA-Z0-9_]"),
            'W' => out.push_str("[^a-zA-Z0-9_]"),
            's' => out.push_str(r"[ \t\n\x0B\x0C\r]"),
            'S' => out.push_str(r"[^ \t\n\x0B\x0C\r]"),
            'p' | 'P' => match posix_class(rest) {
                Some((class, after)) => {
                    let not = if escaped == 'P' { "^" } else { "" };
                    out.push_str(&format!("[{not}[:{class}:]]"));
                    rest = after;
                }
                None => out.extend(['\\', escaped]),
            },
            other => out.extend(['\\', other]),
        }
    }
    out
}

/// `{Lower}` and the other POSIX classes, ASCII in Java.
fn posix_class(rest: &str) -> Option<(&'static str, &str)> {
    const CLASSES: [&str; 13] = [
        "lower", "upper", "ascii", "alpha", "digit", "alnum", "punct", "graph", "print", "blank",
        "cntrl", "xdigit", "space",
    ];
    let (name, after) = rest.strip_prefix('{')?.split_once('}')?;
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
        return None;
    }
    let class = CLASSES.into_iter().find(|class| class.eq_ignore_ascii_case(name))?;
    Some((class, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_expression_text_or_replacement_panics(
            expression in "[a-c.*+?()\\[\\]{}|^$\\\\QEdwpLower1,<>=!-]{0,12}", text in "[a-c1.é]{0,8}", replacement in "[$\\\\{}a0-9]{0,6}",
        ) {
            if let Ok(pattern) = JavaPattern::new("x", &expression) {
                let _ = (pattern.matches(&text), pattern.replace_all(&text, &replacement), pattern.groups(&text));
            }
            for part in split_list(&expression) {
                let _ = JavaPattern::ignoring_case("x", &part);
            }
        }
    }

    fn pattern(text: &str) -> JavaPattern {
        JavaPattern::new("x.regex", text).unwrap()
    }

    #[test]
    fn an_expression_matches_the_whole_text_or_not_at_all() {
        assert!(pattern("a|ab").matches("ab").unwrap());
        assert!(!pattern("a").matches("ab").unwrap());
        assert!(pattern("").matches("").unwrap());
        assert!(!pattern("a$").matches("a\n").unwrap());
    }

    #[test]
    fn the_first_match_is_replaced_not_the_whole() {
        assert_eq!(pattern("a|ab").replace_first("ab", "x").unwrap(), "xb");
        assert_eq!(pattern("(.*)-([0-9]*)").replace_first("index-2016", "$1").unwrap(), "index");
        assert_eq!(pattern("b").replace_all("abab", "$0$0").unwrap(), "abbabb");
    }

    #[test]
    fn groups_are_named_and_numbered_as_in_java() {
        let two = pattern("(?<first>a)(b)?");
        assert_eq!(two.replace_first("a", "${first}$2!").unwrap(), "a!");
        assert_eq!(two.replace_first("ab", "$21").unwrap(), "b1");
        assert_eq!(two.replace_first("ab", "\\$1").unwrap(), "$1");
        for (replacement, why) in [
            ("$3", "No group 3"),
            ("$x", "Illegal group reference"),
            ("${other}", "No group with name {other}"),
            ("x\\", "character to be escaped is missing"),
        ] {
            let error = two.replace_first("ab", replacement).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn classes_are_ascii_and_quoting_works() {
        assert!(!pattern(r"\w+").matches("süd").unwrap());
        assert!(!pattern(r"[\d]").matches("٣").unwrap());
        assert!(pattern(r"[^\s.]+").matches("ab").unwrap());
        assert!(pattern(r"\Qa.b\E.").matches("a.bc").unwrap());
        assert!(!pattern(r"\Qa.b\E.").matches("axbc").unwrap());
        assert!(pattern(r"\p{Upper}\p{Lower}+").matches("Ab").unwrap());
        assert!(pattern(r"(\w)\1(?!x).").matches("aab").unwrap());
    }

    #[test]
    fn lists_ignore_case_and_keep_escaped_commas() {
        let list =
            JavaPattern::list("table.include.list", r" public\.orders , shop\..{1\,3},").unwrap();
        assert_eq!(list.len(), 2);
        assert!(JavaPattern::any(&list, "PUBLIC.Orders").unwrap());
        assert!(JavaPattern::any(&list, "shop.abc").unwrap());
        assert!(!JavaPattern::any(&list, "publicXorders").unwrap());
    }

    #[test]
    fn a_broken_expression_is_named_with_its_option() {
        let error = JavaPattern::list("table.include.list", "public.(a").unwrap_err().to_string();
        assert!(
            error.starts_with("Invalid value public.(a for configuration table.include.list: "),
            "{error}"
        );
    }
}
