//! Rows: values under a schema, with private storage.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::schema::{Field, Schema};
use crate::value::{Value, ValueRef};

/// The values of one row, key or struct, read through its [`Schema`].
///
/// How the values are stored is private: read them with [`Row::get`]. Cloning is O(1); a change copies what it must
/// (copy on write), so a row can be shared by several sinks.
///
/// ```
/// use cdc_core::{DataType, Field, Row, Schema, ValueRef};
///
/// let schema = Schema::builder().field(Field::required("id", DataType::Int32)).build()?;
/// let row = Row::new(schema, vec![7i32.into()])?;
/// assert_eq!(row.get(0), Some(ValueRef::Int32(7)));
/// assert_eq!(row.by_name("id"), Some(ValueRef::Int32(7)));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Row {
    schema: Arc<Schema>,
    values: Arc<[Value]>,
    /// The row is the key of the row whose values these are.
    key_of: Option<Arc<[usize]>>,
}

impl Row {
    /// A row from the values of all fields in order.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when there are more or fewer values than fields.
    pub fn new(schema: Arc<Schema>, values: Vec<Value>) -> Result<Self> {
        Self::of(schema, values.into())
    }

    fn of(schema: Arc<Schema>, values: Arc<[Value]>) -> Result<Self> {
        if values.len() != schema.fields().len() {
            return Err(Error::data(format!(
                "{} values for a row of {} fields",
                values.len(),
                schema.fields().len()
            )));
        }
        Ok(Row { schema, values, key_of: None })
    }

    /// The shape of the row.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.schema.fields().len()
    }

    /// Whether it has no fields at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn stored(&self, index: usize) -> Option<&Value> {
        match &self.key_of {
            None => self.values.get(index),
            Some(key) => key.get(index).and_then(|&at| self.values.get(at)),
        }
    }

    /// The value of the field at an index; `None` past the last field.
    #[inline]
    pub fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        self.stored(index).map(Value::as_ref)
    }

    /// The value of the field with this name; `None` when there is no such field.
    pub fn by_name(&self, name: &str) -> Option<ValueRef<'_>> {
        self.get(self.schema.index_of(name)?)
    }

    /// An owned copy of the value at an index, sharing its buffer; `None` past the last field.
    pub fn value(&self, index: usize) -> Option<Value> {
        self.stored(index).cloned()
    }

    /// Fields and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Field, ValueRef<'_>)> {
        self.schema.fields().iter().zip((0..self.len()).filter_map(|i| self.get(i)))
    }

    /// Values in order.
    pub fn values(&self) -> impl Iterator<Item = ValueRef<'_>> {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// Replaces the value at an index, copying the row when it is shared. Nothing happens past the last field.
    pub fn set(&mut self, index: usize, value: Value) {
        if self.key_of.is_some() {
            let own: Vec<Value> = (0..self.len()).filter_map(|i| self.value(i)).collect();
            self.values = own.into();
            self.key_of = None;
        }
        if let Some(slot) = Arc::make_mut(&mut self.values).get_mut(index) {
            *slot = value;
        }
    }

    /// Whether every column was sent: no value is [unavailable](Value::Unavailable).
    pub fn is_complete(&self) -> bool {
        (0..self.len()).all(|i| self.stored(i).is_none_or(|value| !value.is_unavailable()))
    }

    /// The key of the row, in O(1); `None` when its table has no key.
    pub fn key(&self) -> Option<Row> {
        let schema = Arc::clone(self.schema.key_schema()?);
        if self.key_of.is_some() {
            return Some(self.clone());
        }
        let key_of = Some(Arc::clone(self.schema.key_projection()));
        Some(Row { schema, values: Arc::clone(&self.values), key_of })
    }

    /// The same values under another schema with as many fields (renamed, retyped in name only).
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    pub fn with_schema(&self, schema: Arc<Schema>) -> Result<Row> {
        if schema.fields().len() != self.len() {
            return Err(Error::data(format!(
                "a row of {} fields cannot take a schema of {}",
                self.len(),
                schema.fields().len()
            )));
        }
        Ok(Row { schema, values: Arc::clone(&self.values), key_of: self.key_of.clone() })
    }

    /// The values at these indices, under a schema with as many fields; past the last field there is NULL.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    pub fn select(&self, schema: Arc<Schema>, indices: &[usize]) -> Result<Row> {
        let values = indices.iter().map(|&index| self.value(index).unwrap_or_default());
        Self::of(schema, values.collect())
    }

    /// The values with others after them, under a schema with as many fields.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    pub fn extended(&self, schema: Arc<Schema>, added: Vec<Value>) -> Result<Row> {
        let mut values = Vec::with_capacity(self.len() + added.len());
        match &self.key_of {
            None => values.extend_from_slice(&self.values),
            Some(_) => values.extend((0..self.len()).filter_map(|index| self.value(index))),
        }
        values.extend(added);
        Self::new(schema, values)
    }

    /// A deep copy that pins no buffer of a batch.
    #[must_use]
    pub fn detached(&self) -> Row {
        let values = (0..self.len()).filter_map(|i| self.stored(i)).map(Value::detached).collect();
        Row { schema: Arc::clone(&self.schema), values, key_of: None }
    }

    /// Roughly how many bytes the row keeps alive.
    pub fn size(&self) -> usize {
        size_of::<Row>() + self.values.iter().map(Value::size).sum::<usize>()
    }
}

