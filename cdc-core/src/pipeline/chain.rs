//! A chain of transforms.

use std::fmt;
use std::sync::Arc;

use super::burying::{Failed, is_tolerated, same_origin};
use crate::dead_letter::Stage;
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
    pub(crate) fn apply(&mut self, events: Vec<ChangeEvent>) -> Result<Vec<ChangeEvent>> {
        self.apply_named(events).map_err(|(_, error)| error)
    }

    /// Sends events through all transforms one after another, and leaves out those that fail for what they hold. What was
    /// made of one event at the source goes through whole or not at all.
    ///
    /// # Errors
    /// That of the transform which is no [data error](crate::ErrorKind::Data).
    pub(crate) fn apply_or_bury(
        &mut self,
        events: Vec<ChangeEvent>,
        stage: Stage,
        failed: &mut Vec<Failed>,
    ) -> Result<Vec<ChangeEvent>> {
        let mut out = Vec::with_capacity(events.len());
        let mut events = events.into_iter().peekable();
        while let Some(first) = events.next() {
            let origin = first.origin().clone();
            let mut group = vec![first];
            while let Some(next) = events.next_if(|next| same_origin(next.origin(), &origin)) {
                group.push(next);
            }
            match self.apply_named(group) {
                Ok(made) => out.extend(made),
                Err((transform, error)) if is_tolerated(&error) => {
                    failed.push(Failed { origin, stage, transform: Some(transform), error });
                }
                Err((_, error)) => return Err(error),
            }
        }
        Ok(out)
    }

    /// The error comes with the name of the transform.
    fn apply_named(
        &mut self,
        mut events: Vec<ChangeEvent>,
    ) -> Result<Vec<ChangeEvent>, (Arc<str>, crate::Error)> {
        for transform in &mut self.0 {
            let by_content = transform.tables() == TableMapping::ByContent;
            let mut out = Vec::with_capacity(events.len());
            for event in events {
                if by_content && event.operation() == Some(Operation::Table) {
                    continue;
                }
                let origin = event.origin().clone();
                transform.apply(event, &mut out).map_err(|error| {
                    let name = transform.name();
                    let error = error.context(&origin).context(format_args!("transform {name}"));
                    (name.into(), error)
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
