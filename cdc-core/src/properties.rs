//! Properties: the flat configuration of Debezium, Kafka Connect and Confluent's clients, read with types.
//!
//! Values are parsed as Connect parses them, and errors have its texts (`org.apache.kafka.common.config.ConfigDef`), so
//! that who knows them finds the cause. What was never asked for is an error too: a misspelt option is not ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use crate::error::{Error, Result};

/// A flat map of names to values, with typed getters that remember what was asked for.
///
/// ```
/// use cdc_core::Properties;
///
/// let properties: Properties = r#"{"slot.name": "shop", "poll.interval.ms": "250", "slot.nam": "x"}"#.parse()?;
/// assert_eq!(properties.string("slot.name", "debezium"), "shop");
/// assert_eq!(properties.millis("poll.interval.ms", 500)?.as_millis(), 250);
/// assert_eq!(properties.bool("slot.drop.on.stop", false)?, false);
/// let error = properties.finish().unwrap_err();
/// assert_eq!(error.to_string(), r#"Unknown configuration "slot.nam"; did you mean "slot.name"?"#);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Default)]
pub struct Properties {
    values: BTreeMap<String, String>,
    asked: Mutex<BTreeSet<String>>,
}

/// A secret: `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(secret: &str) -> Self {
        Password(secret.to_owned())
    }
}

/// `[hidden]`, as Connect prints it.
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

fn invalid(name: &str, value: &str, why: &str) -> Error {
    Error::configuration(format!("Invalid value {value} for configuration {name}: {why}"))
}

fn missing(name: &str) -> Error {
    Error::configuration(format!(
        "Missing required configuration \"{name}\" which has no default value."
    ))
}

