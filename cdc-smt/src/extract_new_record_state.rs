//! `ExtractNewRecordState`: rows instead of envelopes, Debezium's "unwrap".

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, complete_before};
use cdc_core::{
    Change, ChangeEvent, DataType, Destination, Error, Field, Header, Operation, Payload,
    Properties, Result, Row, Schema, TableMapping, Transform, Value, ValueRef, ValueType,
};

use crate::added_field::{AddedField, Path};
use crate::content::{Content, Side, defaults_of, fill_defaults, or_default, struct_type};
use crate::derive::{plain, with_fields};
use crate::envelope::is_envelope;
use crate::options;
use crate::schema_cache::SchemaCache;

/// What becomes of deletes and tombstones: `delete.tombstone.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DeleteHandling {
    /// Deletes and tombstones are dropped (`drop`).
    Drop,
    /// A delete becomes a null value under the row's schema, its tombstone is dropped (`tombstone`).
    #[default]
    Tombstone,
    /// A delete becomes the row before, and every row says in `__deleted` whether it is gone; tombstones are dropped
    /// (`rewrite`).
    Rewrite,
    /// The same, and tombstones are kept (`rewrite-with-tombstone`).
    RewriteWithTombstone,
    /// A delete becomes a tombstone, its own is dropped (`delete-to-tombstone`).
    DeleteToTombstone,
}

impl DeleteHandling {
    fn rewrites(self) -> bool {
        matches!(self, DeleteHandling::Rewrite | DeleteHandling::RewriteWithTombstone)
    }
}

/// Takes the row out of a change: after it, or before it where it was deleted
/// (`io.debezium.transforms.ExtractNewRecordState`).
///
/// | option | default | |
/// |---|---|---|
/// | `delete.tombstone.handling.mode` | `tombstone` | see [`DeleteHandling`] |
/// | `add.fields` | | fields of the envelope to add to the row: `op`, `table`, `source.ts_ms`, `lsn:position` |
/// | `add.fields.prefix` | `__` | what their names begin with |
/// | `add.headers`, `add.headers.prefix` | `__` | the same as headers |
/// | `route.by.field` | | the column that names the destination |
/// | `drop.fields.header.name` | | the header that lists columns to drop |
/// | `drop.fields.from.key` | `false` | whether they are dropped from the key too |
/// | `drop.fields.keep.schema.compatible` | `true` | whether columns that allow no NULL stay |
/// | `replace.null.with.default` | `true` | whether a NULL becomes the column's default where the row is copied |
///
/// The row itself is shared, not copied, unless fields are added or dropped. TRUNCATE is dropped, and what is no change
/// passes. A table that announces itself goes on with the schema that its rows will have.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::ExtractNewRecordState;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut unwrap = ExtractNewRecordState::new();
/// let order = shop::order(1, "pen");
/// let event = ChangeEvent::change(Destination::named("orders"), Change::create(order.clone()), some_origin());
/// let mut out = Vec::new();
/// unwrap.apply(event, &mut out)?;
/// assert_eq!(out[0].value.as_row(), Some(&order));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExtractNewRecordState {
    profile: ConnectProfile,
    deletes: DeleteHandling,
    fields: Vec<AddedField>,
    headers: Vec<AddedField>,
    route_by: Option<String>,
    drop_header: Option<String>,
    drop_from_key: bool,
    drop_compatible: bool,
    replace_null: bool,
    derived: SchemaCache<Arc<Derived>>,
}

/// What is made of the schema of an envelope.
#[derive(Debug)]
struct Derived {
    /// The schema of rows.
    schema: Arc<Schema>,
    /// The type of a null in the place of a row.
    null: Arc<ValueType>,
    after: usize,
    before: Option<usize>,
    op: Option<usize>,
    fields: Vec<Path>,
    headers: Vec<(Arc<str>, Arc<ValueType>, Path)>,
}

impl Default for ExtractNewRecordState {
    fn default() -> Self {
        Self::new()
    }
}

impl ExtractNewRecordState {
    /// The transform with Debezium's defaults.
    pub fn new() -> Self {
        ExtractNewRecordState {
            profile: ConnectProfile::default(),
            deletes: DeleteHandling::default(),
            fields: Vec::new(),
            headers: Vec::new(),
            route_by: None,
            drop_header: None,
            drop_from_key: false,
            drop_compatible: true,
            replace_null: true,
            derived: SchemaCache::default(),
        }
    }

    /// The handling modes of the chain; without them Debezium's defaults.
    #[must_use]
    pub fn profile(mut self, profile: &ConnectProfile) -> Self {
        self.profile = profile.clone();
        self
    }

