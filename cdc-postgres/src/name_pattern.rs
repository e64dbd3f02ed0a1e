//! Patterns for names of tables and columns: `shop.*`, `"Odd.Name"."T"`, or the regular expressions of a Debezium
//! configuration.

use cdc_core::TableId;
use cdc_core::java_pattern::JavaPattern;

/// A pattern of several parts set apart by points: `*` stands for any characters in an unquoted part, double quotes
/// make a part exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamePattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Exact(String),
    Glob(String),
}

impl Part {
    fn matches(&self, name: &str) -> bool {
        match self {
            Part::Exact(exact) => exact == name,
            Part::Glob(pattern) => glob(pattern.as_bytes(), name.as_bytes()),
        }
    }
}

/// `*` is any run of characters; everything else stands for itself.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut retry = None;
    while n < name.len() {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p, n));
            p += 1;
        } else if pattern.get(p) == name.get(n) {
            p += 1;
            n += 1;
        } else if let Some((star, taken)) = retry {
            retry = Some((star, taken + 1));
            p = star + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

impl NamePattern {
    /// Reads `schema.table`.
    pub(crate) fn table(text: &str) -> Result<Self, String> {
        Self::parse(text, 2).ok_or_else(|| {
            format!(
                "{text:?} is not a table of the form schema.table, such as public.orders or shop.*"
            )
        })
    }

    /// Reads `schema.table.column`.
    pub(crate) fn column(text: &str) -> Result<Self, String> {
        Self::parse(text, 3).ok_or_else(|| {
            format!(
                "{text:?} is not a column of the form schema.table.column, such as public.orders.email or shop.*.secret_*"
            )
        })
    }

    fn parse(text: &str, count: usize) -> Option<Self> {
        let mut parts = Vec::with_capacity(count);
        let mut rest = text.trim();
        for place in 0..count {
            if place > 0 {
                rest = rest.strip_prefix('.')?;
            }
            let (part, after) = part(rest)?;
            parts.push(part);
            rest = after;
        }
        rest.is_empty().then(|| NamePattern { text: text.trim().to_owned(), parts })
    }

    pub(crate) fn matches_table(&self, table: &TableId) -> bool {
        self.matches(&[&table.schema, &table.table])
    }

    pub(crate) fn matches_column(&self, table: &TableId, column: &str) -> bool {
        self.matches(&[&table.schema, &table.table, column])
    }

    fn matches(&self, names: &[&str]) -> bool {
        self.parts.len() == names.len()
            && self.parts.iter().zip(names).all(|(part, name)| part.matches(name))
    }

    /// Whether it names one thing rather than a set.
    pub(crate) fn is_exact(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Exact(_)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// One part, and what follows it.
fn part(text: &str) -> Option<(Part, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut name = String::new();
        let mut rest = quoted;
        loop {
            let (before, after) = rest.split_once('"')?;
            name.push_str(before);
            match after.strip_prefix('"') {
                Some(more) => {
                    name.push('"');
                    rest = more;
                }
                None => return (!name.is_empty()).then_some((Part::Exact(name), after)),
            }
        }
    }
    let end = text.find('.').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() || name.contains('"') {
        return None;
    }
    let name = name.to_owned();
    Some((if name.contains('*') { Part::Glob(name) } else { Part::Exact(name) }, rest))
}

/// Whether any expression of a list matches. One that cannot be carried out (it needs too many attempts) counts as what
/// shows less: as no match in a list of what is shown, as a match in a list of what is hidden.
pub(crate) fn any_of(list: &[JavaPattern], text: &str, hides: bool) -> bool {
    JavaPattern::any(list, text).unwrap_or_else(|error| {
        tracing::error!("{text}: {error}");
        hides
    })
}

/// A set of columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ColumnSet {
    /// By `schema.table.column`.
    Patterns(Vec<NamePattern>),
    /// By Java's regular expressions for `schema.table.column`, whatever the case.
    Expressions(Vec<JavaPattern>),
}

impl ColumnSet {
    /// Whether the column belongs to it; `hides` says that columns of the set are shown less.
    pub(crate) fn contains(&self, table: &TableId, column: &str, hides: bool) -> bool {
        match self {
            ColumnSet::Patterns(patterns) => {
                patterns.iter().any(|pattern| pattern.matches_column(table, column))
            }
            ColumnSet::Expressions(list) => any_of(list, &format!("{table}.{column}"), hides),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, schema: &str, table: &str) -> bool {
        NamePattern::table(pattern).unwrap().matches_table(&TableId::new(schema, table))
    }

    #[test]
    fn stars_stand_for_anything_and_quotes_for_themselves() {
        assert!(matches("public.orders", "public", "orders"));
        assert!(!matches("public.orders", "public", "orders2"));
        assert!(matches("shop.*", "shop", "anything"));
        assert!(matches("*.o*s", "x", "orders"));
        assert!(!matches("*.o*s", "x", "order"));
        assert!(matches("\"odd.schema\".\"T\"\"*\"", "odd.schema", "T\"*"));
        assert!(!matches("public.\"o*\"", "public", "orders"));
    }

    #[test]
    fn what_is_no_table_is_refused() {
        for text in ["", "orders", ".orders", "a.", "a.b.c", "\"a.b", "a\"b.c"] {
            assert!(NamePattern::table(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn columns_have_three_parts_or_an_expression() {
        let table = TableId::new("public", "customers_full");
        let set =
            ColumnSet::Patterns(vec![NamePattern::column("public.customers*.email").unwrap()]);
        assert!(set.contains(&table, "email", false) && !set.contains(&table, "name", false));
        let list =
            JavaPattern::list("column.truncate.to.3.chars", "public.customers.*.NAME").unwrap();
        assert!(ColumnSet::Expressions(list).contains(&table, "name", false));
        assert!(NamePattern::column("public.customers").is_err());
    }
}
