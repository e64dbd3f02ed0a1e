//! Schemas: immutable, versioned, shared.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::data_type::{ConnectAttributes, DataType, ValueType};
use crate::value::Value;

/// The name of a table at its source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The schema, or the database in MySQL.
    pub schema: Arc<str>,
    /// The table.
    pub table: Arc<str>,
}

impl TableId {
    /// A name from its two parts, taken as they are: no quoting, no case folding.
    pub fn new(schema: impl Into<Arc<str>>, table: impl Into<Arc<str>>) -> Self {
        TableId { schema: schema.into(), table: table.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

/// A column or field of a [`Schema`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Field {
    /// The name, exactly as the source has it.
    pub name: Arc<str>,
    /// The type, whether NULL is allowed, the default.
    pub value_type: ValueType,
    /// The type as the source names it.
    pub native: Option<NativeType>,
    /// The default as an expression of the source, where it is not a constant.
    pub default_expression: Option<Arc<str>>,
    /// The comment on the column.
    pub comment: Option<Arc<str>>,
    /// It is a part of the key that a transform added to rows of a table: targets that keep rows have it as a column, and
    /// Debezium's records show it in the key alone.
    pub key_only: bool,
}

impl Field {
    /// A field that allows no NULL.
    pub fn required(name: impl Into<Arc<str>>, data_type: DataType) -> Self {
        Self::new(name, ValueType::required(data_type))
    }

    /// A field that allows NULL.
    pub fn optional(name: impl Into<Arc<str>>, data_type: DataType) -> Self {
        Self::new(name, ValueType::optional(data_type))
    }

    /// A field of any type.
    pub fn new(name: impl Into<Arc<str>>, value_type: ValueType) -> Self {
        Field {
            name: name.into(),
            value_type,
            native: None,
            default_expression: None,
            comment: None,
            key_only: false,
        }
    }

    /// The type without its attributes.
    pub fn data_type(&self) -> &DataType {
        &self.value_type.data_type
    }
}

/// A type in the words of its source, for `column.propagate.source.type` and for targets of the same kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NativeType {
    /// The full name with modifiers, such as `numeric(10,2)` or `shop.mood`.
    pub name: Arc<str>,
    /// The length or precision of the modifiers.
    pub length: Option<i32>,
    /// The scale of the modifiers.
    pub scale: Option<i32>,
}

/// The shape of a row, a key or a nested struct at one position of the log.
///
/// A schema never changes: a new version of a table has a new schema with a new [`id`](Schema::id), so that
/// everything compiled from a schema can be cached by its id. Schemas are shared as `Arc<Schema>`.
///
/// ```
/// use cdc_core::{DataType, Field, Schema, TableId};
///
/// let orders = Schema::builder()
///     .table(TableId::new("public", "orders"))
///     .field(Field::required("id", DataType::Int64))
///     .field(Field::optional("note", DataType::TEXT))
///     .key(["id"])
///     .build()?;
/// assert_eq!(orders.index_of("note"), Some(1));
/// assert_eq!(orders.key_schema().map(|key| key.fields().len()), Some(1));
/// # Ok::<(), cdc_core::Error>(())
/// ```
pub struct Schema {
    id: u64,
    table: Option<TableId>,
    fields: Vec<Field>,
    key: Arc<[usize]>,
    by_name: OnceLock<HashMap<Arc<str>, usize>>,
    optional: bool,
    connect: Option<Arc<ConnectAttributes>>,
    logical_name: Option<Arc<str>>,
    comment: Option<Arc<str>>,
    key_schema: OnceLock<Option<Arc<Schema>>>,
    /// Of a key's schema: where its fields are in the row.
    projection: Option<Arc<[usize]>>,
}

/// Up to here a linear search beats hashing the name.
const LINEAR_SEARCH: usize = 12;

impl Schema {
    /// Starts a schema.
    pub fn builder() -> SchemaBuilder {
        SchemaBuilder::default()
    }

    /// A number that no other schema of this process has.
    #[inline]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The table whose rows it describes; `None` for keys, nested structs and records from elsewhere.
    #[inline]
    pub fn table(&self) -> Option<&TableId> {
        self.table.as_ref()
    }