/// Equal are rows with the same field names and values.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && (Arc::ptr_eq(&self.schema, &other.schema)
                || self
                    .schema
                    .fields()
                    .iter()
                    .zip(other.schema.fields())
                    .all(|(a, b)| a.name == b.name))
            && self.values().eq(other.values())
    }
}

impl Eq for Row {}

impl Hash for Row {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for value in self.values() {
            value.hash(state);
        }
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map()
            .entries(self.iter().map(|(field, value)| (field.name.to_string(), value)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_type::DataType;

    fn item() -> Row {
        let schema = Schema::builder()
            .fields([
                Field::required("order", DataType::Int32),
                Field::optional("note", DataType::TEXT),
                Field::required("line", DataType::Int32),
            ])
            .key(["line", "order"])
            .build()
            .unwrap();
        Row::new(schema, vec![1i32.into(), "n".into(), 2i32.into()]).unwrap()
    }

    #[test]
    fn a_key_is_a_view_in_the_order_of_the_key() {
        let key = item().key().unwrap();
        assert_eq!(key.values().collect::<Vec<_>>(), [ValueRef::Int32(2), ValueRef::Int32(1)]);
        assert_eq!(key.by_name("order"), Some(ValueRef::Int32(1)));
        assert_eq!(key.key(), Some(key));
    }

    #[test]
    fn setting_a_value_leaves_other_holders_of_the_row_alone() {
        let first = item();
        let mut second = first.clone();
        second.set(1, Value::Null);
        assert_eq!(first.get(1), Some(ValueRef::Text("n")));
        assert_eq!(second.get(1), Some(ValueRef::Null));
    }

    #[test]
    fn setting_a_value_of_a_key_does_not_touch_its_row() {
        let row = item();
        let mut key = row.key().unwrap();
        key.set(0, 9i32.into());
        assert_eq!(key.values().collect::<Vec<_>>(), [ValueRef::Int32(9), ValueRef::Int32(1)]);
        assert_eq!(row.get(2), Some(ValueRef::Int32(2)));
    }

    #[test]
    fn a_row_is_extended_and_cut_down_under_other_schemas() {
        let item = item();
        let more = item.schema().to_builder().field(Field::optional("more", DataType::TEXT));
        let longer = item.extended(more.build().unwrap(), vec!["m".into()]).unwrap();
        assert_eq!(longer.by_name("more"), Some(ValueRef::Text("m")));
        let two = Schema::builder()
            .fields([Field::required("m", DataType::TEXT), Field::required("o", DataType::Int32)]);
        let shorter = longer.select(two.build().unwrap(), &[3, 0]).unwrap();
        assert_eq!(shorter.values().collect::<Vec<_>>(), [ValueRef::Text("m"), ValueRef::Int32(1)]);
        let key = item.key().unwrap();
        assert!(key.extended(Arc::clone(item.schema()), vec!["n".into()]).is_ok());
        assert!(key.select(Arc::clone(item.schema()), &[0]).is_err());
    }

    #[test]
    fn a_row_of_the_wrong_width_is_refused() {
        assert!(Row::new(Arc::clone(item().schema()), vec![]).is_err());
    }
}