impl Properties {
    /// No properties.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the text of a Java `.properties` file: `name=value`, `name: value`, `#` and `!` comments, `\` at the end of
    /// a line, `\n`, `\t`, `\uXXXX`. A name that comes twice has its last value.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for a broken escape, with the line.
    pub fn from_properties_text(text: &str) -> Result<Self> {
        let mut properties = Properties::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let mut logical = line.trim_start().to_owned();
            if logical.is_empty() || logical.starts_with(['#', '!']) {
                continue;
            }
            while logical.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1 {
                logical.pop();
                let Some((_, next)) = lines.next() else { break };
                logical.push_str(next.trim_start());
            }
            let (name, value) = split_line(&logical);
            let broken =
                || Error::configuration(format!("line {}: a broken \\u escape", number + 1));
            let name = unescape(name).ok_or_else(broken)?;
            let value = unescape(value).ok_or_else(broken)?;
            properties.values.insert(name, value);
        }
        Ok(properties)
    }

    /// Sets a value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.values.insert(name.into(), value.into());
    }

    /// All names in alphabetical order. This does not count as asking for them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// All names and values in alphabetical order of the names, without asking for them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value as it stands, where it is set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        self.values.get(name).map(String::as_str)
    }

    /// A text, or its default.
    pub fn string(&self, name: &str, default: &str) -> String {
        self.get(name).unwrap_or(default).to_owned()
    }

    /// A text that must be given and may be empty.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) without it.
    pub fn required(&self, name: &str) -> Result<&str> {
        self.get(name).ok_or_else(|| missing(name))
    }

    /// A text that must be given.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) without it, or when it is empty.
    pub fn required_string(&self, name: &str) -> Result<String> {
        match self.get(name) {
            None => Err(missing(name)),
            Some("") => Err(invalid(name, "", "String must be non-empty")),
            Some(value) => Ok(value.to_owned()),
        }
    }

    fn parsed<T>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(name) else { return Ok(None) };
        parse(value.trim()).map(Some).map_err(|why| invalid(name, value, &why))
    }

    /// `true` or `false` in any case, or the default.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for anything else.
    pub fn bool(&self, name: &str, default: bool) -> Result<bool> {
        let parsed = self.parsed(name, |value| match value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("Expected value to be either true or false".to_owned()),
        })?;
        Ok(parsed.unwrap_or(default))
    }

    /// An integer of 32 bits, where it is set.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for what is none.
    pub fn optional_i32(&self, name: &str) -> Result<Option<i32>> {
        self.parsed(name, |value| value.parse().map_err(|_| "Not a number of type INT".to_owned()))
    }

    /// An integer of 32 bits, or the default.
    ///
    /// # Errors
    /// As [`Properties::optional_i32`].
    pub fn i32(&self, name: &str, default: i32) -> Result<i32> {
        Ok(self.optional_i32(name)?.unwrap_or(default))
    }

    /// An integer of 32 bits that is not below a bound, or the default.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for what is none, or below.
    pub fn i32_at_least(&self, name: &str, least: i32, default: i32) -> Result<i32> {
        let number = self.i32(name, default)?;
        if number < least {
            return Err(invalid(
                name,
                &number.to_string(),
                &format!("Value must be at least {least}"),
            ));
        }
        Ok(number)
    }

    /// An integer of 64 bits, where it is set.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for what is none.
    pub fn optional_i64(&self, name: &str) -> Result<Option<i64>> {
        self.parsed(name, |value| value.parse().map_err(|_| "Not a number of type LONG".to_owned()))
    }

    /// An integer of 64 bits, or the default.
    ///
    /// # Errors
    /// As [`Properties::optional_i64`].
    pub fn i64(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.optional_i64(name)?.unwrap_or(default))
    }

    /// A time in milliseconds, or the default in milliseconds.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for what is no number, or negative.
    pub fn millis(&self, name: &str, default: u64) -> Result<Duration> {
        let millis = match self.optional_i64(name)? {
            None => default,
            Some(millis) => u64::try_from(millis)
                .map_err(|_| invalid(name, &millis.to_string(), "Value must be at least 0"))?,
        };
        Ok(Duration::from_millis(millis))
    }

    /// A list separated by commas, blanks around them left out; empty when it is not set.
    pub fn list(&self, name: &str) -> Vec<String> {
        match self.get(name).map(str::trim) {
            None | Some("") => Vec::new(),
            Some(value) => value.split(',').map(|part| part.trim().to_owned()).collect(),
        }
    }

    /// The properties whose names begin with `prefix`, without it: the options of one transform, converter or client. They
    /// count as asked for here; that each is known is for the [`finish`](Properties::finish) of the part to tell.
    ///
    /// ```
    /// let properties: cdc_core::Properties = r#"{"transforms.route.regex": "(.*)", "slot.name": "shop"}"#.parse()?;
    /// let route = properties.scoped("transforms.route.");
    /// assert_eq!(route.get("regex"), Some("(.*)"));
    /// assert_eq!(properties.unknown(), ["slot.name"]);
    /// # Ok::<(), cdc_core::Error>(())
    /// ```
    pub fn scoped(&self, prefix: &str) -> Properties {
        let mut scoped = Properties::new();
        for (name, value) in &self.values {
            if let Some(rest) = name.strip_prefix(prefix) {
                self.get(name);
                scoped.set(rest, value);
            }
        }
        scoped
    }

    /// One of several words in any case, or the default. The word is given back as it stands in `allowed`.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for any other word, naming those that are allowed.
    pub fn one_of<'a>(&self, name: &str, allowed: &[&'a str], default: &'a str) -> Result<&'a str> {
        let parsed = self.parsed(name, |value| {
            allowed.iter().copied().find(|word| word.eq_ignore_ascii_case(value)).ok_or_else(|| {
                format!("String must be one of (case insensitive): {}", allowed.join(", "))
            })
        })?;
        Ok(parsed.unwrap_or(default))
    }

    /// An option of the original that is not supported: an error where it is set at all.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration), naming it, with what to do instead.
    pub fn refuse(&self, name: &str, remedy: &str) -> Result<()> {
        match self.get(name) {
            None => Ok(()),
            Some(_) => {
                Err(Error::configuration(format!("The configuration {name:?} is not supported"))
                    .remedy(remedy.to_owned()))
            }
        }
    }

    /// An option of the original of which only some values describe what happens here: an error where it has another
    /// one. Case does not matter.
    ///
    /// ```
    /// let properties: cdc_core::Properties = r#"{"tasks.max": "2"}"#.parse()?;
    /// let error = properties.accept_only("tasks.max", &["1"], "a source has one reader").unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "The value 2 of the configuration \"tasks.max\" is not supported, only 1; a source has one reader"
    /// );
    /// # Ok::<(), cdc_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration), naming it, with the values that are accepted.
    pub fn accept_only(&self, name: &str, accepted: &[&str], remedy: &str) -> Result<()> {
        let Some(value) = self.get(name) else { return Ok(()) };
        if accepted.iter().any(|known| known.eq_ignore_ascii_case(value.trim())) {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "The value {value} of the configuration {name:?} is not supported, only {}",
            accepted.join(", ")
        ))
        .remedy(remedy.to_owned()))
    }

    /// A secret, where it is set.
    pub fn password(&self, name: &str) -> Option<Password> {
        self.get(name).map(Password::from)
    }

    /// The names that were asked for, set or not, in alphabetical order.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The names that are set and that nobody asked for.
    pub fn unknown(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        self.values.keys().filter(|name| !asked.contains(*name)).cloned().collect()
    }

    /// To be called after all options were read: what is left is not known here.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration), with every unknown name and the nearest known one.
    pub fn finish(&self) -> Result<()> {
        let unknown = self.unknown();
        if unknown.is_empty() {
            return Ok(());
        }
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let names: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let error = Error::configuration(format!("Unknown configuration {}", names.join(", ")));
        let nearest: Vec<String> = unknown
            .iter()
            .filter_map(|name| {
                asked
                    .iter()
                    .map(|known| (distance(name, known), known))
                    .min()
                    // Further away it is another word, not another spelling.
                    .filter(|(distance, known)| *distance <= known.len().div_ceil(4))
                    .map(|(_, known)| format!("{known:?}"))
            })
            .collect();
        Err(match nearest.is_empty() {
            true => error,
            false => error.remedy(format!("did you mean {}?", nearest.join(", "))),
        })
    }
}

