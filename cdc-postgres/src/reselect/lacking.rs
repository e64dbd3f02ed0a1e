//! Which rows of a batch lack values, and which. Without I/O.

use std::collections::HashMap;
use std::sync::Arc;

use cdc_core::java_pattern::JavaPattern;
use cdc_core::{Change, ChangeEvent, Operation, Payload, Schema, TableId, Value};

use crate::name_pattern::{NamePattern, any_of};

/// The columns that may be read again.
#[derive(Debug, Clone, Default)]
pub(crate) enum Selection {
    #[default]
    All,
    Only(Names),
    Except(Names),
}

/// Names of columns.
#[derive(Debug, Clone)]
pub(crate) enum Names {
    /// Patterns for `schema.table.column`.
    Patterns(Vec<NamePattern>),
    /// Java's regular expressions for `schema.table:column`, whatever the case.
    Expressions(Vec<JavaPattern>),
}

impl Names {
    fn contain(&self, table: &TableId, column: &str) -> bool {
        match self {
            Names::Patterns(patterns) => {
                patterns.iter().any(|pattern| pattern.matches_column(table, column))
            }
            // An expression that cannot be carried out chooses nothing.
            Names::Expressions(list) => any_of(list, &format!("{table}:{column}"), false),
        }
    }
}

impl Selection {
    fn contains(&self, table: &TableId, column: &str) -> bool {
        match self {
            Selection::All => true,
            Selection::Only(names) => names.contain(table, column),
            Selection::Except(names) => !names.contain(table, column),
        }
    }
}

/// Rows of one schema that lack values of the same columns.
#[derive(Debug)]
pub(super) struct Lacking {
    pub(super) table: Arc<TableId>,
    pub(super) schema: Arc<Schema>,
    /// Where the columns stand in the schema.
    pub(super) columns: Vec<usize>,
    /// The places of the events.
    pub(super) events: Vec<usize>,
}

/// Finds the rows that lack values.
#[derive(Debug, Clone)]
pub(super) struct Finder {
    pub(super) selection: Selection,
    pub(super) unavailable: bool,
    pub(super) null: bool,
    /// Where the selected columns of a schema stand.
    selected: HashMap<u64, Arc<[usize]>>,
}

/// How many schemas are kept; more than that are not in use at once.
const KEPT_SCHEMAS: usize = 1_024;

impl Finder {
    pub(super) fn new() -> Self {
        Finder {
            selection: Selection::All,
            unavailable: true,
            null: false,
            selected: HashMap::new(),
        }
    }

    /// The rows of a batch that lack values, in the order of the first of each kind.
    pub(super) fn find(&mut self, events: &[ChangeEvent]) -> Vec<Lacking> {
        let mut found: Vec<Lacking> = Vec::new();
        let mut places: HashMap<(u64, Vec<usize>), usize> = HashMap::new();
        for (place, event) in events.iter().enumerate() {
            let (Payload::Change(change), Some(table)) = (&event.value, &event.origin().table)
            else {
                continue;
            };
            let columns = self.lacked(change, table);
            if columns.is_empty() {
                continue;
            }
            let at = *places.entry((change.schema.id(), columns.clone())).or_insert_with(|| {
                let (table, schema) = (Arc::clone(table), Arc::clone(&change.schema));
                found.push(Lacking { table, schema, columns, events: Vec::new() });
                found.len() - 1
            });
            if let Some(lacking) = found.get_mut(at) {
                lacking.events.push(place);
            }
        }
        found
    }

    /// The columns whose values a change lacks. A row that a snapshot read is as it is.
    fn lacked(&mut self, change: &Change, table: &TableId) -> Vec<usize> {
        if !matches!(change.operation, Operation::Create | Operation::Update) {
            return Vec::new();
        }
        let Some(after) = &change.after else { return Vec::new() };
        if !self.null && (!self.unavailable || after.is_complete()) {
            return Vec::new();
        }
        let selected = self.selected(&change.schema, table);
        let before = |index| change.before.as_ref().and_then(|before| before.get(index));
        let lacks = |&index: &usize| {
            let Some(value) = after.get(index) else { return false };
            // With REPLICA IDENTITY FULL the row before has it.
            let unavailable = || before(index).is_none_or(|before| before.is_unavailable());
            self.null && value.is_null()
                || self.unavailable && value.is_unavailable() && unavailable()
        };
        selected.iter().copied().filter(lacks).collect()
    }

    fn selected(&mut self, schema: &Schema, table: &TableId) -> Arc<[usize]> {
        if let Some(selected) = self.selected.get(&schema.id()) {
            return Arc::clone(selected);
        }
        let names = schema.fields().iter().enumerate();
        let selected: Arc<[usize]> = names
            .filter(|(_, field)| self.selection.contains(table, &field.name))
            .map(|(index, _)| index)
            .collect();
        if self.selected.len() >= KEPT_SCHEMAS {
            self.selected.clear();
        }
        self.selected.insert(schema.id(), Arc::clone(&selected));
        selected
    }
}

