//! A chain of transforms.

use std::fmt;

use crate::error::Result;
use crate::event::{ChangeEvent, Operation};
use crate::transform::{TableMapping, Transform};

/// Transforms in order. The common chain of a pipeline runs once; each sink has one of its own after it.
#[derive(Default)]
pub(crate) struct Chain(Vec<Box<dyn Transform>>);

impl Chain {
    pub(crate) fn new(transforms: Vec<Box<dyn Transform>>) -> Self {
        Chain(transforms)
    }

    pub(crate) fn push(&mut self, transform: Box<dyn Transform>) {
        self.0.push(transform);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sends events through all transforms. A table event ends before a transform whose result depends on the content of rows.
    ///
    /// # Errors
    /// That of the transform, with its name and where the event came from.
    pub(crate) fn apply(&mut self, mut events: Vec<ChangeEvent>) -> Result<Vec<ChangeEvent>> {
        for transform in &mut self.0 {
            let by_content = transform.tables() == TableMapping::ByContent;
            let mut out = Vec::with_capacity(events.len());
            for event in events {
                if by_content && event.operation() == Some(Operation::Table) {
                    continue;
                }
                let origin = event.origin().clone();
                transform.apply(event, &mut out).map_err(|error| {
                    error.context(&origin).context(format_args!("transform {}", transform.name()))
                })?;
            }
            events = out;
        }
        Ok(events)
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|transform| transform.name().to_owned())).finish()
    }
}

impl Clone for Chain {
    fn clone(&self) -> Self {
        Chain(self.0.iter().map(|transform| transform.boxed_clone()).collect())
    }
}