    /// What becomes of deletes and tombstones.
    #[must_use]
    pub fn deletes(mut self, handling: DeleteHandling) -> Self {
        self.deletes = handling;
        self
    }

    /// Adds fields of the envelope to the row, `op` or `source.ts_ms:time`, their names behind a prefix.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a name that is none.
    pub fn add_fields<'a>(
        mut self,
        prefix: &str,
        fields: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        self.fields = AddedField::parse_all(prefix, fields)?;
        Ok(self)
    }

    /// Adds fields of the envelope as headers.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a name that is none.
    pub fn add_headers<'a>(
        mut self,
        prefix: &str,
        fields: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        self.headers = AddedField::parse_all(prefix, fields)?;
        Ok(self)
    }

    /// The text column that names the destination.
    #[must_use]
    pub fn route_by_field(mut self, field: impl Into<String>) -> Self {
        self.route_by = Some(field.into());
        self
    }

    /// Drops the columns that a header lists; from the key too, and also those that allow no NULL, where wanted.
    #[must_use]
    pub fn drop_fields_of_header(
        mut self,
        header: impl Into<String>,
        from_key: bool,
        keep_schema_compatible: bool,
    ) -> Self {
        self.drop_header = Some(header.into());
        self.drop_from_key = from_key;
        self.drop_compatible = keep_schema_compatible;
        self
    }

    /// Whether a NULL becomes the column's default where the row is copied.
    #[must_use]
    pub fn replace_null_with_default(mut self, replace: bool) -> Self {
        self.replace_null = replace;
        self
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a value that an option cannot have.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let modes =
            ["drop", "tombstone", "rewrite", "rewrite-with-tombstone", "delete-to-tombstone"];
        let name = "delete.tombstone.handling.mode";
        let deletes = match options::debezium_word(properties, name, &modes, "tombstone")? {
            "drop" => DeleteHandling::Drop,
            "rewrite" => DeleteHandling::Rewrite,
            "rewrite-with-tombstone" => DeleteHandling::RewriteWithTombstone,
            "delete-to-tombstone" => DeleteHandling::DeleteToTombstone,
            _ => DeleteHandling::Tombstone,
        };
        let names = |option: &str| properties.string(option, "");
        let prefix = |option: &str| properties.string(option, "__");
        let (fields, headers) = (names("add.fields"), names("add.headers"));
        let mut transform = Self::new()
            .profile(profile)
            .deletes(deletes)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?)
            .add_fields(&prefix("add.fields.prefix"), fields.split(','))?
            .add_headers(&prefix("add.headers.prefix"), headers.split(','))?;
        transform.drop_header = filled(properties, "drop.fields.header.name");
        transform.drop_from_key = properties.bool("drop.fields.from.key", false)?;
        transform.drop_compatible = properties.bool("drop.fields.keep.schema.compatible", true)?;
        transform.route_by = filled(properties, "route.by.field");
        Ok(transform)
    }

    fn derived(&mut self, id: u64, envelope: &Arc<Schema>) -> Result<Arc<Derived>> {
        let (fields, headers) = (&self.fields, &self.headers);
        let rewrites = self.deletes.rewrites();
        self.derived.get(id, || Derived::new(envelope, fields, headers, rewrites).map(Arc::new))
    }

    /// A change whose parts nobody asked for: its row under the schema with its name.
    fn native(&mut self, mut event: ChangeEvent, change: Change) -> Result<Option<ChangeEvent>> {
        let (fields, headers) = (&self.fields, &self.headers);
        let (rewrites, profile) = (self.deletes.rewrites(), &self.profile);
        let derived = self.derived.get(change.schema.id(), || {
            let view = profile.view(&change.schema)?;
            Derived::new(view.envelope_schema(), fields, headers, rewrites).map(Arc::new)
        })?;
        let row = match change.operation {
            Operation::Table => {
                event.value = Payload::Change(Change::table(Arc::clone(&derived.schema)));
                return Ok(Some(event));
            }
            Operation::Truncate => return Ok(None),
            Operation::Delete => match change.before {
                Some(before) if self.deletes.rewrites() => complete_before(&before),
                before => {
                    self.route(&mut event, before.as_ref())?;
                    return Ok(self.deleted(event, &derived));
                }
            },
            _ if change.before.is_some() => match change.completed_after() {
                Some(after) => after,
                None => return Ok(None),
            },
            _ => match change.after {
                Some(after) => after,
                None => return Ok(None),
            },
        };
        self.route(&mut event, Some(&row))?;
        let deleted = change.operation == Operation::Delete;
        event.value = Payload::row(self.row(row, deleted, &derived, None)?);
        Ok(Some(event))
    }

    /// An envelope that is a struct.
    fn envelope(&mut self, mut event: ChangeEvent, envelope: &Row) -> Result<Option<ChangeEvent>> {
        let derived = self.derived(envelope.schema().id(), envelope.schema())?;
        let image = |index: usize| match envelope.value(index) {
            Some(Value::Struct(row)) => Some(row),
            _ => None,
        };
        if derived.op.and_then(|op| envelope.value(op)) == Some(Value::text("t")) {
            return Ok(None);
        }
        let after = image(derived.after);
        let deleted = after.is_none();
        let row = after.or_else(|| derived.before.and_then(image));
        self.route(&mut event, row.as_ref())?;
        let dropped = deleted && self.deletes == DeleteHandling::Drop;
        if !dropped {
            for (name, schema, path) in &derived.headers {
                event.headers.push(Header {
                    name: Arc::clone(name),
                    schema: Some(Arc::clone(schema)),
                    value: path.value(envelope),
                });
            }
        }
        match row {
            Some(row) if !deleted || self.deletes.rewrites() => {
                event.value = Payload::row(self.row(row, deleted, &derived, Some(envelope))?);
            }
            _ => match self.deleted(event, &derived) {
                Some(deleted) => event = deleted,
                None => return Ok(None),
            },
        }
        if let Some(header) = &self.drop_header
            && let Some(names) = listed_fields(&event, header)?
        {
            self.drop_fields(&mut event, &names)?;
        }
        Ok(Some(event))
    }

    /// The row with what is added to it.
    fn row(
        &self,
        row: Row,
        deleted: bool,
        derived: &Derived,
        envelope: Option<&Row>,
    ) -> Result<Row> {
        let rewrites = self.deletes.rewrites();
        if !rewrites && derived.fields.is_empty() {
            return row.into_schema(Arc::clone(&derived.schema));
        }
        let mut added = Vec::with_capacity(1 + derived.fields.len());
        if rewrites {
            const WORDS: [Value; 2] = [
                Value::Text(cdc_core::value::Text::from_static("false")),
                Value::Text(cdc_core::value::Text::from_static("true")),
            ];
            added.push(WORDS[usize::from(deleted)].clone());
        }
        if let Some(envelope) = envelope {
            added.extend(derived.fields.iter().map(|path| path.value(envelope)));
        }
        let defaults =
            if rewrites && self.replace_null { defaults_of(row.schema()) } else { Vec::new() };
        let mut extended = row.extend(Arc::clone(&derived.schema), added)?;
        fill_defaults(&mut extended, &defaults);
        Ok(extended)
    }

    fn deleted(&self, mut event: ChangeEvent, derived: &Derived) -> Option<ChangeEvent> {
        event.value = match self.deletes {
            DeleteHandling::Drop => return None,
            DeleteHandling::DeleteToTombstone => Payload::Absent,
            _ => Payload::Value { schema: Some(Arc::clone(&derived.null)), value: Value::Null },
        };
        Some(event)
    }

    fn tombstone(&self, mut event: ChangeEvent) -> Option<ChangeEvent> {
        if self.deletes != DeleteHandling::RewriteWithTombstone {
            return None;
        }
        if let Some(op) = self.headers.iter().find(|header| header.is_operation()) {
            event.headers.push(Header {
                name: op.name(),
                schema: Some(Arc::new(plain(DataType::TEXT, false))),
                value: Value::text("d"),
            });
        }
        Some(event)
    }

    fn route(&self, event: &mut ChangeEvent, row: Option<&Row>) -> Result<()> {
        let (Some(name), Some(row)) = (&self.route_by, row) else { return Ok(()) };
        match row.by_name(name) {
            None => Err(Error::data(format!("{name} is not a valid field name"))),
            Some(ValueRef::Text(text)) => {
                if !text.trim().is_empty() {
                    event.destination = Destination::named(text);
                }
                Ok(())
            }
            Some(ValueRef::Null | ValueRef::Unavailable) => Ok(()),
            Some(_) => Err(Error::data(format!("Field '{name}' is not of type STRING"))),
        }
    }

    fn drop_fields(&self, event: &mut ChangeEvent, names: &[String]) -> Result<()> {
        let without = |row: &Row, replace_null: bool| {
            let kept: Vec<usize> = row
                .schema()
                .fields()
                .iter()
                .enumerate()
                .filter(|(_, field)| {
                    !names.iter().any(|name| **name == *field.name)
                        || (self.drop_compatible && !field.value_type.optional)
                })
                .map(|(index, _)| index)
                .collect();
            let fields: Vec<Field> =
                kept.iter().filter_map(|&index| row.schema().field(index).cloned()).collect();
            let there = |name: &str| {
                fields.iter().find(|field| *field.name == *name).map(|f| Arc::clone(&f.name))
            };
            let schema = with_fields(row.schema(), fields.clone(), there)?;
            let values = kept.iter().zip(&fields).map(|(&index, field)| {
                or_default(row.value(index).unwrap_or_default(), &field.value_type, replace_null)
            });
            Row::new(schema, values.collect())
        };
        if let Payload::Value { value: Value::Struct(row), .. } = &event.value {
            event.value = Payload::row(without(row, self.replace_null)?);
        }
        if self.drop_from_key
            && let Payload::Value { value: Value::Struct(row), .. } = &event.key
        {
            let row = match row.schema().table() {
                Some(_) => self.profile.key(row)?,
                None => row.clone(),
            };
            event.key = Payload::row(without(&row, false)?);
        }
        Ok(())
    }
}