/// The value of a column of the key: that of the record's key, which no mask hides; else of the row after, or before where it was
/// not sent because it did not change.
pub(super) fn key_value(change: &Change, column: &str) -> Option<Value> {
    let sent = |row: Option<&cdc_core::Row>| {
        row?.by_name(column).filter(|value| !value.is_unavailable()).map(|value| value.to_value())
    };
    sent(change.record_key().as_ref())
        .or_else(|| sent(change.after.as_ref()))
        .or_else(|| sent(change.before.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::testkit::some_origin;
    use cdc_core::{DataType, Destination, Field, Origin, Row};

    fn row(values: [Value; 3]) -> Row {
        let schema = Schema::builder()
            .table(TableId::new("public", "notes"))
            .fields([
                Field::required("id", DataType::Int32),
                Field::optional("note", DataType::TEXT),
                Field::optional("more", DataType::TEXT),
            ])
            .key(["id"])
            .build()
            .unwrap();
        Row::new(schema, values.to_vec()).unwrap()
    }

    fn event(change: Change) -> ChangeEvent {
        let table = Arc::new(TableId::new("public", "notes"));
        let origin = Origin { table: Some(Arc::clone(&table)), ..some_origin() };
        ChangeEvent::change(Destination::of_table(&table), change, origin)
    }

    fn lacked(finder: &mut Finder, change: Change) -> Vec<usize> {
        finder.find(&[event(change)]).pop().map(|lacking| lacking.columns).unwrap_or_default()
    }

    const GONE: Value = Value::Unavailable;

    #[test]
    fn what_was_not_sent_is_lacked_but_where_the_row_before_has_it() {
        let mut finder = Finder::new();
        let update = |before: Option<Row>| Change::update(before, row([1.into(), GONE, GONE]));
        assert_eq!(lacked(&mut finder, update(None)), [1, 2]);
        let full = row([1.into(), "n".into(), Value::Null]);
        assert!(lacked(&mut finder, update(Some(full))).is_empty());
        let key = row([1.into(), GONE, GONE]);
        assert_eq!(lacked(&mut finder, update(Some(key))), [1, 2]);
        assert!(lacked(&mut finder, Change::delete(row([1.into(), GONE, GONE]))).is_empty());
    }

    #[test]
    fn null_is_lacked_where_that_is_wanted_and_never_in_a_snapshot() {
        let create = || Change::create(row([1.into(), Value::Null, GONE]));
        let mut finder = Finder { null: true, unavailable: false, ..Finder::new() };
        assert_eq!(lacked(&mut finder, create()), [1]);
        assert!(lacked(&mut finder, Change::read(row([1.into(), Value::Null, GONE]))).is_empty());
        assert_eq!(lacked(&mut Finder { null: true, ..Finder::new() }, create()), [1, 2]);
        assert_eq!(lacked(&mut Finder::new(), create()), [2]);
    }

    #[test]
    fn columns_are_chosen_by_patterns_and_by_debeziums_expressions() {
        let update = || Change::update(None, row([1.into(), GONE, GONE]));
        let named = |selection| Finder { selection, ..Finder::new() };
        let pattern = || Names::Patterns(vec![NamePattern::column("public.*.note").unwrap()]);
        assert_eq!(lacked(&mut named(Selection::Only(pattern())), update()), [1]);
        assert_eq!(lacked(&mut named(Selection::Except(pattern())), update()), [2]);
        let list = JavaPattern::list("x", "PUBLIC.notes:more, public.other:note").unwrap();
        let names = Names::Expressions(list);
        assert_eq!(lacked(&mut named(Selection::Only(names)), update()), [2]);
    }

    #[test]
    fn rows_that_lack_the_same_are_found_together() {
        let both = Change::update(None, row([1.into(), GONE, GONE]));
        let schema = Arc::clone(&both.schema);
        let of = |values: [Value; 3]| {
            let row = Row::new(Arc::clone(&schema), values.to_vec()).unwrap();
            event(Change::update(None, row))
        };
        let whole = of([2.into(), "n".into(), "m".into()]);
        let events = [
            of([1.into(), GONE, GONE]),
            whole,
            of([3.into(), GONE, "m".into()]),
            of([4.into(), GONE, GONE]),
        ];
        let found = Finder::new().find(&events);
        let found: Vec<_> = found.iter().map(|l| (&l.columns[..], &l.events[..])).collect();
        assert_eq!(found, [(&[1, 2][..], &[0, 3][..]), (&[1][..], &[2][..])]);
    }

    #[test]
    fn a_key_column_that_was_not_sent_is_that_of_the_row_before() {
        let before = row([7.into(), "old".into(), GONE]);
        let change = Change::update(Some(before), row([GONE, GONE, "m".into()]));
        assert_eq!(key_value(&change, "id"), Some(7.into()));
        assert_eq!(key_value(&change, "note"), Some("old".into()));
        assert_eq!(key_value(&change, "none"), None);
    }
}
