//! Rows: values under a schema, with private storage.

mod block;
mod derived;
mod scalar;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::schema::{Field, Schema};
use crate::value::{Value, ValueRef};

use self::block::Block;
pub use self::block::RowsBuilder;
use self::derived::{Base, Derived, MOST_OWN};
pub(crate) use self::scalar::Scalar;

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
    storage: Storage,
    /// The row is a key, and these are the values of its whole row.
    is_view: bool,
}

/// Where the values are.
#[derive(Clone)]
enum Storage {
    /// The row's own, or in a block that a source has filled.
    Base(Base),
    /// Another row's, some replaced, left out or added.
    Derived(Arc<Derived>),
}

impl Storage {
    fn own(values: impl Into<Arc<[Value]>>) -> Self {
        Storage::Base(Base::Own(values.into()))
    }

    #[inline]
    fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        match self {
            Storage::Base(base) => base.get(index),
            Storage::Derived(derived) => derived.get(index),
        }
    }

    fn is_unavailable(&self, index: usize) -> bool {
        match self {
            Storage::Base(base) => base.is_unavailable(index),
            Storage::Derived(derived) => derived.is_unavailable(index),
        }
    }

    fn value(&self, index: usize) -> Option<Value> {
        match self {
            Storage::Base(base) => base.value(index),
            Storage::Derived(derived) => derived.value(index),
        }
    }

    /// The same with a few values in the place of others or after them.
    #[inline]
    fn put(self, values: impl Iterator<Item = (usize, Value)>) -> Self {
        Storage::Derived(match self {
            Storage::Base(base) => Arc::new(Derived::with(base, values)),
            Storage::Derived(mut derived) => {
                let to = Arc::make_mut(&mut derived);
                values.for_each(|(index, value)| to.put(index, value));
                derived
            }
        })
    }
}

#[inline]
fn place(first: u32, index: usize) -> Option<usize> {
    usize::try_from(first).ok()?.checked_add(index)
}

impl Row {
    /// A row from the values of all fields in order.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when there are more or fewer values than fields.
    pub fn new(schema: Arc<Schema>, values: Vec<Value>) -> Result<Self> {
        Self::check_width(&schema, values.len())?;
        Ok(Row { schema, storage: Storage::own(values), is_view: false })
    }

    fn check_width(schema: &Schema, count: usize) -> Result<()> {
        let fields = schema.fields().len();
        if count == fields {
            return Ok(());
        }
        Err(Error::data(format!("{count} values for a row of {fields} fields")))
    }

    fn of_block(schema: Arc<Schema>, block: Arc<Block>, first: u32) -> Row {
        Row { schema, storage: Storage::Base(Base::Shared { block, first }), is_view: false }
    }

    /// The shape of the row.
    #[inline]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// How many fields it has.
    #[inline]
    pub fn len(&self) -> usize {
        self.schema.fields().len()
    }

    /// Whether it has no fields at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where among the stored values that of a field is; past the last field it is one that the row does not have.
    #[inline]
    fn place(&self, index: usize) -> Option<usize> {
        if self.is_view {
            return self.schema.projection()?.get(index).copied();
        }
        (index < self.len()).then_some(index)
    }