    /// The fields in the order of the source.
    #[inline]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field at an index.
    pub fn field(&self, index: usize) -> Option<&Field> {
        self.fields.get(index)
    }

    /// The index of the field with this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        if self.fields.len() <= LINEAR_SEARCH {
            return self.fields.iter().position(|field| &*field.name == name);
        }
        let by_name = self.by_name.get_or_init(|| {
            self.fields
                .iter()
                .enumerate()
                .rev()
                .map(|(i, field)| (Arc::clone(&field.name), i))
                .collect()
        });
        by_name.get(name).copied()
    }

    /// The indices of the key's columns in the order of the key, which need not be that of the columns; empty without a key.
    pub fn key(&self) -> &[usize] {
        &self.key
    }

    /// Whether it is the schema of a key that is a view of its row.
    pub(crate) fn is_of_key(&self) -> bool {
        self.projection.is_some()
    }

    /// Whether rows are told apart by a key.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// Whether the column at an index belongs to the key.
    pub fn is_key(&self, index: usize) -> bool {
        self.key.contains(&index)
    }

    /// The schema of the key alone, made once; `None` without a key.
    pub fn key_schema(&self) -> Option<&Arc<Schema>> {
        self.key_schema
            .get_or_init(|| {
                if self.key.is_empty() {
                    return None;
                }
                let fields = self.key.iter().filter_map(|&i| self.fields.get(i).cloned()).collect();
                Some(Arc::new(Schema {
                    id: next_id(),
                    table: self.table.clone(),
                    key: (0..self.key.len()).collect(),
                    fields,
                    by_name: OnceLock::new(),
                    optional: false,
                    connect: None,
                    logical_name: self.logical_name.clone(),
                    comment: None,
                    key_schema: OnceLock::new(),
                    projection: Some(Arc::clone(&self.key)),
                }))
            })
            .as_ref()
    }

    /// Of the schema of a key: the indices of its fields in the row.
    pub(crate) fn projection(&self) -> Option<&[usize]> {
        self.projection.as_deref()
    }

    /// Whether a struct of this schema may be NULL where it is nested.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// What a Connect schema that came from outside said, verbatim.
    #[inline]
    pub fn connect(&self) -> Option<&Arc<ConnectAttributes>> {
        self.connect.as_ref()
    }

    /// The name that formats build the names of their schemas on, where it is not that of the table behind its topic
    /// prefix: what a transform that merges tables gives.
    pub fn logical_name(&self) -> Option<&str> {
        self.logical_name.as_deref()
    }

    /// The comment on the table.
    pub fn comment(&self) -> Option<&str> {
        self.comment.as_deref()
    }

    /// A builder that starts from this schema, for transforms that change it.
    pub fn to_builder(&self) -> SchemaBuilder {
        SchemaBuilder {
            table: self.table.clone(),
            fields: self.fields.clone(),
            key: self
                .key
                .iter()
                .filter_map(|&i| self.fields.get(i))
                .map(|f| Arc::clone(&f.name))
                .collect(),
            optional: self.optional,
            connect: self.connect.clone(),
            logical_name: self.logical_name.clone(),
            comment: self.comment.clone(),
        }
    }

    /// A row in which nothing is known, the start of a partial image.
    pub fn unavailable_values(&self) -> Vec<Value> {
        vec![Value::Unavailable; self.fields.len()]
    }
}

fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Equal are schemas that say the same, whatever their ids.
impl PartialEq for Schema {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
            || (self.table == other.table
                && self.fields == other.fields
                && self.key == other.key
                && self.optional == other.optional
                && self.connect == other.connect
                && self.logical_name == other.logical_name
                && self.comment == other.comment)
    }
}

impl Eq for Schema {}

impl Hash for Schema {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.table, &self.fields, &self.key).hash(state);
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema")
            .field("id", &self.id)
            .field("table", &self.table)
            .field("fields", &self.fields)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// Builds a [`Schema`].
