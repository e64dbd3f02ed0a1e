//! The statement that reads a region of a table.

use cdc_core::Value;
use cdc_core::snapshot::{Key, Region};

use super::literal::literal;
use super::plan::{KeyColumn, TableReadPlan};
use crate::names::{quote, quote_table};

/// The table in a statement.
const ROWS: &str = "cdc_rows";

/// Rows of a region as `COPY ... TO STDOUT`, those of a range in the order of the key. `columns` are what is selected; `limit`
/// says how many rows of a range are wanted, and whether those that are equal to the last are wanted too.
///
/// `None` when a bound of the region does not belong to the key.
pub(super) fn statement(
    plan: &TableReadPlan,
    columns: &[String],
    region: &Region,
    limit: Option<Limit>,
) -> Option<String> {
    let mut conditions: Vec<String> =
        plan.conditions().map(|condition| format!("({condition})")).collect();
    let mut end = String::new();
    match region {
        Region::Whole => {}
        Region::Keys(keys) => conditions.push(one_of(&plan.key, keys)?),
        Region::Range(range) => {
            if let Some(after) = &range.after {
                conditions.push(Bound::of(&plan.key, after)?.behind());
            }
            if let Some(through) = &range.through {
                conditions.push(Bound::of(&plan.key, through)?.up_to());
            }
            let order: Vec<String> = plan.key.iter().map(column).collect();
            end = format!(" ORDER BY {}", order.join(", "));
            match limit {
                None => {}
                Some(Limit { rows, with_ties: false }) => end += &format!(" LIMIT {rows}"),
                Some(Limit { rows, with_ties: true }) => {
                    end += &format!(" FETCH FIRST {rows} ROWS WITH TIES");
                }
            }
        }
    }
    let from = from(plan);
    let list = columns.join(", ");
    let filter = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    Some(format!("COPY (SELECT {list} FROM {from}{filter}{end}) TO STDOUT"))
}

/// How many rows of a range are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) rows: u64,
    pub(super) with_ties: bool,
}

/// What is read from, under the name of [`ROWS`].
fn from(plan: &TableReadPlan) -> String {
    match &plan.select {
        Some(select) => format!("({select}) AS {ROWS}"),
        None => format!("{} AS {ROWS}", table(plan)),
    }
}

/// The table with its children where it is read as a partitioned one.
pub(super) fn table(plan: &TableReadPlan) -> String {
    let only = if plan.published.partitioned { "" } else { "ONLY " };
    format!("{only}{}", quote_table(&plan.published.id))
}

/// A column of the table, whatever else has its name.
pub(super) fn named(name: &str) -> String {
    format!("{ROWS}.{}", quote(name))
}

fn column(column: &KeyColumn) -> String {
    named(&column.name)
}

/// The first columns of the key, with values.
struct Bound<'a> {
    columns: &'a [KeyColumn],
    values: &'a [Value],
    literals: Vec<String>,
    /// It has fewer values than the key has columns, and is before every key that begins with them.
    is_part: bool,
}

impl<'a> Bound<'a> {
    fn of(key: &'a [KeyColumn], bound: &'a Key) -> Option<Self> {
        let values = bound.values();
        let columns = key.get(..values.len()).filter(|columns| !columns.is_empty())?;
        let literals =
            columns.iter().zip(values).map(|(column, value)| literal(value, &column.cast));
        Some(Bound {
            columns,
            values,
            literals: literals.collect::<Option<_>>()?,
            is_part: columns.len() < key.len(),
        })
    }

    /// The keys behind it.
    fn behind(&self) -> String {
        if self.columns.iter().any(|column| column.nullable) {
            return self.greater(0);
        }
        self.compared(if self.is_part { ">=" } else { ">" })
    }

    /// The keys up to it.
    fn up_to(&self) -> String {
        if self.columns.iter().any(|column| column.nullable) {
            return format!("NOT {}", self.greater(0));
        }
        self.compared(if self.is_part { "<" } else { "<=" })
    }

    fn compared(&self, operator: &str) -> String {
        let columns: Vec<String> = self.columns.iter().map(column).collect();
        format!("({}) {operator} ({})", columns.join(", "), self.literals.join(", "))
    }

    /// Rows behind it where NULL sorts last, as it does by default. It is true or false, and never NULL.
    fn greater(&self, at: usize) -> String {
        let (Some(of), Some(value), Some(literal)) =
            (self.columns.get(at), self.values.get(at), self.literals.get(at))
        else {
            return if self.is_part { "true" } else { "false" }.to_owned();
        };
        let (name, next) = (column(of), self.greater(at + 1));
        match value {
            Value::Null => format!("({name} IS NULL AND {next})"),
            _ => {
                format!("({name} IS NULL OR {name} > {literal} OR ({name} = {literal} AND {next}))")
            }
        }
    }
}

/// Rows with one of the keys.
fn one_of(columns: &[KeyColumn], keys: &[Key]) -> Option<String> {
    let names: Vec<String> = columns.iter().map(column).collect();
    let mut lists = Vec::new();
    let mut others = Vec::new();
    for key in keys {
        let values = key.values();
        if values.len() != columns.len() || columns.is_empty() {
            return None;
        }
        let literals =
            columns.iter().zip(values).map(|(column, value)| literal(value, &column.cast));
        let literals = literals.collect::<Option<Vec<_>>>()?;
        if !values.iter().any(Value::is_null) {
            lists.push(format!("({})", literals.join(", ")));
            continue;
        }
        let same = names
            .iter()
            .zip(&literals)
            .map(|(name, literal)| format!("{name} IS NOT DISTINCT FROM {literal}"));
        others.push(format!("({})", same.collect::<Vec<_>>().join(" AND ")));
    }
    if !lists.is_empty() {
        others.push(format!("({}) IN ({})", names.join(", "), lists.join(", ")));
    }
    Some(match others.is_empty() {
        true => "false".to_owned(),
        false => format!("({})", others.join(" OR ")),
    })
}

