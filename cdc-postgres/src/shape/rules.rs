//! Which columns are shown and how, which make up the key, and which events are left out.

use std::sync::Arc;

use cdc_core::java_pattern::JavaPattern;
use cdc_core::{DataType, Schema, TableId};

use super::mask::Mask;
use crate::name_pattern::{ColumnSet, any_of};

/// What becomes of the columns of a row before anybody sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ShapeRules {
    /// The columns that are shown; `None` shows all.
    pub(crate) include: Option<ColumnSet>,
    /// Columns that are not.
    pub(crate) exclude: Vec<ColumnSet>,
    /// Columns that are made unreadable.
    pub(crate) masks: Vec<(ColumnSet, Mask)>,
    /// The columns of the key, where it is not the table's own.
    pub(crate) keys: Vec<KeyColumns>,
    /// Leave out updates that change nothing that is shown.
    pub(crate) skip_unchanged: bool,
    pub(crate) messages: MessagePrefixes,
}

/// Columns that make up a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyColumns {
    /// Of one table, in this order.
    Named { table: TableId, columns: Vec<String> },
    /// By expressions for `schema.table.column`, in the order of the table.
    Expressions(Vec<JavaPattern>),
}

/// The prefixes of logical messages that are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MessagePrefixes {
    pub(crate) include: Option<Vec<JavaPattern>>,
    pub(crate) exclude: Vec<JavaPattern>,
}

impl MessagePrefixes {
    pub(crate) fn wants(&self, prefix: &str) -> bool {
        self.include.as_ref().is_none_or(|list| any_of(list, prefix, false))
            && !any_of(&self.exclude, prefix, true)
    }
}

impl ShapeRules {
    /// Whether there is nothing to do at all.
    pub(crate) fn is_empty(&self) -> bool {
        *self == ShapeRules::default()
    }

    pub(super) fn shows(&self, table: &TableId, column: &str) -> bool {
        self.include.as_ref().is_none_or(|set| set.contains(table, column, false))
            && !self.exclude.iter().any(|set| set.contains(table, column, true))
    }

    /// Whether a copy has to read a column: it is shown, or it is of a key.
    pub(crate) fn reads(&self, table: &TableId, schema: &Schema, column: &str) -> bool {
        let is = |name: &Arc<str>| **name == *column;
        let own = || schema.key().iter().filter_map(|&at| schema.field(at)).any(|f| is(&f.name));
        self.shows(table, column)
            || own()
            || self.key(table, schema).is_ok_and(|key| key.is_some_and(|key| key.iter().any(is)))
    }

    /// How a column is masked. Where several rules name it the one holds that shows least: a fixed text, then a hash, then
    /// the beginning of the value.
    pub(crate) fn mask(
        &self,
        table: &TableId,
        column: &str,
        data_type: &DataType,
    ) -> Option<&Mask> {
        let weight = |mask: &Mask| match mask {
            Mask::Fixed(_) => 0,
            Mask::Hash { .. } => 1,
            Mask::Truncate(length) => 2 + *length,
        };
        let found = self
            .masks
            .iter()
            .filter(|(set, _)| set.contains(table, column, true))
            .map(|(_, mask)| mask)
            .min_by_key(|mask| weight(mask))?;
        if !Mask::applies_to(data_type) {
            tracing::warn!(
                %table, column, "a column of type {data_type} cannot be masked and is shown as it is; exclude it to hide it"
            );
            return None;
        }
        Some(found)
    }

    /// The columns of the key that is configured for a table.
    ///
    /// # Errors
    /// The name of a column that the table does not have.
    pub(super) fn key(
        &self,
        table: &TableId,
        schema: &Schema,
    ) -> Result<Option<Vec<Arc<str>>>, String> {
        let names = || schema.fields().iter().map(|field| &field.name);
        for key in &self.keys {
            match key {
                KeyColumns::Named { table: of, columns } if of == table => {
                    let mut found = Vec::with_capacity(columns.len());
                    for column in columns {
                        let name = names().find(|name| ***name == **column);
                        found.push(Arc::clone(name.ok_or_else(|| column.clone())?));
                    }
                    return Ok(Some(found));
                }
                KeyColumns::Named { .. } => {}
                KeyColumns::Expressions(list) => {
                    let is_key = |name: &&Arc<str>| any_of(list, &format!("{table}.{name}"), false);
                    let found: Vec<Arc<str>> = names().filter(is_key).cloned().collect();
                    if !found.is_empty() {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }
}