/// Name and value, separated by the first `=`, `:` or blank that is not escaped.
fn split_line(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        escaped = !escaped && *c == '\\';
        ends
    });
    let Some((end, _)) = end else { return (line, "") };
    let (name, rest) = line.split_at(end);
    let rest = rest.trim_start();
    (name, rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start())
}

fn unescape(text: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    let mut buffer = [0u16; 2];
    while let Some(c) = chars.next() {
        let c = match (c, c == '\\') {
            (c, false) => c,
            (_, true) => match chars.next() {
                None => break,
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    // Characters beyond the first plane are two escapes, as in Java.
                    let valid = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                    units.push(u16::from_str_radix(&digits, 16).ok().filter(|_| valid)?);
                    continue;
                }
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some(other) => other,
            },
        };
        units.extend_from_slice(c.encode_utf16(&mut buffer));
    }
    String::from_utf16(&units).ok()
}

/// How many characters must be put in, taken out or changed.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (above, y) in row.iter_mut().skip(1).zip(&b) {
            let cost = (diagonal + usize::from(x != *y)).min(*above + 1).min(left + 1);
            diagonal = std::mem::replace(above, cost);
            left = cost;
        }
    }
    row.last().copied().unwrap_or(0)
}

/// From a flat JSON object; numbers and booleans become their text, a null is as good as not set. Also from what
/// Connect's REST interface takes, `{"name": …, "config": {…}}`.
impl FromStr for Properties {
    type Err = Error;

