//! Which fields stay and what they are called, in nested structs and maps too.

use std::sync::Arc;

use cdc_core::{DataType, Field, Result, Row, Schema, Value};

use crate::content::{Defaults, fill_defaults};
use crate::derive::with_fields;
use crate::field_path::{FieldPath, put};

/// Paths as a tree of names.
#[derive(Debug, Clone, Default)]
pub(crate) struct PathTree {
    ends: bool,
    renamed: Option<Arc<str>>,
    children: Vec<(String, PathTree)>,
}

impl PathTree {
    pub(crate) fn of(paths: &[FieldPath]) -> Self {
        let mut tree = PathTree::default();
        for path in paths {
            tree.at(path).ends = true;
        }
        tree
    }

    /// The new name of what is at a path.
    pub(crate) fn rename(&mut self, path: &FieldPath, name: &str) {
        self.at(path).renamed = Some(name.into());
    }

    fn at(&mut self, path: &FieldPath) -> &mut PathTree {
        let mut tree = self;
        for step in path.steps() {
            let at = match tree.children.iter().position(|(name, _)| name == step) {
                Some(at) => at,
                None => {
                    tree.children.push((step.clone(), PathTree::default()));
                    tree.children.len() - 1
                }
            };
            tree = &mut tree.children[at].1;
        }
        tree
    }

    fn child(&self, name: &str) -> Option<&PathTree> {
        self.children.iter().find(|(child, _)| child == name).map(|(_, tree)| tree)
    }
}

/// What is excluded, what is included (all, without anything), and new names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    pub(crate) exclude: PathTree,
    pub(crate) include: Option<PathTree>,
    pub(crate) renames: PathTree,
}

/// A part of a selection, for one level.
#[derive(Clone, Copy)]
struct Level<'a> {
    exclude: Option<&'a PathTree>,
    include: Option<&'a PathTree>,
    renames: Option<&'a PathTree>,
}

/// A field that stays: its new name, and the level inside it, where that is not all.
struct Kept<'a> {
    name: Option<&'a Arc<str>>,
    inside: Option<Level<'a>>,
}

impl<'a> Level<'a> {
    fn field(self, name: &str) -> Option<Kept<'a>> {
        let exclude = self.exclude.and_then(|tree| tree.child(name));
        if exclude.is_some_and(|tree| tree.ends) {
            return None;
        }
        let include = match self.include {
            Some(tree) => Some(tree.child(name)?).filter(|tree| !tree.ends),
            None => None,
        };
        let renames = self.renames.and_then(|tree| tree.child(name));
        let inside = Level { exclude, include, renames };
        let anything = [exclude, renames].into_iter().flatten().any(|t| !t.children.is_empty());
        Some(Kept {
            name: renames.and_then(|tree| tree.renamed.as_ref()),
            inside: (anything || include.is_some()).then_some(inside),
        })
    }
}

/// A selection for one schema.
#[derive(Debug)]
pub(crate) struct Selected {
    schema: Arc<Schema>,
    /// The old index of each field.
    kept: Arc<[usize]>,
    /// Whether every field stays in its place.
    all: bool,
    defaults: Defaults,
    /// What is selected inside, by the new index.
    inside: Vec<(usize, Selected)>,
}

impl Selection {
    fn level(&self) -> Level<'_> {
        Level {
            exclude: Some(&self.exclude),
            include: self.include.as_ref(),
            renames: Some(&self.renames),
        }
    }

    /// What becomes of a schema. The result is required, as in Connect.
    pub(crate) fn select(&self, schema: &Schema) -> Result<Selected> {
        let mut selected = select(self.level(), schema)?;
        if selected.schema.is_optional() {
            selected.schema = selected.schema.to_builder().optional(false).build()?;
        }
        Ok(selected)
    }

    /// What becomes of a schemaless map.
    pub(crate) fn map(&self, entries: &[(Value, Value)]) -> Value {
        map(self.level(), entries)
    }
}

fn select(level: Level<'_>, schema: &Schema) -> Result<Selected> {
    let mut fields: Vec<Field> = Vec::with_capacity(schema.fields().len());
    let (mut kept, mut defaults, mut insides) = (Vec::new(), Vec::new(), Vec::new());
    for (index, field) in schema.fields().iter().enumerate() {
        let Some(stays) = level.field(&field.name) else { continue };
        let mut field = field.clone();
        if let Some(name) = stays.name {
            field.name = Arc::clone(name);
        }
        if let Some(default) = &field.value_type.default {
            defaults.push((kept.len(), default.clone()));
        }
        if let (Some(level), DataType::Struct(nested)) = (stays.inside, &field.value_type.data_type)
        {
            let selected = select(level, nested)?;
            field.value_type.data_type = DataType::Struct(Arc::clone(&selected.schema));
            field.value_type.default = None;
            insides.push((kept.len(), selected));
        }
        fields.push(field);
        kept.push(index);
    }
    let old = schema.fields().len();
    let schema = with_fields(schema, fields, |name| {
        let stays = level.field(name)?;
        Some(stays.name.map_or_else(|| name.into(), Arc::clone))
    })?;
    let all = kept.len() == old;
    Ok(Selected { schema, kept: kept.into(), all, defaults, inside: insides })
}

fn map(level: Level<'_>, entries: &[(Value, Value)]) -> Value {
    let mut out = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let Value::Text(name) = key else {
            out.push((key.clone(), value.clone()));
            continue;
        };
        let Some(stays) = level.field(name) else { continue };
        let value = match (stays.inside, value) {
            (Some(level), Value::Map(entries)) => map(level, entries),
            (_, value) => value.clone(),
        };
        put(&mut out, stays.name.map_or(name, |name| name), value);
    }
    Value::Map(out.into())
}

impl Selected {
    pub(crate) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The fields of the row that stay.
    pub(crate) fn row(&self, mut row: Row, replace_null: bool) -> Result<Row> {
        self.row_in_place(&mut row, replace_null)?;
        Ok(row)
    }

    /// The same where the row stands.
    #[inline]
    pub(crate) fn row_in_place(&self, selected: &mut Row, replace_null: bool) -> Result<()> {
        let schema = Arc::clone(&self.schema);
        match self.all {
            true => selected.set_schema(schema)?,
            false => selected.narrow(schema, &self.kept)?,
        }
        if replace_null {
            fill_defaults(selected, &self.defaults);
        }
        for (at, inside) in &self.inside {
            if let Some(Value::Struct(row)) = selected.value(*at) {
                selected.set(*at, Value::Struct(inside.row(row, false)?));
            }
        }
        Ok(())
    }
}
