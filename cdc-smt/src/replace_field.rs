//! `ReplaceField`: fields left out and renamed.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{ChangeEvent, Properties, Result, Schema};

use crate::Side;
use crate::content::{Content, struct_in_place};
use crate::field_path::{self, FieldPath, FieldSyntax};
use crate::one_side::{OneSide, Place, one_side};
use crate::schema_cache::SchemaCache;
use crate::selection::{PathTree, Selected, Selection};

/// Leaves fields out and renames others (`org.apache.kafka.connect.transforms.ReplaceField`).
///
/// | option | default | |
/// |---|---|---|
/// | `exclude` | | fields to leave out; this wins over `include` |
/// | `include` | | the only fields to keep, by their old names |
/// | `renames` | | pairs `old:new`; the new name of a nested field is its last part |
/// | `field.syntax.version` | `V1` | see [`FieldSyntax`]; only here |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
/// use cdc_smt::{ReplaceField, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut replace = ReplaceField::new(Side::Value).include(["id"])?.rename("id", "order_id")?;
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// replace.apply(event, &mut out)?;
/// let row = out[0].value.as_row().unwrap();
/// assert_eq!(row.len(), 1);
/// assert!(row.by_name("order_id").is_some());
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReplaceField {
    place: Place,
    syntax: FieldSyntax,
    selection: Selection,
    schemas: SchemaCache<Arc<Selected>>,
}

one_side!(ReplaceField, "ReplaceField", replacing_nulls);

impl ReplaceField {
    /// A transform of keys or values that keeps everything.
    pub fn new(side: Side) -> Self {
        ReplaceField {
            place: Place::new(side),
            syntax: FieldSyntax::V1,
            selection: Selection::default(),
            schemas: SchemaCache::default(),
        }
    }

    /// How names that are given after this are read.
    #[must_use]
    pub fn syntax(mut self, syntax: FieldSyntax) -> Self {
        self.syntax = syntax;
        self
    }

    /// Leaves out these fields.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn exclude<'a>(mut self, fields: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        self.selection.exclude = PathTree::of(&FieldPath::all(fields, self.syntax)?);
        Ok(self)
    }

    /// Keeps these fields alone.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn include<'a>(mut self, fields: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let fields = FieldPath::all(fields, self.syntax)?;
        self.selection.include = (!fields.is_empty()).then(|| PathTree::of(&fields));
        Ok(self)
    }

    /// Renames a field.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn rename(mut self, field: &str, name: &str) -> Result<Self> {
        self.selection.renames.rename(&FieldPath::new(field, self.syntax)?, name);
        Ok(self)
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let list = |name: &str| properties.list(name);
        let renames = list("renames");
        let mut replace = Self::new(side)
            .profile(profile)
            .syntax(FieldSyntax::from_properties(properties)?)
            .exclude(list("exclude").iter().map(String::as_str))?
            .include(list("include").iter().map(String::as_str))?
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?);
        for rename in &renames {
            let (field, name) = field_path::pair("renames", &renames, rename)?;
            replace = replace.rename(field, name)?;
        }
        Ok(replace)
    }

    fn selected(&mut self, schema: &Schema) -> Result<&Selected> {
        let selection = &self.selection;
        self.schemas
            .get_ref(schema.id(), || selection.select(schema).map(Arc::new))
            .map(|selected| &**selected)
    }
}

impl OneSide for ReplaceField {
    fn place(&self) -> &Place {
        &self.place
    }

    #[inline]
    fn in_place(&mut self, event: &mut ChangeEvent) -> Result<bool> {
        let replace_null = self.place.replace_null;
        let Some(row) = struct_in_place(event, self.place.side) else { return Ok(false) };
        self.selected(row.schema())?.row_in_place(row, replace_null).map(|()| true)
    }

    fn content(&mut self, content: Content, _event: &mut ChangeEvent) -> Result<Content> {
        const PURPOSE: &str = "field replacement";
        match content {
            content if content.is_null() => Ok(content),
            Content::Schemaless(_) => {
                let entries = content.require_map(PURPOSE, &self.place.profile)?;
                Ok(Content::Schemaless(self.selection.map(&entries)))
            }
            content => {
                let row = content.require_struct(PURPOSE, &self.place.profile)?;
                let replace_null = self.place.replace_null;
                self.selected(row.schema())?.row(row, replace_null).map(Content::Struct)
            }
        }
    }

    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        Ok(Arc::clone(self.selected(schema)?.schema()))
    }
}
