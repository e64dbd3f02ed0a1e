//! What a transform derived from a schema, made once.

use std::collections::HashMap;

use cdc_core::Result;

/// More schemas than that are not in use at once.
const KEPT: usize = 1_024;

/// Things made of schemas, by the id of the schema and, where the result depends on it, what else it was made for.
#[derive(Debug, Clone)]
pub(crate) struct SchemaCache<T> {
    last: Option<(u64, T)>,
    known: HashMap<u64, T>,
}

impl<T> Default for SchemaCache<T> {
    fn default() -> Self {
        SchemaCache { last: None, known: HashMap::new() }
    }
}

impl<T: Clone> SchemaCache<T> {
    /// The thing made of the schema with this id; events of one table mostly follow each other.
    pub(crate) fn get(&mut self, id: u64, make: impl FnOnce() -> Result<T>) -> Result<T> {
        self.get_ref(id, make).cloned()
    }

    /// The same, where it stands.
    #[inline]
    pub(crate) fn get_ref(&mut self, id: u64, make: impl FnOnce() -> Result<T>) -> Result<&T> {
        let thing = match self.last.take() {
            Some((last, thing)) if last == id => thing,
            _ => self.find(id, make)?,
        };
        Ok(&self.last.insert((id, thing)).1)
    }

    fn find(&mut self, id: u64, make: impl FnOnce() -> Result<T>) -> Result<T> {
        if let Some(thing) = self.known.get(&id) {
            return Ok(thing.clone());
        }
        let thing = make()?;
        if self.known.len() >= KEPT {
            self.known.clear();
        }
        self.known.insert(id, thing.clone());
        Ok(thing)
    }
}