impl Derived {
    fn new(
        envelope: &Arc<Schema>,
        added: &[AddedField],
        headers: &[AddedField],
        rewrites: bool,
    ) -> Result<Self> {
        let unknown = || Error::data("Unknown field: after");
        let after = envelope.index_of("after").ok_or_else(unknown)?;
        let Some(DataType::Struct(image)) = envelope.field(after).map(Field::data_type) else {
            return Err(unknown());
        };
        let mut fields: Vec<Field> = image.fields().to_vec();
        if rewrites {
            fields.push(Field::new("__deleted", plain(DataType::TEXT, true)));
        }
        let mut paths = Vec::new();
        for field in added {
            if let Some((path, value_type)) = field.find(envelope)? {
                fields.push(Field::new(field.name(), value_type));
                paths.push(path);
            }
        }
        let mut header_paths = Vec::new();
        for header in headers {
            if let Some((path, value_type)) = header.find(envelope)? {
                header_paths.push((header.name(), Arc::new(value_type), path));
            }
        }
        let schema = with_fields(image, fields, |name| Some(name.into()))?;
        let schema = schema.to_builder().optional(false).build()?;
        let mut null = struct_type(image);
        null.optional = true;
        Ok(Derived {
            schema,
            null: Arc::new(null),
            after,
            before: envelope.index_of("before"),
            op: envelope.index_of("op"),
            fields: paths,
            headers: header_paths,
        })
    }
}