    fn from_str(json: &str) -> Result<Self> {
        let mut object: serde_json::Map<String, Json> =
            serde_json::from_str(json).map_err(|error| {
                Error::configuration("a configuration must be a JSON object").with_source(error)
            })?;
        let mut properties = Properties::new();
        if let Some(Json::Object(config)) = object.get("config") {
            let mut config = config.clone();
            if let Some(name) = object.get("name") {
                config.entry("name").or_insert(name.clone());
            }
            if let Some((other, _)) = object
                .iter()
                .find(|(key, _)| !matches!(key.as_str(), "name" | "config" | "tasks" | "type"))
            {
                return Err(Error::configuration(format!(
                    "a configuration has {other:?} beside \"config\""
                ))
                .remedy("it is {\"name\": .., \"config\": {..}}, or the options alone"));
            }
            object = config;
        }
        for (name, value) in object {
            match value {
                Json::Null => {}
                Json::String(text) => properties.set(name, text),
                Json::Bool(_) | Json::Number(_) => properties.set(name, value.to_string()),
                Json::Array(_) | Json::Object(_) => {
                    return Err(Error::configuration(format!(
                        "configuration {name} must be a text, a number or a boolean"
                    )));
                }
            }
        }
        Ok(properties)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(properties: I) -> Self {
        let values = properties.into_iter().map(|(name, value)| (name.into(), value.into()));
        Properties { values: values.collect(), asked: Mutex::default() }
    }
}

/// A copy remembers nothing of what was asked for.
impl Clone for Properties {
    fn clone(&self) -> Self {
        Properties { values: self.values.clone(), asked: Mutex::default() }
    }
}

/// The names; values may be secrets.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(name: &str, value: &str) -> Properties {
        [(name, value)].into_iter().collect()
    }

    #[test]
    fn a_configuration_may_stand_as_connects_rest_interface_has_it() {
        let text = r#"{"name": "shop", "config": {"tasks.max": 1, "slot.name": null}}"#;
        let properties: Properties = text.parse().unwrap();
        assert_eq!(properties.get("name"), Some("shop"));
        assert_eq!(properties.get("tasks.max"), Some("1"));
        assert_eq!(properties.get("slot.name"), None);
        let other = r#"{"config": {}, "initial_state": "STOPPED"}"#.parse::<Properties>();
        assert!(other.unwrap_err().to_string().contains("initial_state"));
    }

    #[test]
    fn errors_have_the_texts_of_connect() {
        let text = |result: Result<()>| result.unwrap_err().to_string();
        assert_eq!(
            text(of("a", "yes").bool("a", true).map(drop)),
            "Invalid value yes for configuration a: Expected value to be either true or false"
        );
        assert_eq!(
            text(of("a", "1.5").i32("a", 0).map(drop)),
            "Invalid value 1.5 for configuration a: Not a number of type INT"
        );
        assert_eq!(
            text(of("a", "3000000000").i32("a", 0).map(drop)),
            "Invalid value 3000000000 for configuration a: Not a number of type INT"
        );
        assert_eq!(
            text(of("a", "x").i64("a", 0).map(drop)),
            "Invalid value x for configuration a: Not a number of type LONG"
        );
        assert_eq!(
            text(of("a", "0").i32_at_least("a", 1, 5).map(drop)),
            "Invalid value 0 for configuration a: Value must be at least 1"
        );
        assert_eq!(
            text(of("a", "x").one_of("a", &["initial", "never"], "initial").map(drop)),
            "Invalid value x for configuration a: String must be one of (case insensitive): initial, never"
        );
        assert_eq!(
            text(Properties::new().required_string("database.hostname").map(drop)),
            "Missing required configuration \"database.hostname\" which has no default value."
        );
        assert_eq!(
            text(of("a", "").required_string("a").map(drop)),
            "Invalid value  for configuration a: String must be non-empty"
        );
    }

    #[test]
    fn values_are_parsed_as_connect_parses_them() {
        assert!(of("a", " TRUE ").bool("a", false).unwrap());
        assert_eq!(of("a", " 7 ").i32("a", 0).unwrap(), 7);
        assert_eq!(of("a", "x , y,,z").list("a"), ["x", "y", "", "z"]);
        assert_eq!(of("a", " ").list("a"), Vec::<String>::new());
        assert_eq!(
            of("a", "NEVER").one_of("a", &["initial", "never"], "initial").unwrap(),
            "never"
        );
        assert_eq!(Properties::new().millis("a", 500).unwrap(), Duration::from_millis(500));
        assert!(of("a", "-1").millis("a", 500).is_err());
    }

    #[test]
    fn what_nobody_asked_for_is_named_with_the_nearest_name() {
        let properties: Properties =
            [("slot.name", "a"), ("slotname", "b"), ("zzz", "c")].into_iter().collect();
        properties.string("slot.name", "");
        properties.string("plugin.name", "");
        assert_eq!(properties.unknown(), ["slotname", "zzz"]);
        assert_eq!(
            properties.finish().unwrap_err().to_string(),
            "Unknown configuration \"slotname\", \"zzz\"; did you mean \"slot.name\"?"
        );
        properties.get("slotname");
        properties.get("zzz");
        properties.finish().unwrap();
    }

    #[test]
    fn secrets_are_not_shown() {
        let properties = of("database.password", "hunter2");
        let password = properties.password("database.password").unwrap();
        assert_eq!(password.reveal(), "hunter2");
        assert!(!format!("{password:?} {properties:?}").contains("hunter2"));
    }

    #[test]
    fn java_properties_are_read() {
        let text = "# comment\n! another\na=1\n b : two words \nc\nd e\nlong = x,\\\n   y\nk\\=1 = \\u00e9\\t\\ud83d\\ude00\\\\\n";
        let properties = Properties::from_properties_text(text).unwrap();
        let expected = [
            ("a", "1"),
            ("b", "two words "),
            ("c", ""),
            ("d", "e"),
            ("k=1", "é\t😀\\"),
            ("long", "x,y"),
        ];
        assert_eq!(properties.names().collect::<Vec<_>>(), expected.map(|(name, _)| name));
        for (name, value) in expected {
            assert_eq!(properties.get(name), Some(value));
        }
        let error = Properties::from_properties_text("a=1\nb=\\u00g1").unwrap_err();
        assert!(error.to_string().starts_with("line 2"), "{error}");
    }

    #[test]
    fn json_is_flat() {
        let properties: Properties = r#"{"a":1,"b":true,"c":null,"d":"x"}"#.parse().unwrap();
        assert_eq!(properties.names().collect::<Vec<_>>(), ["a", "b", "d"]);
        assert!(r#"{"a":{}}"#.parse::<Properties>().is_err());
        assert!("[]".parse::<Properties>().is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}|[\\\\u0-9a-f=: \n#]{0,40}") {
            let _ = Properties::from_properties_text(&text);
        }

        #[test]
        fn the_distance_is_a_metric(a in "[abc]{0,6}", b in "[abc]{0,6}", c in "[abc]{0,6}") {
            prop_assert_eq!(distance(&a, &b), distance(&b, &a));
            prop_assert_eq!(distance(&a, &a), 0);
            prop_assert!(distance(&a, &c) <= distance(&a, &b) + distance(&b, &c));
        }
    }
}
