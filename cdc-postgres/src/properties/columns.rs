//! What is shown of rows: `column.*`, `message.key.columns`, `skip.messages.without.change`.

use cdc_core::java_pattern::JavaPattern;
use cdc_core::{Properties, Result};

use super::lists::pair;
use super::{invalid, text};
use crate::name_pattern::ColumnSet;
use crate::shape::{HashAlgorithm, HashVersion, KeyColumns, Mask, ShapeRules};

pub(super) fn read(properties: &Properties, rules: &mut ShapeRules) -> Result<()> {
    let (include, exclude) = pair(properties, "column")?;
    rules.include = include.map(ColumnSet::Expressions);
    if !exclude.is_empty() {
        rules.exclude.push(ColumnSet::Expressions(exclude));
    }
    for name in properties.names() {
        let Some(mask) = mask(name)? else { continue };
        if let Some(columns) = text(properties, name) {
            let columns = JavaPattern::list(&without_salt(name), columns)?;
            rules.masks.push((ColumnSet::Expressions(columns), mask));
        }
    }
    if let Some(keys) = text(properties, "message.key.columns") {
        rules.keys.push(KeyColumns::Expressions(key_columns(keys)?));
    }
    rules.skip_unchanged = properties.bool("skip.messages.without.change", false)?;
    Ok(())
}

/// The mask that an option's name says; `None` where it is no such option.
fn mask(name: &str) -> Result<Option<Mask>> {
    let between = |prefix: &str| name.strip_prefix(prefix)?.strip_suffix(".chars");
    if let Some(length) = between("column.mask.with.") {
        return Ok(length.parse().ok().map(Mask::asterisks));
    }
    if let Some(length) = between("column.truncate.to.") {
        return Ok(length.parse().ok().map(Mask::Truncate));
    }
    let Some(rest) = name.strip_prefix("column.mask.hash.") else { return Ok(None) };
    let (version, rest) = match rest.strip_prefix("v2.") {
        Some(rest) => (HashVersion::Bytes, rest),
        None => (HashVersion::Serialized, rest),
    };
    let Some((algorithm, salt)) = rest.split_once(".with.salt.") else { return Ok(None) };
    let algorithm: HashAlgorithm = algorithm.parse().map_err(|why: String| {
        cdc_core::Error::configuration(format!(
            "The configuration {:?} is not supported: {why}",
            without_salt(name)
        ))
    })?;
    Ok(Some(Mask::Hash { algorithm, version, salt: salt.into() }))
}

/// The option's name for messages: whoever has salt and hashes can guess values.
fn without_salt(name: &str) -> String {
    match name.split_once(".with.salt.") {
        Some((before, _)) => format!("{before}.with.salt.[hidden]"),
        None => name.to_owned(),
    }
}

/// `schema.table:column,column;...`: expressions for `schema.table.column`.
fn key_columns(value: &str) -> Result<Vec<JavaPattern>> {
    const NAME: &str = "message.key.columns";
    let wrong = || {
        let why = format!(
            "{value} has an invalid format (expecting '^\\s*([^:]+):([^:,]+(,[^:,]+)*)\\s*$')"
        );
        invalid(NAME, value, why)
            .remedy("write it as schema.table:column,column;other.table:column")
    };
    let mut keys = Vec::new();
    for entry in value.split(';').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (table, columns) = entry.split_once(':').ok_or_else(wrong)?;
        if table.is_empty() || columns.contains(':') {
            return Err(wrong());
        }
        for column in columns.split(',').map(str::trim) {
            if column.is_empty() {
                return Err(wrong());
            }
            let pattern = format!("{}.{column}", table.trim());
            keys.push(JavaPattern::ignoring_case(NAME, &pattern)?);
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_options_say_the_mask() {
        assert_eq!(mask("column.mask.with.3.chars").unwrap(), Some(Mask::asterisks(3)));
        assert_eq!(mask("column.truncate.to.20.chars").unwrap(), Some(Mask::Truncate(20)));
        assert_eq!(
            mask("column.mask.hash.v2.SHA-512/256.with.salt.a.b").unwrap(),
            Some(Mask::Hash {
                algorithm: HashAlgorithm::Sha512_256,
                version: HashVersion::Bytes,
                salt: "a.b".into()
            })
        );
        // Nobody knows these, which is for the one to say who asks what is left.
        for name in ["column.mask.with.x.chars", "column.mask.hash.MD5", "column.include.list"] {
            assert_eq!(mask(name).unwrap(), None, "{name}");
        }
        let error = mask("column.mask.hash.SHA3-256.with.salt.pepper").unwrap_err().to_string();
        assert!(error.contains("SHA3-256 MessageDigest not available"), "{error}");
        assert!(!error.contains("pepper"), "{error}");
    }

    #[test]
    fn keys_are_read_as_expressions_for_columns() {
        let keys = key_columns("public.customers:name, id;(.*).orders:code;").unwrap();
        assert_eq!(keys.len(), 3);
        assert!(keys[1].matches("PUBLIC.customers.ID").unwrap());
        for wrong in ["public.customers", "a:b:c", "a:", "a:b,,c", ":b"] {
            let error = key_columns(wrong).unwrap_err().to_string();
            assert!(error.contains("has an invalid format"), "{error}");
        }
    }
}
