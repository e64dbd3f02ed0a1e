//! Which tables are wanted: `public.orders`, `shop.*`, `"Odd.Name"."T"`.

use cdc_core::TableId;

/// A pattern for tables: `*` stands for any characters in an unquoted part, double quotes make a part exact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TablePattern {
    text: String,
    schema: Part,
    table: Part,
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

impl TablePattern {
    /// Reads `schema.table`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let error = || {
            format!(
                "{text:?} is not a table of the form schema.table, such as public.orders or shop.*"
            )
        };
        let (schema, rest) = part(text.trim()).ok_or_else(error)?;
        let (table, rest) = part(rest.strip_prefix('.').ok_or_else(error)?).ok_or_else(error)?;
        if !rest.is_empty() {
            return Err(error());
        }
        Ok(TablePattern { text: text.trim().to_owned(), schema, table })
    }

    pub(crate) fn matches(&self, table: &TableId) -> bool {
        self.schema.matches(&table.schema) && self.table.matches(&table.table)
    }

    /// Whether it names one table rather than a set.
    pub(crate) fn is_exact(&self) -> bool {
        matches!((&self.schema, &self.table), (Part::Exact(_), Part::Exact(_)))
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

/// The tables that are wanted: all that a pattern names (all at all without one), but those excluded.
#[derive(Debug, Clone, Default)]
pub(crate) struct TableFilter {
    pub(crate) include: Vec<TablePattern>,
    pub(crate) exclude: Vec<TablePattern>,
}

impl TableFilter {
    pub(crate) fn wants(&self, table: &TableId) -> bool {
        (self.include.is_empty() || self.include.iter().any(|pattern| pattern.matches(table)))
            && !self.exclude.iter().any(|pattern| pattern.matches(table))
    }

    /// Patterns that name one table each which is not among these.
    pub(crate) fn missing<'a>(
        &'a self,
        tables: impl Iterator<Item = &'a TableId> + Clone + 'a,
    ) -> impl Iterator<Item = &'a str> {
        self.include
            .iter()
            .filter(move |pattern| {
                pattern.is_exact() && !tables.clone().any(|table| pattern.matches(table))
            })
            .map(TablePattern::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, schema: &str, table: &str) -> bool {
        TablePattern::parse(pattern).unwrap().matches(&TableId::new(schema, table))
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
            assert!(TablePattern::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_table_that_is_named_and_missing_is_reported() {
        let filter = TableFilter {
            include: ["public.a", "public.b", "x.*"]
                .iter()
                .map(|text| TablePattern::parse(text).unwrap())
                .collect(),
            exclude: vec![],
        };
        let tables = [TableId::new("public", "a")];
        assert_eq!(filter.missing(tables.iter()).collect::<Vec<_>>(), ["public.b"]);
    }
}
