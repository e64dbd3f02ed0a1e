//! Options in the words of Kafka's `ConfigDef` and Debezium's `Field`.

use cdc_core::java_pattern::JavaPattern;
use cdc_core::{Error, Properties, Result};

/// `Invalid value … for configuration …: …`.
pub(crate) fn invalid(name: &str, value: &str, why: &str) -> Error {
    Error::configuration(format!("Invalid value {value} for configuration {name}: {why}"))
}

/// The full name of a class, given by its full or simple name.
pub(crate) fn known_class<'a>(
    class: &str,
    mut classes: impl Iterator<Item = &'a str> + Clone,
) -> Result<&'a str> {
    let all = classes.clone();
    let simple = |known: &str| known.rsplit('.').next() == Some(class);
    classes.find(|known| *known == class || simple(known)).ok_or_else(|| no_class(class, all))
}

pub(crate) fn no_class<'a>(class: &str, classes: impl Iterator<Item = &'a str>) -> Error {
    let classes: Vec<&str> = classes.collect();
    Error::configuration(format!("Class {class} could not be found."))
        .remedy(format!("there are {}", classes.join(", ")))
}

/// A regular expression, with the words of Connect's `RegexValidator`.
pub(crate) fn regex(name: &str, pattern: &str) -> Result<JavaPattern> {
    JavaPattern::new(name, pattern).map_err(|error| {
        let message = error.message().replace("Invalid regular expression", "Invalid regex");
        Error::configuration(message)
    })
}

/// A list that must be given (`ConfigDef.Type.LIST` without a default).
pub(crate) fn required_list(properties: &Properties, name: &str) -> Result<Vec<String>> {
    properties.required(name)?;
    Ok(properties.list(name))
}

/// The same, and not be empty.
pub(crate) fn filled_list(properties: &Properties, name: &str) -> Result<Vec<String>> {
    let list = required_list(properties, name)?;
    if list.is_empty() {
        return Err(Error::configuration(format!(
            "Configuration '{name}' must not be empty. Valid values include: any non-empty value"
        )));
    }
    Ok(list)
}

/// One of several words exactly as they are written.
pub(crate) fn word<'a>(
    properties: &Properties,
    name: &str,
    allowed: &[&'a str],
    default: Option<&'a str>,
) -> Result<&'a str> {
    let Some(value) = properties.get(name) else {
        return match default {
            Some(default) => Ok(default),
            None => properties.required(name).map(|_| ""),
        };
    };
    allowed.iter().copied().find(|word| *word == value).ok_or_else(|| {
        invalid(name, value, &format!("String must be one of: {}", allowed.join(", ")))
    })
}

/// Debezium's enumerated options: any case, blanks around left out.
pub(crate) fn debezium_word<'a>(
    properties: &Properties,
    name: &str,
    allowed: &[&'a str],
    default: &'a str,
) -> Result<&'a str> {
    let Some(value) = properties.get(name) else { return Ok(default) };
    allowed.iter().copied().find(|word| word.eq_ignore_ascii_case(value.trim())).ok_or_else(|| {
        invalid(
            name,
            value,
            &format!("The '{name}' value is invalid: Value must be one of {}", allowed.join(", ")),
        )
    })
}

/// Java's errors of a replacement belong to the record.
pub(crate) fn as_data(error: Error) -> Error {
    Error::data(error.message().to_owned())
}

/// `Invalid value … : The '…' value is invalid: …`, as Debezium says it.
pub(crate) fn debezium_invalid(name: &str, value: &str, why: &str) -> Error {
    invalid(name, value, &format!("The '{name}' value is invalid: {why}"))
}

/// An option of Debezium that must be given and not be empty.
pub(crate) fn debezium_required<'a>(properties: &'a Properties, name: &str) -> Result<&'a str> {
    match properties.get(name) {
        None => Err(debezium_invalid(name, "null", "A value is required")),
        Some(value) if value.trim().is_empty() => {
            Err(debezium_invalid(name, value, "A value is required"))
        }
        Some(value) => Ok(value),
    }
}

/// A list that must be given (`Field.isListOfRegex` and its kin: no empty elements, no blanks inside).
pub(crate) fn debezium_list(properties: &Properties, name: &str) -> Result<Vec<String>> {
    let value = debezium_required(properties, name)?;
    let elements: Vec<&str> = value.split(',').map(str::trim).collect();
    if elements.iter().any(|element| element.is_empty()) {
        return Err(debezium_invalid(name, value, "Empty string element(s) not permitted"));
    }
    if elements.iter().any(|element| element.contains(char::is_whitespace)) {
        return Err(debezium_invalid(name, value, "Element(s) containing space not permitted"));
    }
    Ok(elements.into_iter().map(str::to_owned).collect())
}