#[derive(Debug, Clone, Default)]
pub struct SchemaBuilder {
    table: Option<TableId>,
    fields: Vec<Field>,
    key: Vec<Arc<str>>,
    optional: bool,
    connect: Option<Arc<ConnectAttributes>>,
    logical_name: Option<Arc<str>>,
    comment: Option<Arc<str>>,
}

impl SchemaBuilder {
    /// The table whose rows it describes.
    #[must_use]
    pub fn table(mut self, table: TableId) -> Self {
        self.table = Some(table);
        self
    }

    /// Adds a field after the others.
    #[must_use]
    pub fn field(mut self, field: Field) -> Self {
        self.fields.push(field);
        self
    }

    /// Adds fields after the others.
    #[must_use]
    pub fn fields(mut self, fields: impl IntoIterator<Item = Field>) -> Self {
        self.fields.extend(fields);
        self
    }

    /// The names of the key's columns in the order of the key.
    #[must_use]
    pub fn key<N: Into<Arc<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.key = names.into_iter().map(Into::into).collect();
        self
    }

    /// Whether a nested struct may be NULL.
    #[must_use]
    pub fn optional(mut self, optional: bool) -> Self {
        self.optional = optional;
        self
    }

    /// The attributes of a Connect schema.
    #[must_use]
    pub fn connect(mut self, attributes: ConnectAttributes) -> Self {
        self.connect = Some(Arc::new(attributes));
        self
    }

    /// The name that formats build the names of their schemas on.
    #[must_use]
    pub fn logical_name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.logical_name = Some(name.into());
        self
    }

    /// The comment on the table.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<Arc<str>>) -> Self {
        self.comment = Some(comment.into());
        self
    }

    /// The fields so far, to be changed in place.
    pub fn fields_mut(&mut self) -> &mut Vec<Field> {
        &mut self.fields
    }

    /// Makes the schema.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when two fields have one name or a key column is not among the fields.
    pub fn build(self) -> crate::Result<Arc<Schema>> {
        let place = || self.table.as_ref().map_or_else(|| "schema".to_owned(), ToString::to_string);
        let mut seen = std::collections::HashSet::with_capacity(self.fields.len());
        for field in &self.fields {
            if !seen.insert(&*field.name) {
                return Err(crate::Error::data(format!(
                    "{}: two fields are named {:?}",
                    place(),
                    field.name
                )));
            }
        }
        let key = self
            .key
            .iter()
            .map(|name| {
                self.fields.iter().position(|field| field.name == *name).ok_or_else(|| {
                    crate::Error::data(format!(
                        "{}: key column {name:?} is not among the fields",
                        place()
                    ))
                })
            })
            .collect::<crate::Result<Arc<[usize]>>>()?;
        Ok(Arc::new(Schema {
            id: next_id(),
            table: self.table,
            fields: self.fields,
            key,
            by_name: OnceLock::new(),
            optional: self.optional,
            connect: self.connect,
            logical_name: self.logical_name,
            comment: self.comment,
            key_schema: OnceLock::new(),
            projection: None,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_keeps_its_own_order() {
        let schema = Schema::builder()
            .fields([Field::required("a", DataType::Int32), Field::required("b", DataType::Int32)])
            .key(["b", "a"])
            .build()
            .unwrap();
        assert_eq!(schema.key(), [1, 0]);
        let names: Vec<_> =
            schema.key_schema().unwrap().fields().iter().map(|f| f.name.to_string()).collect();
        assert_eq!(names, ["b", "a"]);
    }

    #[test]
    fn wide_tables_are_searched_by_hash() {
        let fields = (0..100).map(|i| Field::optional(format!("c{i}"), DataType::TEXT));
        let schema = Schema::builder().fields(fields).build().unwrap();
        assert_eq!(schema.index_of("c73"), Some(73));
        assert_eq!(schema.index_of("C73"), None);
    }

    #[test]
    fn a_key_column_that_does_not_exist_is_an_error_that_names_it() {
        let error =
            Schema::builder().table(TableId::new("public", "t")).key(["id"]).build().unwrap_err();
        assert!(error.to_string().contains("public.t") && error.to_string().contains("\"id\""));
    }
}
