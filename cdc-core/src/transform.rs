//! What a transform is: events in, events out, no waiting.

use crate::error::Result;
use crate::event::ChangeEvent;

/// Reshapes, routes, drops or multiplies events.
///
/// A transform is synchronous and does no I/O; what must ask a server is a stage of its own. It may keep caches: each
/// worker has its own copy. The origin of an event cannot be changed, and events made of one event keep its origin.
pub trait Transform: Send {
    /// Takes an event and pushes what becomes of it: nothing, itself, or several.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) when the event cannot be transformed; the pipeline adds which transform and which event.
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()>;

    /// A name for errors and status.
    fn name(&self) -> &str;

    /// Whether table events can go through it.
    fn tables(&self) -> TableMapping {
        TableMapping::BySchema
    }

    /// A copy for another worker.
    fn boxed_clone(&self) -> Box<dyn Transform>;
}

/// Whether what a transform does to a table can be told from the schema alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableMapping {
    /// Table events go through it like rows.
    BySchema,
    /// The result depends on the content of rows: table events stop before it, and sinks make tables at the first row.
    ByContent,
}

impl<T: Transform + ?Sized> Transform for Box<T> {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        (**self).apply(event, out)
    }
    fn name(&self) -> &str {
        (**self).name()
    }
    fn tables(&self) -> TableMapping {
        (**self).tables()
    }
    fn boxed_clone(&self) -> Box<dyn Transform> {
        (**self).boxed_clone()
    }
}