    /// The value of the field at an index; `None` past the last field.
    #[inline]
    pub fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        self.storage.get(self.place(index)?)
    }

    /// The value of the field with this name; `None` when there is no such field.
    pub fn by_name(&self, name: &str) -> Option<ValueRef<'_>> {
        self.get(self.schema.index_of(name)?)
    }

    /// An owned copy of the value at an index, sharing its buffer; `None` past the last field.
    pub fn value(&self, index: usize) -> Option<Value> {
        self.storage.value(self.place(index)?)
    }

    /// Fields and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Field, ValueRef<'_>)> {
        self.schema.fields().iter().zip((0..self.len()).filter_map(|i| self.get(i)))
    }

    /// Values in order.
    pub fn values(&self) -> impl Iterator<Item = ValueRef<'_>> {
        (0..self.len()).filter_map(|i| self.get(i))
    }

    /// Replaces the value at an index; other holders of the row keep the old one. Nothing happens past the last field.
    #[inline]
    pub fn set(&mut self, index: usize, value: Value) {
        if index >= self.len() {
            return;
        }
        if self.is_view {
            *self = self.with_own_values();
        }
        match &mut self.storage {
            Storage::Base(Base::Own(values)) => {
                if let Some(slot) = Arc::get_mut(values).and_then(|own| own.get_mut(index)) {
                    *slot = value;
                    return;
                }
            }
            Storage::Derived(derived) if derived.is_full(index) => {
                *self = self.with_own_values();
                return self.set(index, value);
            }
            _ => {}
        }
        let storage = std::mem::replace(&mut self.storage, Storage::Base(Base::Empty));
        self.storage = storage.put(std::iter::once((index, value)));
    }

    /// The same values, stored for this row alone.
    fn with_own_values(&self) -> Row {
        // Of known length, so that it is one allocation.
        let values: Arc<[Value]> =
            (0..self.len()).map(|i| self.value(i).unwrap_or_default()).collect();
        Row { schema: Arc::clone(&self.schema), storage: Storage::own(values), is_view: false }
    }

    /// Whether every column was sent: no value is [unavailable](Value::Unavailable).
    pub fn is_complete(&self) -> bool {
        if let (Storage::Base(Base::Shared { block, first }), false) = (&self.storage, self.is_view)
        {
            return block.cells(*first, self.len()).are_available();
        }
        (0..self.len())
            .all(|i| self.place(i).is_none_or(|place| !self.storage.is_unavailable(place)))
    }

    /// The key of the row, in O(1); `None` when its table has no key.
    #[inline]
    pub fn key(&self) -> Option<Row> {
        let schema = Arc::clone(self.schema.key_schema()?);
        if self.is_view {
            return Some(self.clone());
        }
        Some(Row { schema, storage: self.storage.clone(), is_view: true })
    }

    /// The same values under another schema with as many fields (renamed, retyped in name only).
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    pub fn with_schema(&self, schema: Arc<Schema>) -> Result<Row> {
        self.clone().into_schema(schema)
    }

    /// As [`with_schema`](Self::with_schema), of a row that is not needed any more.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    #[inline]
    pub fn into_schema(mut self, schema: Arc<Schema>) -> Result<Row> {
        self.set_schema(schema)?;
        Ok(self)
    }

    /// As [`with_schema`](Self::with_schema), of this row where it stands.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs; the row stays as it was.
    #[inline]
    pub fn set_schema(&mut self, schema: Arc<Schema>) -> Result<()> {
        if schema.fields().len() != self.len() {
            return Err(Error::data(format!(
                "a row of {} fields cannot take a schema of {}",
                self.len(),
                schema.fields().len()
            )));
        }
        if self.is_view {
            *self = self.with_own_values();
        }
        self.schema = schema;
        Ok(())
    }

    /// The values at these indices, under a schema with as many fields; past the last field there is NULL.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    pub fn select(&self, schema: Arc<Schema>, indices: &[usize]) -> Result<Row> {
        self.clone().project(schema, &indices.into())
    }

    /// As [`select`](Self::select), for indices that are kept beside the schema: no value is copied, nor are they.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    #[inline]
    pub fn project(mut self, schema: Arc<Schema>, indices: &Arc<[usize]>) -> Result<Row> {
        self.narrow(schema, indices)?;
        Ok(self)
    }

    /// As [`project`](Self::project), of this row where it stands.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs; the row stays as it was.
    #[inline]
    pub fn narrow(&mut self, schema: Arc<Schema>, indices: &Arc<[usize]>) -> Result<()> {
        Self::check_width(&schema, indices.len())?;
        // The place past the last field of this row may hold the next row of the block.
        if self.is_view || indices.iter().any(|&index| index >= self.len()) {
            let values: Arc<[Value]> =
                indices.iter().map(|&index| self.value(index).unwrap_or_default()).collect();
            *self = Row { schema, storage: Storage::own(values), is_view: false };
            return Ok(());
        }
        let derived = match std::mem::replace(&mut self.storage, Storage::Base(Base::Empty)) {
            Storage::Base(base) => Derived::mapped(base, Arc::clone(indices)),
            Storage::Derived(derived) => derived.select(indices),
        };
        self.storage = Storage::Derived(Arc::new(derived));
        self.schema = schema;
        Ok(())
    }

    /// The values with others after them, under a schema with as many fields.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    pub fn extended(&self, schema: Arc<Schema>, added: Vec<Value>) -> Result<Row> {
        self.clone().extend(schema, added)
    }

    /// As [`extended`](Self::extended), of a row that is not needed any more: a few values are added without a copy of
    /// the others.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs.
    #[inline]
    pub fn extend<I>(mut self, schema: Arc<Schema>, added: I) -> Result<Row>
    where
        I: IntoIterator<Item = Value, IntoIter: ExactSizeIterator>,
    {
        self.append(schema, added)?;
        Ok(self)
    }

    /// As [`extend`](Self::extend), of this row where it stands.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the number of fields differs; the row stays as it was.
    #[inline]
    pub fn append<I>(&mut self, schema: Arc<Schema>, added: I) -> Result<()>
    where
        I: IntoIterator<Item = Value, IntoIter: ExactSizeIterator>,
    {
        let added = added.into_iter();
        let len = self.len();
        Self::check_width(&schema, len + added.len())?;
        let own = match &self.storage {
            Storage::Base(_) => 0,
            Storage::Derived(derived) => derived.own_len(),
        };
        if self.is_view || own + added.len() > MOST_OWN {
            let values = (0..len).map(|index| self.value(index).unwrap_or_default());
            *self = Self::new(schema, values.chain(added).collect())?;
            return Ok(());
        }
        let storage = std::mem::replace(&mut self.storage, Storage::Base(Base::Empty));
        self.storage = storage.put(added.enumerate().map(|(at, value)| (len + at, value)));
        self.schema = schema;
        Ok(())
    }

    /// A deep copy that pins no buffer of a batch.
    #[must_use]
    pub fn detached(&self) -> Row {
        let values: Arc<[Value]> =
            (0..self.len()).filter_map(|i| self.value(i)).map(|value| value.detached()).collect();
        Row { schema: Arc::clone(&self.schema), storage: Storage::own(values), is_view: false }
    }

    /// Roughly how many bytes the row keeps alive; of a key that is a view of its row only what it takes itself.
    pub fn size(&self) -> usize {
        let values = match &self.storage {
            _ if self.is_view => 0,
            Storage::Base(Base::Empty) => 0,
            Storage::Base(Base::Own(values)) => values.iter().map(Value::size).sum(),
            Storage::Base(Base::Shared { block, first }) => {
                block.size(usize::try_from(*first).unwrap_or(usize::MAX), self.len())
            }
            Storage::Derived(derived) => (0..self.len()).map(|index| derived.size(index)).sum(),
        };
        size_of::<Row>() + values
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
    fn rows_of_a_block_read_as_rows_of_their_own_do() {
        let own = item();
        let mut rows = RowsBuilder::new();
        let mut taken = Vec::new();
        for _ in 0..3 {
            let first = rows.position();
            for value in own.values() {
                rows.value(value.to_value());
            }
            taken.push(rows.row(own.schema(), first).unwrap());
        }
        assert_eq!(rows.peek(4), Some("n".into()));
        rows.seal();
        for row in &taken {
            assert_eq!(row, &own);
            assert_eq!(row.key(), own.key());
            assert_eq!(row.value(1), own.value(1));
            assert_eq!(row.detached(), own);
            assert!(row.size() > 3 * 16 && row.is_complete());
            assert_eq!(row.get(3), None, "the next row is not this row's");
        }
        let mut changed = taken[1].clone();
        changed.set(1, Value::Null);
        assert_eq!((changed.get(1), taken[1].get(1)), (Some(ValueRef::Null), own.get(1)));
        assert!(rows.row(own.schema(), 0).is_err(), "a new block has begun");
    }

    #[test]
    fn values_of_every_kind_come_out_of_a_block_as_they_went_in() {
        let values = [
            Value::Null,
            Value::Unavailable,
            true.into(),
            Value::Int8(-1),
            Value::Int16(-2),
            i64::MIN.into(),
            Value::UInt32(7),
            f32::NAN.into(),
            (-0.0f64).into(),
            "12.50".parse::<crate::value::Decimal>().unwrap().into(),
            "1e40".parse::<crate::value::Decimal>().unwrap().into(),
            crate::value::Decimal::NAN.into(),
            "grün".into(),
            "x".repeat(100_000).into(),
            bytes::Bytes::from_static(b"\xff").into(),
            crate::value::Date::Days(-3).into(),
            crate::value::Date::Infinity.into(),
            crate::value::Timestamp::micros(5).into(),
            crate::value::Timestamp::NegInfinity.into(),
        ];
        let fields = (0..values.len()).map(|i| Field::optional(i.to_string(), DataType::TEXT));
        let schema = Schema::builder().fields(fields).build().unwrap();
        let mut rows = RowsBuilder::new();
        for value in &values {
            let at = rows.position();
            rows.value(value.clone());
            assert_eq!(rows.peek(at).as_ref(), Some(value));
        }
        let row = rows.row(&schema, 0).unwrap();
        assert!(rows.size() > 100_000);
        rows.seal();
        for (index, value) in values.iter().enumerate() {
            assert_eq!(row.value(index).as_ref(), Some(value));
            assert_eq!(row.get(index), Some(value.as_ref()));
        }
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

    /// A row of a block, between two others.
    fn item_of_a_block() -> Row {
        let (own, mut rows) = (item(), RowsBuilder::new());
        let mut taken = None;
        for _ in 0..3 {
            let first = rows.position();
            own.values().for_each(|value| rows.value(value.to_value()));
            let row = rows.row(own.schema(), first).unwrap();
            taken = taken.or(Some(row));
        }
        rows.seal();
        taken.unwrap()
    }

    #[test]
    fn a_row_made_of_another_reads_as_one_of_its_own_does() {
        let text = |name: &str| Field::optional(name, DataType::TEXT);
        for row in [item(), item_of_a_block()] {
            let mut changed = row.clone();
            changed.set(1, "masked".into());
            let longer = changed.schema().to_builder().field(text("x")).field(text("y"));
            let longer =
                changed.extended(longer.build().unwrap(), vec!["x".into(), Value::Null]).unwrap();
            let names = ["y", "note", "line", "x"].map(text);
            let schema = Schema::builder().fields(names).key(["line"]).build().unwrap();
            let mut short = longer.select(schema, &[4, 1, 2, 3]).unwrap();
            let values: [Value; 4] = [Value::Null, "masked".into(), 2i32.into(), "x".into()];
            assert_eq!(short, Row::new(Arc::clone(short.schema()), values.to_vec()).unwrap());
            assert_eq!(short.detached(), short);
            assert_eq!(short.key().unwrap().get(0), Some(ValueRef::Int32(2)));
            assert_eq!((short.get(4), row.get(1)), (None, Some(ValueRef::Text("n"))));
            assert!(short.is_complete() && short.size() > size_of::<Row>());
            for at in [2, 2, 0, 1] {
                let before = short.clone();
                short.set(at, Value::Unavailable);
                assert_eq!(short.get(at), Some(ValueRef::Unavailable));
                assert!(at != 0 || before.get(at) == Some(ValueRef::Null));
            }
            assert!(!short.is_complete());
            assert_eq!(short.get(3), Some(ValueRef::Text("x")));
        }
    }

    #[test]
    fn any_number_of_values_can_be_replaced_and_added() {
        let schema = |count: usize| {
            let fields = (0..count).map(|i| Field::optional(i.to_string(), DataType::Int32));
            Schema::builder().fields(fields).build().unwrap()
        };
        let numbers = |count: i32| (0..count).map(Value::from).collect::<Vec<_>>();
        let row = Row::new(schema(6), numbers(6)).unwrap();
        let mut changed = row.clone();
        for index in 0..6i32 {
            changed.set(index as usize, (index + 10).into());
        }
        assert_eq!(changed.value(5), Some(15i32.into()));
        let longer = row.extended(schema(16), numbers(10)).unwrap();
        let longer = longer.extended(schema(19), numbers(3)).unwrap();
        let longer = longer.extended(schema(22), numbers(3)).unwrap();
        assert_eq!((longer.value(5), longer.value(15)), (Some(5i32.into()), Some(9i32.into())));
        assert_eq!((longer.value(18), longer.value(21)), (Some(2i32.into()), Some(2i32.into())));
        changed.set(6, Value::Null);
        assert_eq!((changed.len(), row.value(5)), (6, Some(5i32.into())));
        assert_eq!(row.select(schema(2), &[6, 0]).unwrap().value(0), Some(Value::Null));
    }

    #[test]
    fn a_row_of_the_wrong_width_is_refused() {
        assert!(Row::new(Arc::clone(item().schema()), vec![]).is_err());
    }
}
