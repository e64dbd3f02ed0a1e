//! The statement that reads columns of many rows by their keys.

use cdc_core::{DataType, TableId};

use crate::catalog::columns::TableColumns;
use crate::names::{quote, quote_table};

/// What the statement reads.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) table: &'a TableId,
    /// Its rows are in its partitions.
    pub(super) partitioned: bool,
    /// The function that tells which transactions a snapshot shows.
    pub(super) snapshot: &'a str,
    /// The columns of the key and their types without modifiers, as SQL writes them.
    pub(super) key: &'a [(String, String)],
    pub(super) columns: &'a [&'a str],
}

impl Question<'_> {
    /// Takes an array of texts for each column of the key and gives a row for each place in them: the place, whether there is a
    /// row, at the first place the snapshot and the columns that the table has by it, and the texts of the values.
    ///
    /// The texts are those of the types' output functions, as in the log and in COPY; a cast to text has others (of boolean
    /// and char).
    pub(super) fn sql(&self) -> String {
        let table = quote_table(self.table);
        let only = if self.partitioned { "" } else { "ONLY " };
        let list = |item: &dyn Fn(usize) -> String| {
            (1..=self.key.len()).map(item).collect::<Vec<_>>().join(", ")
        };
        let arrays = list(&|number| format!("${number}::text[]"));
        let names = list(&|number| format!("k{number}"));
        let equal: Vec<String> = self
            .key
            .iter()
            .zip(1..)
            .map(|((name, of), number)| format!("t.{} = k.k{number}::{of}", quote(name)))
            .collect();
        let values: String = self
            .columns
            .iter()
            .map(|name| {
                let name = quote(name);
                format!(", CASE WHEN num_nulls(t.{name}) = 0 THEN format('%s', t.{name}) END")
            })
            .collect();
        let regclass = table.replace('\'', "''");
        let snapshot = self.snapshot;
        let equal = equal.join(" AND ");
        format!(
            "SELECT k.place, t.ctid IS NOT NULL, \
                    CASE WHEN k.place = 1 THEN {snapshot}::text END, \
                    CASE WHEN k.place = 1 THEN \
                        (SELECT string_agg(concat_ws(' ', a.atttypid, a.atttypmod, a.attname), ',' ORDER BY a.attnum) \
                         FROM pg_attribute a \
                         WHERE a.attrelid = '{regclass}'::regclass AND a.attnum > 0 AND NOT a.attisdropped) END{values} \
             FROM unnest({arrays}) WITH ORDINALITY AS k({names}, place) LEFT JOIN {only}{table} AS t ON {equal}"
        )
    }
}

/// The columns of a table as the statement tells them.
pub(super) fn described(columns: &TableColumns) -> String {
    let columns: Vec<String> = columns
        .columns
        .iter()
        .map(|column| format!("{} {} {}", column.type_oid, column.modifier, column.name))
        .collect();
    columns.join(",")
}

/// Whether a value of the type that a column has now is one of the type that it had at the event. Lengths and labels may have
/// changed since.
pub(super) fn fits(then: &DataType, now: &DataType) -> bool {
    match (then, now) {
        (DataType::Text { fixed: then, .. }, DataType::Text { fixed: now, .. }) => then == now,
        (DataType::Enum { .. }, DataType::Enum { .. }) => true,
        (DataType::Array(then), DataType::Array(now)) => fits(&then.data_type, &now.data_type),
        (then, now) => then == now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_keys_have_the_types_of_their_columns() {
        let key = [("Id".to_owned(), "integer".to_owned()), ("at".to_owned(), "date".to_owned())];
        let sql = Question {
            table: &TableId::new("shop", "it's"),
            partitioned: false,
            snapshot: "pg_current_snapshot()",
            key: &key,
            columns: &["a\"b"],
        }
        .sql();
        assert!(sql.ends_with(
            "FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k(k1, k2, place) \
             LEFT JOIN ONLY \"shop\".\"it's\" AS t ON t.\"Id\" = k.k1::integer AND t.\"at\" = k.k2::date"
        ));
        assert!(sql.contains("'\"shop\".\"it''s\"'::regclass"), "{sql}");
        assert!(sql.contains("num_nulls(t.\"a\"\"b\") = 0"), "{sql}");
    }

    #[test]
    fn a_wider_column_still_fits_and_another_type_does_not() {
        let text = |max_length| DataType::Text { max_length, fixed: false };
        assert!(fits(&text(Some(3)), &text(None)));
        assert!(!fits(&text(None), &DataType::Text { max_length: Some(3), fixed: true }));
        assert!(!fits(&text(None), &DataType::Json));
        let decimal = |scale| DataType::Decimal { precision: Some(9), scale: Some(scale) };
        assert!(fits(&decimal(2), &decimal(2)) && !fits(&decimal(2), &decimal(3)));
    }
}
