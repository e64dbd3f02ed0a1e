//! What is shown of a row: columns left out, masked, hashed or cut, keys of other columns, updates that change nothing.
//!
//! It is the last step before events leave the source, for rows of a copy and of the log alike. What it hides is in no
//! event: neither in the row nor in the row before. The record's key alone has its columns as the database has them, as
//! in Debezium: see [`RecordKeys`].

mod hash;
mod mask;
mod rules;

use std::collections::HashMap;
use std::sync::Arc;

use cdc_core::connect::complete_before;
use cdc_core::{
    Change, ChangeEvent, ConnectAttributes, DataType, Operation, Payload, RecordKeys, Row, Schema,
    Value,
};

pub use hash::HashAlgorithm;
pub(crate) use hash::HashVersion;
pub(crate) use mask::Mask;
pub(crate) use rules::{KeyColumns, MessagePrefixes, ShapeRules};

use crate::error::PostgresError;

/// Applies the rules to events.
#[derive(Debug)]
pub(crate) struct Shaper {
    /// `None` where there is nothing to do.
    rules: Option<Arc<ShapeRules>>,
    views: HashMap<u64, Arc<View>>,
}

/// How many schemas are kept; more than that are not in use at once.
const KEPT_VIEWS: usize = 1_024;

/// A table's schema under the rules.
#[derive(Debug)]
struct View {
    /// What is shown.
    schema: Arc<Schema>,
    /// The columns that are shown: where they stand in the table, and how they are masked.
    columns: Vec<(usize, Option<(Mask, DataType)>)>,
    /// Nothing is hidden, masked or keyed otherwise.
    is_whole: bool,
    /// The whole schema with the key of the records, where the shown rows do not have that key.
    record_keys: Option<Arc<Schema>>,
}

impl Shaper {
    pub(crate) fn new(rules: &Arc<ShapeRules>) -> Self {
        let rules = (!rules.is_empty()).then(|| Arc::clone(rules));
        Shaper { rules, views: HashMap::new() }
    }

    /// Whether there is anything to do.
    pub(crate) fn has_rules(&self) -> bool {
        self.rules.is_some()
    }

    /// The event as it is shown; `None` when it is not.
    pub(crate) fn shape(
        &mut self,
        event: ChangeEvent,
    ) -> Result<Option<ChangeEvent>, PostgresError> {
        let Some(rules) = self.rules.clone() else { return Ok(Some(event)) };
        match &event.value {
            Payload::Message(message) => {
                return Ok(rules.messages.wants(&message.prefix).then_some(event));
            }
            Payload::Change(_) => {}
            _ => return Ok(Some(event)),
        }
        let failed = |error: cdc_core::Error| PostgresError::Shape { reason: error.to_string() };
        self.change(event, &rules).map_err(failed)
    }

    fn change(
        &mut self,
        mut event: ChangeEvent,
        rules: &ShapeRules,
    ) -> cdc_core::Result<Option<ChangeEvent>> {
        let Payload::Change(change) = &event.value else { return Ok(Some(event)) };
        let view = self.view(&change.schema, rules)?;
        let shown = if view.is_whole { None } else { Some(view.change(change)?) };
        let result = shown.as_ref().unwrap_or(change);
        if rules.skip_unchanged && changes_nothing(result) {
            return Ok(None);
        }
        if let Some(change) = shown {
            event.key = change.record_key().map_or(Payload::Absent, Payload::row);
            event.value = Payload::Change(change);
        }
        Ok(Some(event))
    }

    fn view(&mut self, schema: &Arc<Schema>, rules: &ShapeRules) -> cdc_core::Result<Arc<View>> {
        if let Some(view) = self.views.get(&schema.id()) {
            return Ok(Arc::clone(view));
        }
        let view = Arc::new(View::new(schema, rules)?);
        if self.views.len() >= KEPT_VIEWS {
            self.views.clear();
        }
        self.views.insert(schema.id(), Arc::clone(&view));
        Ok(view)
    }
}