/// The names in the last header of this name; `None` without the header or names.
fn listed_fields(event: &ChangeEvent, header: &str) -> Result<Option<Vec<String>>> {
    let Some(found) = event.headers.iter().rfind(|found| *found.name == *header) else {
        return Ok(None);
    };
    let not_a_list =
        || Error::data(format!("the header {header} is not a list of the names of fields"));
    match &found.value {
        Value::Null => Ok(None),
        Value::Array(names) if names.values.is_empty() => Ok(None),
        Value::Array(names) => names
            .values
            .iter()
            .map(|name| match name {
                Value::Text(name) => Ok(name.to_string()),
                _ => Err(not_a_list()),
            })
            .collect::<Result<_>>()
            .map(Some),
        _ => Err(not_a_list()),
    }
}

/// A text option that is empty is not set.
fn filled(properties: &Properties, name: &str) -> Option<String> {
    properties.get(name).map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned)
}

impl Transform for ExtractNewRecordState {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let plain = self.fields.is_empty() && self.headers.is_empty() && self.drop_header.is_none();
        let result = match std::mem::replace(&mut event.value, Payload::Absent) {
            Payload::Change(change) if plain || change.operation == Operation::Table => {
                self.native(event, change)?
            }
            Payload::Change(change) => {
                event.value = Payload::Change(change);
                match Content::take(&mut event, Side::Value, &self.profile)? {
                    Content::Struct(row) => self.envelope(event, &row)?,
                    _ => None,
                }
            }
            value @ (Payload::Transaction(_) | Payload::Message(_)) => {
                event.value = value;
                Some(event)
            }
            value => match Content::of(value) {
                content if content.is_null() => {
                    content.put(&mut event, Side::Value);
                    self.tombstone(event)
                }
                Content::Struct(row) if is_envelope(row.schema()) => self.envelope(event, &row)?,
                content => {
                    content.put(&mut event, Side::Value);
                    Some(event)
                }
            },
        };
        out.extend(result);
        Ok(())
    }

    fn name(&self) -> &str {
        "ExtractNewRecordState"
    }

    fn tables(&self) -> TableMapping {
        match self.route_by {
            Some(_) => TableMapping::ByContent,
            None => TableMapping::BySchema,
        }
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
