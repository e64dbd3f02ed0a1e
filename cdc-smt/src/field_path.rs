//! Paths to nested fields: Kafka Connect's `field.syntax.version` (KIP-821).

use std::borrow::Cow;

use cdc_core::connect::ConnectProfile;
use cdc_core::{DataType, Error, Field, Properties, Result, Row, Schema, Value};

use crate::content::is_struct;
use crate::options;

/// How names of fields are read: `field.syntax.version`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FieldSyntax {
    /// The whole text is one name (`V1`).
    #[default]
    V1,
    /// Dots lead into nested structs and maps; a name with dots in it stands in back-quotes, and a back-quote before a dot
    /// that belongs to the name has a backslash before it (`V2`).
    V2,
}

impl FieldSyntax {
    /// The option `field.syntax.version`, `V1` without it.
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self> {
        Ok(match properties.one_of("field.syntax.version", &["V1", "V2"], "V1")? {
            "V2" => FieldSyntax::V2,
            _ => FieldSyntax::V1,
        })
    }
}

/// A field, or one nested in structs or maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FieldPath {
    text: String,
    steps: Vec<String>,
}

impl FieldPath {
    pub(crate) fn new(text: &str, syntax: FieldSyntax) -> Result<Self> {
        let steps = match syntax {
            FieldSyntax::V1 => vec![text.to_owned()],
            FieldSyntax::V2 => steps(text)?,
        };
        Ok(FieldPath { text: text.to_owned(), steps })
    }

    /// A path by its names from the outside in.
    pub(crate) fn of_steps(steps: Vec<String>) -> Self {
        FieldPath { text: steps.join("."), steps }
    }

    pub(crate) fn all<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        syntax: FieldSyntax,
    ) -> Result<Vec<Self>> {
        texts.into_iter().map(|text| Self::new(text, syntax)).collect()
    }

    /// As it was given.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The names from the outside in.
    pub(crate) fn steps(&self) -> &[String] {
        &self.steps
    }

    /// The field in a schema; `None` where there is none of these names.
    pub(crate) fn field<'s>(
        &self,
        schema: &'s Schema,
        profile: &ConnectProfile,
    ) -> Result<Option<Cow<'s, Field>>> {
        let Some((last, parents)) = self.steps.split_last() else {
            return Err(Error::data("fromIndex(0) > toIndex(-1)"));
        };
        let mut schema = schema;
        for parent in parents {
            let Some(field) = schema.index_of(parent).and_then(|at| schema.field(at)) else {
                return Ok(None);
            };
            match field.data_type() {
                DataType::Struct(nested) => schema = nested,
                _ if is_struct(&field.value_type, profile) => return Ok(None),
                _ => return Err(Error::data("Cannot look up fields on non-struct type")),
            }
        }
        Ok(schema.index_of(last).and_then(|at| schema.field(at)).map(Cow::Borrowed))
    }

    /// The value in a row; null where a struct around it is.
    pub(crate) fn value(&self, row: &Row) -> Value {
        let mut steps = self.steps.iter();
        let first = steps.next().and_then(|name| row.schema().index_of(name));
        let mut value = first.and_then(|at| row.value(at)).unwrap_or_default();
        for name in steps {
            value = match &value {
                Value::Struct(row) => {
                    row.schema().index_of(name).and_then(|at| row.value(at)).unwrap_or_default()
                }
                _ => return Value::Null,
            };
        }
        value
    }

    /// The value in a map without a schema; null where it has none.
    pub(crate) fn value_in_map(&self, entries: &[(Value, Value)]) -> Value {
        let mut steps = self.steps.iter();
        let first = steps.next().and_then(|name| entry(entries, name));
        let mut value = first.cloned().unwrap_or_default();
        for name in steps {
            value = match &value {
                Value::Map(entries) => entry(entries, name).cloned().unwrap_or_default(),
                _ => return Value::Null,
            };
        }
        value
    }
}

/// The value of a key in a schemaless map.
pub(crate) fn entry<'a>(entries: &'a [(Value, Value)], name: &str) -> Option<&'a Value> {
    entries
        .iter()
        .find(|(key, _)| matches!(key, Value::Text(key) if **key == *name))
        .map(|(_, value)| value)
}

/// Puts a value under a key, in the place of the one that is there.
pub(crate) fn put(entries: &mut Vec<(Value, Value)>, name: &str, value: Value) {
    let there =
        entries.iter_mut().find(|(key, _)| matches!(key, Value::Text(key) if **key == *name));
    match there {
        Some((_, old)) => *old = value,
        None => entries.push((Value::text(name), value)),
    }
}

/// The option that lists fields, as paths.
pub(crate) fn listed(properties: &Properties, name: &str) -> Result<Vec<FieldPath>> {
    let names = properties.list(name);
    FieldPath::all(names.iter().map(String::as_str), FieldSyntax::from_properties(properties)?)
}

/// The option that names one field, as a path.
pub(crate) fn required(properties: &Properties, name: &str) -> Result<FieldPath> {
    let text = properties.required(name)?;
    FieldPath::new(text, FieldSyntax::from_properties(properties)?)
}

fn steps(path: &str) -> Result<Vec<String>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('`') {
            let opened = path.len() - rest.len();
            let (step, after) = quoted_step(quoted).ok_or_else(|| {
                Error::configuration(format!(
                    "Incomplete backtick pair in path: [{path}], consider adding a backslash \
                     before backtick at position {opened} to escape it"
                ))
            })?;
            steps.push(step);
            rest = after;
        } else if let Some((step, after)) = rest.split_once('.') {
            steps.push(step.to_owned());
            rest = after;
        } else {
            steps.push(rest.to_owned());
            rest = "";
        }
    }
    if path.ends_with('.') {
        steps.push(String::new());
    }
    Ok(steps)
}

/// The step up to the closing back-quote, and what follows the dot behind it.
fn quoted_step(text: &str) -> Option<(String, &str)> {
    let mut step = String::new();
    let mut from = 0;
    for (at, _) in text.match_indices('`') {
        let after = text.get(at + 1..)?;
        let escaped = text.get(..at)?.ends_with('\\');
        if after.is_empty() {
            if escaped {
                return None;
            }
            step.push_str(text.get(from..at)?);
            return Some((step, ""));
        }
        let Some(after) = after.strip_prefix('.') else { continue };
        if escaped {
            step.push_str(text.get(from..at - 1)?);
            from = at;
            continue;
        }
        step.push_str(text.get(from..at)?);
        return Some((step, after));
    }
    None
}

/// Words for an option that is no list of pairs.
pub(crate) fn pair<'a>(name: &str, list: &[String], text: &'a str) -> Result<(&'a str, &'a str)> {
    let mut parts = text.split(':');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(from), Some(to), None) => Ok((from, to)),
        _ => Err(options::invalid(
            name,
            &format!("[{}]", list.join(", ")),
            &format!("Invalid rename mapping: {text}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        FieldPath::new(text, FieldSyntax::V2).unwrap().steps
    }

    #[test]
    fn dots_separate_and_back_quotes_hold_together() {
        assert_eq!(parsed("a.b.c"), ["a", "b", "c"]);
        assert_eq!(parsed("a.`b.c`.d"), ["a", "b.c", "d"]);
        assert_eq!(parsed("`a`b.c`"), ["a`b.c"]);
        assert_eq!(parsed("`a\\`.b`"), ["a`.b"]);
        assert_eq!(parsed("a`b.c"), ["a`b", "c"]);
        assert_eq!(parsed("a."), ["a", ""]);
        assert!(FieldPath::new("`a.b", FieldSyntax::V2).is_err());
    }
}
