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
        if let Some((last, thing)) = &self.last
            && *last == id
        {
            return Ok(thing.clone());
        }
        let thing = match self.known.get(&id) {
            Some(thing) => thing.clone(),
            None => {
                let thing = make()?;
                if self.known.len() >= KEPT {
                    self.known.clear();
                }
                self.known.insert(id, thing.clone());
                thing
            }
        };
        self.last = Some((id, thing.clone()));
        Ok(thing)
    }
}
