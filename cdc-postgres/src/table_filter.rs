//! Which tables are wanted, and in which order they are copied.

use cdc_core::TableId;
use cdc_core::java_pattern::JavaPattern;

use crate::catalog::tables::Table;
use crate::name_pattern::{NamePattern, any_of};

/// The tables that are wanted: all that a pattern names (all at all without one), but those excluded.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableFilter {
    pub(crate) include: Vec<NamePattern>,
    pub(crate) exclude: Vec<NamePattern>,
    /// The tables whose rows are copied, of those that are wanted; all where it is not set.
    pub(crate) copied: Option<Vec<NamePattern>>,
    pub(crate) lists: NameLists,
}

/// The lists of a Debezium configuration: regular expressions for `schema` and `schema.table`. One that is not set
/// excludes nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct NameLists {
    pub(crate) schema_include: Option<Vec<JavaPattern>>,
    pub(crate) schema_exclude: Vec<JavaPattern>,
    pub(crate) table_include: Option<Vec<JavaPattern>>,
    pub(crate) table_exclude: Vec<JavaPattern>,
    /// The tables whose rows are copied (`snapshot.include.collection.list`).
    pub(crate) copied: Option<Vec<JavaPattern>>,
    /// Leave out the table that PostGIS makes (`table.ignore.builtin`).
    pub(crate) ignore_builtin: bool,
}

impl NameLists {
    fn includes(&self, table: &TableId) -> bool {
        let among = |list: &Option<Vec<JavaPattern>>, name: &str| {
            list.as_ref().is_none_or(|list| any_of(list, name, false))
        };
        among(&self.schema_include, &table.schema) && among(&self.table_include, &table.to_string())
    }

    fn excludes(&self, table: &TableId) -> bool {
        (self.ignore_builtin && &*table.table == "spatial_ref_sys")
            || any_of(&self.schema_exclude, &table.schema, true)
            || any_of(&self.table_exclude, &table.to_string(), true)
    }
}

impl TableFilter {
    /// Whether a table is wanted under this name.
    pub(crate) fn wants(&self, table: &TableId) -> bool {
        self.includes(table) && !self.excludes(table)
    }

    /// Whether a table is wanted; a partition also under the names of the tables above it.
    pub(crate) fn wants_table(&self, table: &Table) -> bool {
        let names = || std::iter::once(&table.id).chain(&table.ancestors);
        names().any(|name| self.includes(name)) && !names().any(|name| self.excludes(name))
    }

    fn includes(&self, table: &TableId) -> bool {
        (self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches_table(table)))
            && self.lists.includes(table)
    }

    fn excludes(&self, table: &TableId) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches_table(table))
            || self.lists.excludes(table)
    }

    /// Whether the rows of a wanted table are copied at the first start, and not its changes alone followed.
    pub(crate) fn copies(&self, table: &TableId) -> bool {
        let listed = |list: &Vec<JavaPattern>| any_of(list, &table.to_string(), false);
        let named = |list: &Vec<NamePattern>| list.iter().any(|of| of.matches_table(table));
        self.lists.copied.as_ref().is_none_or(listed) && self.copied.as_ref().is_none_or(named)
    }

    /// Whether a pattern names this one table.
    pub(crate) fn names(&self, table: &TableId) -> bool {
        self.include.iter().any(|pattern| pattern.is_exact() && pattern.matches_table(table))
    }

    /// Patterns that name one table each which is not among these.
    pub(crate) fn missing<'a>(
        &'a self,
        tables: impl Iterator<Item = &'a TableId> + Clone + 'a,
    ) -> impl Iterator<Item = &'a str> {
        self.include
            .iter()
            .filter(move |pattern| {
                pattern.is_exact() && !tables.clone().any(|table| pattern.matches_table(table))
            })
            .map(NamePattern::as_str)
    }

    /// Orders tables as they are copied: by the first pattern that names them, then by name, whatever the database's
    /// collation, as Debezium does.
    pub(crate) fn place(&self, table: &TableId) -> (usize, String) {
        let text = table.to_string();
        let place = match &self.lists.table_include {
            Some(list) => list
                .iter()
                .position(|pattern| any_of(std::slice::from_ref(pattern), &text, false))
                .unwrap_or(list.len()),
            None => 0,
        };
        (place, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(value: &str) -> Vec<JavaPattern> {
        JavaPattern::list("table.include.list", value).unwrap()
    }

    #[test]
    fn a_table_that_is_named_and_missing_is_reported() {
        let filter = TableFilter {
            include: ["public.a", "public.b", "x.*"]
                .iter()
                .map(|text| NamePattern::table(text).unwrap())
                .collect(),
            ..TableFilter::default()
        };
        let tables = [TableId::new("public", "a")];
        assert_eq!(filter.missing(tables.iter()).collect::<Vec<_>>(), ["public.b"]);
    }

    #[test]
    fn lists_of_schemas_and_tables_hold_together_and_match_whole_names() {
        let filter = TableFilter {
            lists: NameLists {
                schema_include: Some(list("public, shop_\\d+")),
                table_exclude: list(".*\\.tmp_.*"),
                ..NameLists::default()
            },
            ..TableFilter::default()
        };
        assert!(filter.wants(&TableId::new("PUBLIC", "orders")));
        assert!(filter.wants(&TableId::new("shop_12", "orders")));
        assert!(!filter.wants(&TableId::new("shop_12", "tmp_1")));
        assert!(!filter.wants(&TableId::new("xpublic", "orders")));
    }

    #[test]
    fn tables_are_copied_in_the_order_of_the_list_and_then_by_name() {
        let filter = TableFilter {
            lists: NameLists {
                table_include: Some(list("public.z,public.*")),
                ..NameLists::default()
            },
            ..TableFilter::default()
        };
        let mut tables: Vec<TableId> =
            ["a", "Z", "z", "b"].iter().map(|name| TableId::new("public", *name)).collect();
        tables.sort_by_cached_key(|table| filter.place(table));
        let names: Vec<&str> = tables.iter().map(|table| &*table.table).collect();
        assert_eq!(names, ["Z", "z", "a", "b"]);
        tables.sort_by_cached_key(|table| TableFilter::default().place(table));
        let names: Vec<&str> = tables.iter().map(|table| &*table.table).collect();
        assert_eq!(names, ["Z", "a", "b", "z"]);
    }
}
