//! Rows made of another row: some of its values, and a few of their own, without a copy of the others.

use std::sync::Arc;

use super::block::Block;
use super::place;
use crate::value::{Value, ValueRef};

/// A row with more values of its own than this is copied: looking for one would cost more than the copy.
pub(super) const MOST_OWN: usize = 4;

/// The row that another is made of.
#[derive(Clone)]
pub(super) enum Base {
    /// None: while a row is changed.
    Empty,
    /// Values of a row of its own.
    Own(Arc<[Value]>),
    /// In a block, from this place on.
    Shared { block: Arc<Block>, first: u32 },
}

impl Base {
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        match self {
            Base::Empty => None,
            Base::Own(values) => values.get(index).map(Value::as_ref),
            Base::Shared { block, first } => block.get(place(*first, index)?),
        }
    }

    pub(super) fn is_unavailable(&self, index: usize) -> bool {
        match self {
            Base::Empty => false,
            Base::Own(values) => values.get(index).is_some_and(Value::is_unavailable),
            Base::Shared { block, first } => {
                place(*first, index).is_some_and(|place| block.is_unavailable(place))
            }
        }
    }

    pub(super) fn value(&self, index: usize) -> Option<Value> {
        match self {
            Base::Empty => None,
            Base::Own(values) => values.get(index).cloned(),
            Base::Shared { block, first } => block.value(place(*first, index)?),
        }
    }

    fn size(&self, index: usize) -> usize {
        match self {
            Base::Empty => 0,
            Base::Own(values) => values.get(index).map_or(0, Value::size),
            Base::Shared { block, first } => {
                place(*first, index).map_or(0, |place| block.size(place, 1))
            }
        }
    }
}

/// Values of a base in another order, and others in the place of some or after them.
#[derive(Clone)]
pub(super) struct Derived {
    base: Base,
    /// The place in the base of each value; all in their order without it.
    map: Option<Arc<[usize]>>,
    own: Few,
}

/// The first value costs no allocation: mostly there is one.
#[derive(Clone, Default)]
struct Few {
    first: Option<(usize, Value)>,
    more: Vec<(usize, Value)>,
}

impl Few {
    #[inline]
    fn get(&self, index: usize) -> Option<&Value> {
        let first = self.first.as_ref()?;
        if first.0 == index {
            return Some(&first.1);
        }
        self.more.iter().find(|(at, _)| *at == index).map(|(_, value)| value)
    }

    fn get_mut(&mut self, index: usize) -> Option<&mut Value> {
        let first = self.first.as_mut()?;
        if first.0 == index {
            return Some(&mut first.1);
        }
        self.more.iter_mut().find(|(at, _)| *at == index).map(|(_, value)| value)
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.more.len()
    }

    fn push(&mut self, index: usize, value: Value) {
        match self.first {
            None => self.first = Some((index, value)),
            Some(_) => self.more.push((index, value)),
        }
    }
}

impl Derived {
    /// The base with a few values in the place of others or after them.
    #[inline]
    pub(super) fn with(base: Base, mut values: impl Iterator<Item = (usize, Value)>) -> Self {
        let own = Few { first: values.next(), more: Vec::new() };
        let mut derived = Derived { base, map: None, own };
        values.for_each(|(index, value)| derived.put(index, value));
        derived
    }

    /// The values at these places of the base.
    pub(super) fn mapped(base: Base, map: Arc<[usize]>) -> Self {
        Derived { base, map: Some(map), own: Few::default() }
    }

    /// The values at these indices.
    pub(super) fn select(&self, indices: &Arc<[usize]>) -> Self {
        let map = match &self.map {
            None => Arc::clone(indices),
            // Past the last stays past the last.
            Some(map) => {
                indices.iter().map(|&i| map.get(i).copied().unwrap_or(usize::MAX)).collect()
            }
        };
        let mut selected = Derived::mapped(self.base.clone(), map);
        if self.own.len() > 0 {
            for (at, &index) in indices.iter().enumerate() {
                if let Some(value) = self.own.get(index) {
                    selected.own.push(at, value.clone());
                }
            }
        }
        selected
    }

    /// What the row is made of.
    #[inline]
    pub(super) fn base(&self) -> &Base {
        &self.base
    }

    /// Where in the base the value at an index is; else the row's own, if it has one there.
    #[inline]
    pub(super) fn place(&self, index: usize) -> Result<usize, Option<&Value>> {
        match self.own.get(index) {
            Some(value) => Err(Some(value)),
            None => self.in_base(index).ok_or(None),
        }
    }

    #[inline]
    fn in_base(&self, index: usize) -> Option<usize> {
        match &self.map {
            None => Some(index),
            Some(map) => map.get(index).copied(),
        }
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<ValueRef<'_>> {
        match self.own.get(index) {
            Some(value) => Some(value.as_ref()),
            None => self.base.get(self.in_base(index)?),
        }
    }

    pub(super) fn is_unavailable(&self, index: usize) -> bool {
        match self.own.get(index) {
            Some(value) => value.is_unavailable(),
            None => self.in_base(index).is_some_and(|at| self.base.is_unavailable(at)),
        }
    }

    pub(super) fn value(&self, index: usize) -> Option<Value> {
        match self.own.get(index) {
            Some(value) => Some(value.clone()),
            None => self.base.value(self.in_base(index)?),
        }
    }

    pub(super) fn size(&self, index: usize) -> usize {
        match self.own.get(index) {
            Some(value) => value.size(),
            None => self.in_base(index).map_or(0, |at| self.base.size(at)),
        }
    }

    /// How many values it has of its own.
    pub(super) fn own_len(&self) -> usize {
        self.own.len()
    }

    /// Whether one more value of its own is too many.
    pub(super) fn is_full(&self, index: usize) -> bool {
        self.own.len() >= MOST_OWN && self.own.get(index).is_none()
    }

    /// Puts a value in the place of another or after all.
    pub(super) fn put(&mut self, index: usize, value: Value) {
        match self.own.get_mut(index) {
            Some(old) => *old = value,
            None => self.own.push(index, value),
        }
    }
}
