//! Values of some fields changed in place, in nested structs and maps too.

use std::sync::Arc;

use cdc_core::{DataType, Field, Result, Row, Schema, Value, ValueRef, ValueType};

use crate::content::{Defaults, defaults_of, fill_defaults};
use crate::derive::with_fields;
use crate::field_path::FieldPath;

/// What is done to the fields of one schema; `L` says what to one of them.
#[derive(Debug)]
pub(crate) struct FieldEdits<L> {
    schema: Arc<Schema>,
    edits: Vec<(usize, Edit<L>)>,
    defaults: Defaults,
}

#[derive(Debug)]
enum Edit<L> {
    Leaf(L),
    Inside(FieldEdits<L>),
}

/// Gives the new type of a field and what is done to its values; the number is that of the path.
type PlanLeaf<'a, L> = &'a mut dyn FnMut(&Field, usize) -> Result<(ValueType, L)>;

impl<L> FieldEdits<L> {
    /// What is done under a schema. Paths that lead nowhere are passed over.
    pub(crate) fn plan(
        schema: &Arc<Schema>,
        paths: &[FieldPath],
        leaf: PlanLeaf<'_, L>,
    ) -> Result<Self> {
        let steps: Vec<(&[String], usize)> =
            paths.iter().enumerate().map(|(number, path)| (path.steps(), number)).collect();
        Self::level(schema, &steps, leaf)
    }

    fn level(
        schema: &Arc<Schema>,
        paths: &[(&[String], usize)],
        leaf: PlanLeaf<'_, L>,
    ) -> Result<Self> {
        let mut fields = schema.fields().to_vec();
        let mut edits = Vec::new();
        let defaults = defaults_of(schema);
        for (index, field) in fields.iter_mut().enumerate() {
            let here: Vec<(&[String], usize)> = paths
                .iter()
                .filter_map(|(steps, number)| match steps.split_first() {
                    Some((first, rest)) if **first == *field.name => Some((rest, *number)),
                    _ => None,
                })
                .collect();
            if let Some((_, number)) = here.iter().rfind(|(rest, _)| rest.is_empty()) {
                let (value_type, edit) = leaf(field, *number)?;
                field.value_type = value_type;
                edits.push((index, Edit::Leaf(edit)));
            } else if let (false, DataType::Struct(nested)) =
                (here.is_empty(), &field.value_type.data_type)
            {
                let inside = Self::level(nested, &here, leaf)?;
                field.value_type.data_type = DataType::Struct(Arc::clone(&inside.schema));
                field.value_type.default = None;
                edits.push((index, Edit::Inside(inside)));
            }
        }
        let schema = if fields == schema.fields() {
            Arc::clone(schema)
        } else {
            with_fields(schema, fields, |name| Some(name.into()))?
        };
        Ok(FieldEdits { schema, edits, defaults })
    }

    /// The schema of the changed structs.
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The same, required.
    pub(crate) fn required(mut self) -> Result<Self> {
        if self.schema.is_optional() {
            self.schema = self.schema.to_builder().optional(false).build()?;
        }
        Ok(self)
    }

    /// The row with its values changed; `edit` reads the old one in the row that it gets.
    pub(crate) fn row(
        &self,
        mut row: Row,
        replace_null: bool,
        edit: &mut dyn FnMut(&L, &Row, usize) -> Result<Value>,
    ) -> Result<Row> {
        self.row_in_place(&mut row, replace_null, edit)?;
        Ok(row)
    }

    /// The same where the row stands.
    pub(crate) fn row_in_place(
        &self,
        edited: &mut Row,
        replace_null: bool,
        edit: &mut dyn FnMut(&L, &Row, usize) -> Result<Value>,
    ) -> Result<()> {
        if !Arc::ptr_eq(edited.schema(), &self.schema) {
            edited.set_schema(Arc::clone(&self.schema))?;
        }
        if replace_null {
            fill_defaults(edited, &self.defaults);
        }
        for (index, what) in &self.edits {
            let value = match what {
                _ if matches!(edited.get(*index), Some(ValueRef::Unavailable)) => continue,
                Edit::Leaf(leaf) => edit(leaf, edited, *index)?,
                Edit::Inside(inside) => match edited.value(*index) {
                    Some(Value::Struct(row)) => Value::Struct(inside.row(row, false, edit)?),
                    _ => continue,
                },
            };
            edited.set(*index, value);
        }
        Ok(())
    }
}

/// Changes values in a schemaless map; what is not there is put as what `edit` makes of a null. The number is that of
/// the path.
pub(crate) fn edit_map(
    entries: &[(Value, Value)],
    paths: &[FieldPath],
    edit: &mut dyn FnMut(usize, Value) -> Result<Value>,
) -> Result<Value> {
    let mut entries = entries.to_vec();
    for (number, path) in paths.iter().enumerate() {
        edit_at(&mut entries, path.steps(), &mut |value| edit(number, value))?;
    }
    Ok(Value::Map(entries.into()))
}

fn edit_at(
    entries: &mut Vec<(Value, Value)>,
    steps: &[String],
    edit: &mut dyn FnMut(Value) -> Result<Value>,
) -> Result<()> {
    let Some((first, rest)) = steps.split_first() else { return Ok(()) };
    let found =
        entries.iter_mut().find(|(key, _)| matches!(key, Value::Text(key) if **key == **first));
    match found {
        Some((_, value)) if rest.is_empty() => *value = edit(std::mem::take(value))?,
        Some((_, Value::Map(nested))) => {
            let mut inside = nested.to_vec();
            edit_at(&mut inside, rest, edit)?;
            *nested = inside.into();
        }
        Some(_) => {}
        None if rest.is_empty() => {
            let value = edit(Value::Null)?;
            entries.push((Value::text(first.as_str()), value));
        }
        None => {}
    }
    Ok(())
}