#[cfg(test)]
mod tests {
    use cdc_core::TableId;
    use cdc_core::snapshot::KeyRange;

    use super::*;
    use crate::catalog::publications::PublishedTable;

    fn plan(nullable: bool) -> TableReadPlan {
        let key = |name: &str, cast: &str| KeyColumn {
            name: name.into(),
            type_oid: 0,
            cast: cast.into(),
            nullable,
        };
        TableReadPlan {
            published: PublishedTable {
                oid: 1,
                id: TableId::new("public", "T"),
                partitioned: false,
                columns: None,
                filter: Some("(id > 5)".into()),
            },
            key: vec![key("a", "bigint"), key("b", "text")],
            select: None,
            condition: None,
            schema: cdc_core::Schema::builder().build().unwrap(),
        }
    }

    fn key(values: impl IntoIterator<Item = Value>) -> Key {
        Key::new(values).unwrap()
    }

    fn selected(plan: &TableReadPlan, region: &Region, limit: Option<Limit>) -> String {
        let columns = [named("a"), "NULL".to_owned()];
        statement(plan, &columns, region, limit).unwrap()
    }

    const HEAD: &str =
        r#"COPY (SELECT cdc_rows."a", NULL FROM ONLY "public"."T" AS cdc_rows WHERE ((id > 5))"#;
    const ORDER: &str = r#" ORDER BY cdc_rows."a", cdc_rows."b""#;
    const NAMES: &str = r#"(cdc_rows."a", cdc_rows."b")"#;

    #[test]
    fn a_range_is_behind_one_key_and_up_to_another() {
        let range = KeyRange {
            after: Some(key([Value::Int64(-3), "it's".into()])),
            through: Some(key([Value::Int64(9), "z".into()])),
        };
        let limit = Limit { rows: 100, with_ties: false };
        assert_eq!(
            selected(&plan(false), &Region::Range(range), Some(limit)),
            format!(
                "{HEAD} AND {NAMES} > ('-3'::bigint, 'it''s'::text) AND {NAMES} <= ('9'::bigint, 'z'::text){ORDER} LIMIT 100) TO STDOUT"
            )
        );
    }

    #[test]
    fn a_bound_of_the_first_columns_is_before_all_keys_that_begin_so() {
        let bound = Some(key([Value::Int64(3)]));
        let range = KeyRange { after: bound.clone(), through: bound };
        let text = selected(&plan(false), &Region::Range(range), None);
        assert!(
            text.contains(r#"(cdc_rows."a") >= ('3'::bigint) AND (cdc_rows."a") < ('3'::bigint)"#),
            "{text}"
        );
    }

    #[test]
    fn null_sorts_last_and_its_twins_are_read_together() {
        let range = KeyRange { after: Some(key([Value::Int64(3), Value::Null])), through: None };
        let limit = Limit { rows: 5, with_ties: true };
        let text = selected(&plan(true), &Region::Range(range), Some(limit));
        let (a, b) = (r#"cdc_rows."a""#, r#"cdc_rows."b""#);
        let behind = format!(
            "({a} IS NULL OR {a} > '3'::bigint OR ({a} = '3'::bigint AND ({b} IS NULL AND false)))"
        );
        assert_eq!(
            text,
            format!("{HEAD} AND {behind}{ORDER} FETCH FIRST 5 ROWS WITH TIES) TO STDOUT")
        );
    }

    #[test]
    fn single_keys_are_listed() {
        let keys = vec![key([Value::Int64(1), "x".into()]), key([Value::Int64(2), Value::Null])];
        let text = selected(&plan(true), &Region::Keys(keys), None);
        assert!(
            text.ends_with(&format!(
                r#" AND ((cdc_rows."a" IS NOT DISTINCT FROM '2'::bigint AND cdc_rows."b" IS NOT DISTINCT FROM NULL::text) OR {NAMES} IN (('1'::bigint, 'x'::text)))) TO STDOUT"#
            )),
            "{text}"
        );
        assert!(selected(&plan(false), &Region::Keys(Vec::new()), None).contains("AND false)"));
    }

    #[test]
    fn a_key_of_other_columns_gives_no_statement() {
        let region = Region::Keys(vec![key([Value::Int64(1)])]);
        assert_eq!(statement(&plan(false), &[], &region, None), None);
        let long = key([Value::Int64(1), "a".into(), "b".into()]);
        let range = KeyRange { after: Some(long), through: None };
        assert_eq!(statement(&plan(false), &[], &Region::Range(range), None), None);
    }

    #[test]
    fn a_statement_of_ones_own_stands_for_the_table() {
        let mut plan = plan(false);
        plan.select = Some("SELECT * FROM t WHERE old".into());
        plan.condition = Some("x = 1 OR y".into());
        assert_eq!(
            selected(&plan, &Region::Whole, None),
            r#"COPY (SELECT cdc_rows."a", NULL FROM (SELECT * FROM t WHERE old) AS cdc_rows WHERE ((id > 5)) AND (x = 1 OR y)) TO STDOUT"#
        );
    }
}
