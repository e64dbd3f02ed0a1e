//! The statements by which a table is written.

use std::sync::Arc;

use super::dialect::Dialect;
use super::table::Column;

/// A statement and where its parameters come from.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) sql: Arc<str>,
    /// In the order of the parameters.
    pub(crate) parameters: Vec<Parameter>,
}

/// Where a parameter comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// The column of the row at this index.
    Row(usize),
    /// The column of the row before at this index.
    Before(usize),
    /// This part of the key.
    Key(usize),
    /// This part of the key that the row had before it moved.
    From(usize),
}

/// Makes statements for one table.
#[derive(Debug)]
pub(crate) struct Statements<'t, D: Dialect> {
    pub(crate) dialect: &'t D,
    /// The quoted name.
    pub(crate) table: &'t str,
    pub(crate) columns: &'t [Column<D::Bind>],
    /// The indices of the key's columns in the order of the key.
    pub(crate) key: &'t [usize],
}

/// Collects parameters while the text of a statement is made.
struct Draft<'t, D: Dialect> {
    table: &'t Statements<'t, D>,
    parameters: Vec<Parameter>,
}

impl<D: Dialect> Draft<'_, D> {
    fn parameter(&mut self, parameter: Parameter) -> String {
        let place = match self.parameters.iter().position(|known| *known == parameter) {
            Some(at) => at + 1,
            None => {
                self.parameters.push(parameter);
                self.parameters.len()
            }
        };
        match self.table.column_of(parameter) {
            Some(column) => self.table.dialect.parameter(place, column),
            None => String::new(),
        }
    }

    /// `x.key = parameter` for every part of the key.
    fn key_is(&mut self, alias: &str, part: fn(usize) -> Parameter) -> String {
        let mut out = Vec::with_capacity(self.table.key.len());
        for index in 0..self.table.key.len() {
            let value = self.parameter(part(index));
            out.push(format!("{alias}.{} = {value}", self.table.name(self.table.key[index])));
        }
        out.join(" AND ")
    }

    fn assignments(&mut self, columns: &[usize]) -> String {
        let mut out = Vec::with_capacity(columns.len());
        for &index in columns {
            // The key is known even where the row lacks it.
            let parameter = match self.table.key.iter().position(|&at| at == index) {
                Some(part) => Parameter::Key(part),
                None => Parameter::Row(index),
            };
            let value = self.parameter(parameter);
            out.push(format!("{} = {value}", self.table.name(index)));
        }
        out.join(", ")
    }

    /// Every column as it was, NULL equal to NULL.
    fn row_was(&mut self) -> String {
        let mut out = Vec::new();
        for (index, column) in self.table.columns.iter().enumerate().filter(|(_, c)| c.writable) {
            let value = self.parameter(Parameter::Before(index));
            let name = format!("x.{}", column.quoted);
            out.push(self.table.dialect.same_value(&name, &value, column.bind));
        }
        out.join(" AND ")
    }

    fn rows(&self) -> Option<String> {
        let columns: Vec<_> = self
            .parameters
            .iter()
            .filter_map(|parameter| self.table.column_of(*parameter))
            .collect();
        self.table.dialect.rows(&columns)
    }

    fn end(self, sql: String) -> Arc<Statement> {
        Arc::new(Statement { sql: sql.into(), parameters: self.parameters })
    }
}

/// `keyword rows`, or nothing where parameters stand in the statement itself.
fn clause(keyword: &str, rows: Option<&str>) -> String {
    rows.map_or_else(String::new, |rows| format!(" {keyword} {rows}"))
}

