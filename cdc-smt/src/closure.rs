//! Functions as transforms: one event to one, or to any number.

use cdc_core::{ChangeEvent, Result, TableMapping, Transform};

/// A function as a transform, of [`map`] or [`flat_map`].
#[derive(Clone)]
pub struct Closure<F> {
    name: String,
    function: F,
    tables: TableMapping,
}

impl<F> std::fmt::Debug for Closure<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Closure").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<F> Closure<F> {
    /// Gives the function the events of tables too, which have a schema and no row, so that sinks know what becomes of a
    /// table before its first row. Without this they stop before it.
    #[must_use]
    pub fn with_tables(mut self) -> Self {
        self.tables = TableMapping::BySchema;
        self
    }
}

/// A transform that makes another event of each; the name stands in errors and in the status.
///
/// Each worker has its own copy of the function and of what it holds.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
///
/// # let origin = cdc_core::testkit::some_origin();
/// let mut archive = cdc_smt::map("archive", |mut event: ChangeEvent| {
///     event.destination = Destination::named(&format!("archive.{}", event.destination));
///     Ok(event)
/// });
/// let event = ChangeEvent::new(Destination::named("orders"), Payload::Absent, Payload::Absent, origin);
/// let mut out = Vec::new();
/// archive.apply(event, &mut out)?;
/// assert_eq!(out[0].destination.as_str(), "archive.orders");
/// # Ok::<(), cdc_core::Error>(())
/// ```
pub fn map<F>(
    name: &str,
    mut function: F,
) -> Closure<impl FnMut(ChangeEvent) -> Result<Option<ChangeEvent>> + Clone + Send + 'static>
where
    F: FnMut(ChangeEvent) -> Result<ChangeEvent> + Clone + Send + 'static,
{
    flat_map(name, move |event| function(event).map(Some))
}

/// A transform that makes any number of events of each: none (`None`, an empty `Vec`) drops it, several fan it out.
///
/// Events that are clones of the one that came keep its origin, so what follows them in the log is still acknowledged
/// after all of them.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
///
/// # let origin = cdc_core::testkit::some_origin();
/// let mut twice = cdc_smt::flat_map("audit", |event: ChangeEvent| {
///     let mut audit = event.clone();
///     audit.destination = Destination::named("audit");
///     Ok([event, audit])
/// });
/// let event = ChangeEvent::new(Destination::named("orders"), Payload::Absent, Payload::Absent, origin);
/// let mut out = Vec::new();
/// twice.apply(event, &mut out)?;
/// assert_eq!(out.len(), 2);
/// # Ok::<(), cdc_core::Error>(())
/// ```
pub fn flat_map<F, I>(name: &str, function: F) -> Closure<F>
where
    F: FnMut(ChangeEvent) -> Result<I> + Clone + Send + 'static,
    I: IntoIterator<Item = ChangeEvent>,
{
    Closure { name: name.to_owned(), function, tables: TableMapping::ByContent }
}

impl<F, I> Transform for Closure<F>
where
    F: FnMut(ChangeEvent) -> Result<I> + Clone + Send + 'static,
    I: IntoIterator<Item = ChangeEvent>,
{
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        out.extend((self.function)(event)?);
        Ok(())
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&self) -> TableMapping {
        self.tables
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
