//! From the steps of a folded batch to statements with the rows they are run for.

use std::sync::Arc;

use cdc_core::fold::{Key, KeyFold, Move, RowSet, RowWithoutKey, RowsWithoutKey, Write};
use cdc_core::{Row, ValueRef};

use super::dialect::Dialect;
use super::plan::{Purpose, TablePlan};
use super::statement::{Parameter, Statement};

/// What the parameters of a statement are taken from for one row.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Args<'r> {
    row: Option<&'r Row>,
    before: Option<&'r Row>,
    key: Option<&'r Key<'r>>,
    from: Option<&'r Key<'r>>,
}

impl<'r> Args<'r> {
    /// The value of a parameter; [`ValueRef::Unavailable`] where there is none, which no statement asks for.
    #[inline]
    pub(crate) fn value(&self, parameter: Parameter) -> ValueRef<'r> {
        match parameter {
            Parameter::Row(index) => self.row.and_then(|row| row.get(index)),
            Parameter::Before(index) => self.before.and_then(|row| row.get(index)),
            Parameter::Key(part) => self.key.and_then(|key| key.get(part)),
            Parameter::From(part) => self.from.and_then(|key| key.get(part)),
        }
        .unwrap_or(ValueRef::Unavailable)
    }
}

/// A statement and the rows it is run for.
#[derive(Debug)]
pub(crate) struct Run<'r> {
    pub(crate) statement: Arc<Statement>,
    pub(crate) rows: Vec<Args<'r>>,
}

/// The statements of a set: deletes, then puts, then patches by the columns that they set.
pub(crate) fn of_set<'r, D: Dialect>(
    dialect: &D,
    plan: &mut TablePlan<D>,
    set: &'r RowSet<'_>,
) -> Vec<Run<'r>> {
    let mut deletes = Vec::new();
    let mut puts = Vec::with_capacity(set.keys.len());
    let mut patches: Vec<(Box<[usize]>, Vec<Args<'r>>)> = Vec::new();
    let mut columns = Vec::new();
    for KeyFold { key, delete, write, .. } in &set.keys {
        if *delete {
            deletes.push(Args { key: Some(key), ..Args::default() });
        }
        match write {
            Write::Nothing => {}
            Write::Put(row) => {
                puts.push(Args { row: Some(row), key: Some(key), ..Args::default() })
            }
            Write::Patch(row) => {
                columns.clear();
                columns.extend(available(plan, row).filter(|&index| !plan.is_key(index)));
                if columns.is_empty() {
                    continue;
                }
                let args = Args { row: Some(row), key: Some(key), ..Args::default() };
                match patches.iter_mut().find(|(known, _)| **known == *columns) {
                    Some((_, rows)) => rows.push(args),
                    None => patches.push((columns.as_slice().into(), vec![args])),
                }
            }
        }
    }
    let mut runs = Vec::new();
    if !deletes.is_empty() {
        runs.push(Run { statement: plan.statement(dialect, Purpose::Delete), rows: deletes });
    }
    if !puts.is_empty() {
        runs.push(Run { statement: plan.statement(dialect, Purpose::Upsert), rows: puts });
    }
    for (columns, rows) in patches {
        runs.push(Run { statement: plan.patch(dialect, &columns), rows });
    }
    runs
}

fn available<D: Dialect>(plan: &TablePlan<D>, row: &Row) -> impl Iterator<Item = usize> {
    (0..row.len()).filter(|&index| {
        plan.is_writable(index) && row.get(index).is_some_and(|value| !value.is_unavailable())
    })
}

/// The statements of a move: run the first, then the second; where it changed no row, the third.
#[derive(Debug)]
pub(crate) struct MoveRuns<'r> {
    pub(crate) make_way: Run<'r>,
    pub(crate) relocate: Run<'r>,
    /// Only a complete row can be put where there was none to move.
    pub(crate) put: Option<Run<'r>>,
}

pub(crate) fn of_move<'r, D: Dialect>(
    dialect: &D,
    plan: &mut TablePlan<D>,
    moved: &'r Move<'_>,
) -> MoveRuns<'r> {
    let row: &'r Row = &moved.row;
    let args =
        Args { row: Some(row), key: Some(&moved.key), from: Some(&moved.from), before: None };
    // A key column is set even where the row itself lacks it.
    let columns: Vec<_> = (0..row.len())
        .filter(|&index| {
            let sent = row.get(index).is_some_and(|value| !value.is_unavailable());
            plan.is_writable(index) && (sent || plan.is_key(index))
        })
        .collect();
    let run = |statement| Run { statement, rows: vec![args] };
    MoveRuns {
        make_way: run(plan.statement(dialect, Purpose::MakeWay)),
        relocate: run(plan.relocate(dialect, &columns)),
        put: moved.complete.then(|| run(plan.statement(dialect, Purpose::Upsert))),
    }
}

/// The statements of rows without a key, in order; appended rows that follow each other are one run.
pub(crate) fn of_rows_without_key<'r, D: Dialect>(
    dialect: &D,
    plan: &mut TablePlan<D>,
    rows: &'r RowsWithoutKey<'_>,
) -> Vec<Run<'r>> {
    let mut runs: Vec<Run<'r>> = Vec::new();
    let mut appending = false;
    for row in &rows.rows {
        let (purpose, args) = match row {
            RowWithoutKey::Append { row, .. } => {
                (Purpose::Insert, Args { row: Some(row), ..Args::default() })
            }
            RowWithoutKey::Replace { before, after, .. } => (
                Purpose::ReplaceOne,
                Args { row: Some(after), before: Some(before), ..Args::default() },
            ),
            RowWithoutKey::Remove { before, .. } => {
                (Purpose::RemoveOne, Args { before: Some(before), ..Args::default() })
            }
        };
        match runs.last_mut() {
            Some(last) if appending && purpose == Purpose::Insert => last.rows.push(args),
            _ => runs.push(Run { statement: plan.statement(dialect, purpose), rows: vec![args] }),
        }
        appending = purpose == Purpose::Insert;
    }
    runs
}