impl<D: Dialect> Statements<'_, D> {
    fn draft(&self) -> Draft<'_, D> {
        Draft { table: self, parameters: Vec::new() }
    }

    pub(crate) fn column_of(&self, parameter: Parameter) -> Option<&Column<D::Bind>> {
        let index = match parameter {
            Parameter::Row(index) | Parameter::Before(index) => index,
            Parameter::Key(part) | Parameter::From(part) => *self.key.get(part)?,
        };
        self.columns.get(index)
    }

    fn name(&self, index: usize) -> &str {
        self.columns.get(index).map_or("", |column| &column.quoted)
    }

    fn writable(&self) -> impl Iterator<Item = usize> {
        self.columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.writable)
            .map(|(index, _)| index)
    }

    /// Inserts rows.
    pub(crate) fn insert(&self) -> Arc<Statement> {
        let (draft, sql) = self.insert_text();
        draft.end(sql)
    }

    fn insert_text(&self) -> (Draft<'_, D>, String) {
        let mut draft = self.draft();
        let columns: Vec<_> = self.writable().map(|index| self.name(index)).collect();
        let values: Vec<_> =
            self.writable().map(|index| draft.parameter(Parameter::Row(index))).collect();
        let (columns, values) = (columns.join(", "), values.join(", "));
        let rows = match draft.rows() {
            Some(rows) => format!("SELECT {values} FROM {rows}"),
            None => format!("VALUES ({values})"),
        };
        let sql = format!("INSERT INTO {} ({columns}){} {rows}", self.table, D::INSERT_CLAUSE);
        (draft, sql)
    }

    /// Inserts rows, or updates those that are there.
    pub(crate) fn upsert(&self) -> Arc<Statement> {
        let (draft, sql) = self.insert_text();
        let key: Vec<_> = self.key.iter().map(|&index| self.name(index)).collect();
        let set: Vec<_> = self
            .writable()
            .filter(|index| !self.key.contains(index))
            .map(|index| format!("{0} = excluded.{0}", self.name(index)))
            .collect();
        let action = if set.is_empty() {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", set.join(", "))
        };
        draft.end(format!("{sql} ON CONFLICT ({}) DO {action}", key.join(", ")))
    }

    /// Deletes rows by key.
    pub(crate) fn delete(&self) -> Arc<Statement> {
        let mut draft = self.draft();
        let condition = draft.key_is("x", Parameter::Key);
        let using = clause("USING", draft.rows().as_deref());
        draft.end(format!("DELETE FROM {} AS x{using} WHERE {condition}", self.table))
    }

    /// Sets some columns of rows by key.
    pub(crate) fn patch(&self, columns: &[usize]) -> Arc<Statement> {
        let mut draft = self.draft();
        let assignments = draft.assignments(columns);
        let condition = draft.key_is("x", Parameter::Key);
        let from = clause("FROM", draft.rows().as_deref());
        draft.end(format!("UPDATE {} AS x SET {assignments}{from} WHERE {condition}", self.table))
    }

    /// Moves a row to another key, with some other columns.
    pub(crate) fn relocate(&self, columns: &[usize]) -> Arc<Statement> {
        let mut draft = self.draft();
        let assignments = draft.assignments(columns);
        let condition = draft.key_is("x", Parameter::From);
        let from = clause("FROM", draft.rows().as_deref());
        draft.end(format!("UPDATE {} AS x SET {assignments}{from} WHERE {condition}", self.table))
    }

    /// Deletes the row that a moved one would meet; where the database takes both keys for one, it is the same row.
    pub(crate) fn make_way(&self) -> Arc<Statement> {
        let mut draft = self.draft();
        let met = draft.key_is("x", Parameter::Key);
        let itself = draft.key_is("x", Parameter::From);
        let moving = draft.key_is("o", Parameter::From);
        let using = clause("USING", draft.rows().as_deref());
        let table = self.table;
        draft.end(format!(
            "DELETE FROM {table} AS x{using} WHERE {met} AND NOT ({itself}) \
             AND EXISTS (SELECT 1 FROM {table} AS o WHERE {moving})"
        ))
    }

    /// Deletes one row that equals the row before.
    pub(crate) fn remove_one(&self) -> Arc<Statement> {
        let mut draft = self.draft();
        let condition = draft.row_was();
        let sql = self.dialect.delete_one(self.table, draft.rows().as_deref(), &condition);
        draft.end(sql)
    }

    /// Replaces one row that equals the row before.
    pub(crate) fn replace_one(&self) -> Arc<Statement> {
        let mut draft = self.draft();
        let columns: Vec<_> = self.writable().collect();
        let assignments = draft.assignments(&columns);
        let condition = draft.row_was();
        let sql =
            self.dialect.update_one(self.table, draft.rows().as_deref(), &assignments, &condition);
        draft.end(sql)
    }
}