impl View {
    fn new(schema: &Arc<Schema>, rules: &ShapeRules) -> cdc_core::Result<Self> {
        let Some(table) = schema.table() else {
            return Ok(View::whole(schema));
        };
        let configured = rules.key(table, schema).map_err(|column| {
            cdc_core::Error::configuration(format!("{table} has no column {column:?} for its key"))
                .remedy("name the columns of the key as the table has them")
        })?;
        let key: Vec<Arc<str>> = configured.clone().unwrap_or_else(|| {
            schema
                .key()
                .iter()
                .filter_map(|&at| schema.field(at))
                .map(|f| Arc::clone(&f.name))
                .collect()
        });
        let mut fields = Vec::new();
        let mut columns = Vec::new();
        let mut key_is_shown = true;
        for (index, field) in schema.fields().iter().enumerate() {
            let in_key = key.contains(&field.name);
            let warn = |how: &str| {
                if in_key {
                    tracing::warn!(%table, column = %field.name, "a column of the key is {how}; the key of its records shows it");
                }
            };
            if !rules.shows(table, &field.name) {
                key_is_shown &= !in_key;
                warn("left out");
                continue;
            }
            let mut shown = field.clone();
            let mask = rules.mask(table, &field.name, field.data_type()).cloned();
            if let Some(mask) = &mask {
                key_is_shown &= !in_key;
                warn("masked");
                mask_field(&mut shown, mask);
            }
            columns.push((index, mask.map(|mask| (mask, shown.data_type().clone()))));
            fields.push(shown);
        }
        let is_masked = columns.iter().any(|(_, mask)| mask.is_some());
        if columns.len() == schema.fields().len() && !is_masked && configured.is_none() {
            return Ok(View::whole(schema));
        }
        let has = |name: &Arc<str>| fields.iter().any(|field| field.name == *name);
        let shown_key = if key.iter().all(has) { key.clone() } else { Vec::new() };
        let mut shown = Schema::builder().table(table.clone()).fields(fields).key(shown_key);
        if let Some(comment) = schema.comment() {
            shown = shown.comment(comment);
        }
        // With columns that are no identity of the table the server sends the key before in part or not at all.
        let record_keys = if key.is_empty() || (key_is_shown && configured.is_none()) {
            None
        } else {
            Some(schema.to_builder().key(key).build()?)
        };
        Ok(View { schema: shown.build()?, columns, is_whole: false, record_keys })
    }

    fn whole(schema: &Arc<Schema>) -> Self {
        View { schema: Arc::clone(schema), columns: Vec::new(), is_whole: true, record_keys: None }
    }

    fn change(&self, change: &Change) -> cdc_core::Result<Change> {
        let shown = |row: &Option<Row>| row.as_ref().map(|row| self.row(row)).transpose();
        Ok(Change {
            operation: change.operation,
            schema: Arc::clone(&self.schema),
            before: shown(&change.before)?,
            after: shown(&change.after)?,
            transaction: change.transaction,
            record_keys: self.record_keys(change)?.map(Arc::new),
        })
    }

    fn row(&self, row: &Row) -> cdc_core::Result<Row> {
        let values = self
            .columns
            .iter()
            .map(|(index, mask)| {
                let masked = mask
                    .as_ref()
                    .and_then(|(mask, data_type)| mask.apply(row.get(*index)?, data_type));
                masked.or_else(|| row.value(*index)).unwrap_or(Value::Unavailable)
            })
            .collect();
        Row::new(Arc::clone(&self.schema), values)
    }

    /// The keys of the records of a change, as Debezium has them: what the server did not send is NULL, or empty.
    fn record_keys(&self, change: &Change) -> cdc_core::Result<Option<RecordKeys>> {
        let Some(schema) = &self.record_keys else { return Ok(None) };
        let keyed = |row: &Option<Row>| {
            row.as_ref().map(|row| row.with_schema(Arc::clone(schema))).transpose()
        };
        let keyed = Change {
            schema: Arc::clone(schema),
            before: keyed(&change.before)?,
            after: keyed(&change.after)?,
            ..change.clone()
        };
        let Some(new) = keyed.key().map(|key| complete_before(&key)) else { return Ok(None) };
        let old = keyed
            .before
            .as_ref()
            .filter(|_| change.operation == Operation::Update)
            .and_then(Row::key)
            .map(|key| complete_before(&key))
            .filter(|old| *old != new);
        Ok(Some(RecordKeys { old, new }))
    }
}

/// The parameter that says how a column is masked, and room for what is shown instead.
fn mask_field(field: &mut cdc_core::Field, mask: &Mask) {
    let mut attributes = match &field.value_type.connect {
        Some(attributes) => ConnectAttributes::clone(attributes),
        None => ConnectAttributes::default(),
    };
    attributes.parameters.push(mask.parameter());
    field.value_type.connect = Some(Arc::new(attributes));
    if let (Mask::Fixed(text), DataType::Text { max_length: Some(most), .. }) =
        (mask, &mut field.value_type.data_type)
    {
        *most = (*most).max(u32::try_from(text.len()).unwrap_or(u32::MAX));
    }
    // What a column may hold by itself is masked like the rest.
    let data_type = field.value_type.data_type.clone();
    let default = field.value_type.default.take().filter(|_| !matches!(mask, Mask::Fixed(_)));
    field.value_type.default =
        default.map(|default| mask.apply(default.as_ref(), &data_type).unwrap_or(default));
    field.default_expression = None;
}

/// An update whose row before is whole and shows the same.
fn changes_nothing(change: &Change) -> bool {
    if change.operation != Operation::Update || change.old_record_key().is_some() {
        return false;
    }
    let Some(before) = change.before.as_ref().filter(|before| before.is_complete()) else {
        return false;
    };
    change.completed_after().is_some_and(|after| after == *before)
}

#[cfg(test)]
mod tests;
