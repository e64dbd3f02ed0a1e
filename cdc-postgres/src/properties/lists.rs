//! Include and exclude lists: schemas, tables, prefixes of logical messages.

use cdc_core::java_pattern::JavaPattern;
use cdc_core::{Properties, Result};

use super::{invalid, text};
use crate::builder::Given;
use crate::shape::MessagePrefixes;

pub(super) fn read(properties: &Properties, given: &mut Given) -> Result<()> {
    let lists = &mut given.lists;
    (lists.schema_include, lists.schema_exclude) = pair(properties, "schema")?;
    (lists.table_include, lists.table_exclude) = pair(properties, "table")?;
    let copied = text(properties, "snapshot.include.collection.list");
    lists.copied = copied
        .map(|value| JavaPattern::list("snapshot.include.collection.list", value))
        .transpose()?;
    lists.ignore_builtin = properties.bool("table.ignore.builtin", true)?;
    let (include, exclude) = pair(properties, "message.prefix")?;
    given.shape.messages = MessagePrefixes { include, exclude };
    Ok(())
}

/// `X.include.list` and `X.exclude.list`, of which only one may be set.
pub(super) fn pair(
    properties: &Properties,
    what: &str,
) -> Result<(Option<Vec<JavaPattern>>, Vec<JavaPattern>)> {
    let (include, exclude) = (format!("{what}.include.list"), format!("{what}.exclude.list"));
    let included = text(properties, &include);
    let excluded = text(properties, &exclude);
    if let (Some(_), Some(excluded)) = (included, excluded) {
        let why = format!("\"{include}\" is already specified");
        return Err(invalid(&exclude, excluded, why).remedy("set one of the two"));
    }
    let included = included.map(|value| JavaPattern::list(&include, value)).transpose()?;
    let excluded = excluded.map(|value| JavaPattern::list(&exclude, value)).transpose()?;
    Ok((included, excluded.unwrap_or_default()))
}
