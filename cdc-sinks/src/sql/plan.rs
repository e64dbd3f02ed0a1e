//! What is known of a table while the sink runs: its columns, and its statements, each made once.

use std::collections::HashMap;
use std::sync::Arc;

use cdc_core::{Destination, Schema};

use super::dialect::Dialect;
use super::naming::TableName;
use super::statement::{Parameter, Statement, Statements};
use super::table::Column;

/// The columns and statements of a table under one version of its schema.
#[derive(Debug)]
pub(crate) struct TablePlan<D: Dialect> {
    pub(crate) name: TableName,
    /// The quoted name.
    pub(crate) table: String,
    columns: Vec<Column<D::Bind>>,
    key: Vec<usize>,
    made: HashMap<Purpose, Arc<Statement>>,
    patches: HashMap<Box<[usize]>, Arc<Statement>>,
    moves: HashMap<Box<[usize]>, Arc<Statement>>,
}

/// The statements of which a table has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    Insert,
    Upsert,
    Delete,
    MakeWay,
    RemoveOne,
    ReplaceOne,
}

impl<D: Dialect> TablePlan<D> {
    pub(crate) fn new(
        name: TableName,
        table: String,
        columns: Vec<Column<D::Bind>>,
        schema: &Schema,
    ) -> Self {
        TablePlan {
            name,
            table,
            columns,
            key: schema.key().to_vec(),
            made: HashMap::new(),
            patches: HashMap::new(),
            moves: HashMap::new(),
        }
    }

    fn statements<'t>(&'t self, dialect: &'t D) -> Statements<'t, D> {
        Statements { dialect, table: &self.table, columns: &self.columns, key: &self.key }
    }

    /// The statement for a purpose.
    pub(crate) fn statement(&mut self, dialect: &D, purpose: Purpose) -> Arc<Statement> {
        if let Some(statement) = self.made.get(&purpose) {
            return Arc::clone(statement);
        }
        let statements = self.statements(dialect);
        let statement = match purpose {
            Purpose::Insert => statements.insert(),
            Purpose::Upsert => statements.upsert(),
            Purpose::Delete => statements.delete(),
            Purpose::MakeWay => statements.make_way(),
            Purpose::RemoveOne => statements.remove_one(),
            Purpose::ReplaceOne => statements.replace_one(),
        };
        self.made.insert(purpose, Arc::clone(&statement));
        statement
    }

    /// The statement that sets these columns by key.
    pub(crate) fn patch(&mut self, dialect: &D, columns: &[usize]) -> Arc<Statement> {
        if let Some(statement) = self.patches.get(columns) {
            return Arc::clone(statement);
        }
        let statement = self.statements(dialect).patch(columns);
        self.patches.insert(columns.into(), Arc::clone(&statement));
        statement
    }

    /// The statement that moves a row and sets these columns.
    pub(crate) fn relocate(&mut self, dialect: &D, columns: &[usize]) -> Arc<Statement> {
        if let Some(statement) = self.moves.get(columns) {
            return Arc::clone(statement);
        }
        let statement = self.statements(dialect).relocate(columns);
        self.moves.insert(columns.into(), Arc::clone(&statement));
        statement
    }

    /// The column of a parameter.
    pub(crate) fn column(&self, parameter: Parameter) -> Option<&Column<D::Bind>> {
        let index = match parameter {
            Parameter::Row(index) | Parameter::Before(index) => index,
            Parameter::Key(part) | Parameter::From(part) => *self.key.get(part)?,
        };
        self.columns.get(index)
    }

    /// Whether the column at an index can be written.
    pub(crate) fn is_writable(&self, index: usize) -> bool {
        self.columns.get(index).is_some_and(|column| column.writable)
    }

    /// Whether the column at an index belongs to the key.
    pub(crate) fn is_key(&self, index: usize) -> bool {
        self.key.contains(&index)
    }
}

/// The plans of all tables, by destination and id of the schema.
#[derive(Debug)]
pub(crate) struct Plans<D: Dialect>(HashMap<(Destination, u64), TablePlan<D>>);

/// So many plans are kept: tables times the versions of their schemas since the start.
const KEPT: usize = 10_000;

impl<D: Dialect> Plans<D> {
    pub(crate) fn new() -> Self {
        Plans(HashMap::new())
    }

    pub(crate) fn contains(&self, destination: &Destination, schema: &Schema) -> bool {
        self.0.contains_key(&(destination.clone(), schema.id()))
    }

    pub(crate) fn get_mut(
        &mut self,
        destination: &Destination,
        schema: &Schema,
    ) -> Option<&mut TablePlan<D>> {
        self.0.get_mut(&(destination.clone(), schema.id()))
    }

    pub(crate) fn insert(
        &mut self,
        destination: &Destination,
        schema: &Schema,
        plan: TablePlan<D>,
    ) {
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert((destination.clone(), schema.id()), plan);
    }

    /// Forgets all, after a transaction that did not commit: tables may not be what was planned.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
