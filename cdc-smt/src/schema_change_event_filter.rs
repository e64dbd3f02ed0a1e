//! `SchemaChangeEventFilter`: drops records of schema changes by their kind.

use cdc_core::{ChangeEvent, Error, Properties, Result, Row, Transform, Value};

use crate::options;

/// Drops records of the schema change topic by the kind of their first change
/// (`io.debezium.transforms.SchemaChangeEventFilter`).
///
/// Option: `schema.change.event.exclude.list` (required), a list of `CREATE`, `ALTER`, `DROP`, `TRUNCATE` and `DATABASE`;
/// the last is a change of no table.
///
/// ```
/// use cdc_smt::SchemaChangeEventFilter;
///
/// let filter = SchemaChangeEventFilter::new(["DROP", "TRUNCATE"])?;
/// # let _ = filter;
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SchemaChangeEventFilter {
    excluded: Vec<&'static str>,
}

const KINDS: [&str; 5] = ["CREATE", "ALTER", "DROP", "TRUNCATE", "DATABASE"];

impl SchemaChangeEventFilter {
    /// Drops changes of these kinds.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a kind that does not exist.
    pub fn new<'a>(excluded: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let excluded = excluded.into_iter().map(|kind| {
            KINDS.into_iter().find(|known| *known == kind).ok_or_else(|| {
                Error::configuration(format!(
                    "No enum constant io.debezium.schema.SchemaChangeEvent.SchemaChangeEventType.{kind}"
                ))
                .remedy(format!("there are {}", KINDS.join(", ")))
            })
        });
        Ok(SchemaChangeEventFilter { excluded: excluded.collect::<Result<_>>()? })
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Debezium's words.
    pub fn from_properties(properties: &Properties) -> Result<Self> {
        let list = options::debezium_required(properties, "schema.change.event.exclude.list")?;
        Self::new(list.split(',').map(str::trim))
    }

    fn excludes(&self, value: &Row) -> bool {
        let name = value.schema().connect().and_then(|connect| connect.name.as_deref());
        if !name.is_some_and(|name| name.ends_with(".SchemaChangeValue")) {
            return false;
        }
        let changes = value.schema().index_of("tableChanges").and_then(|at| value.value(at));
        let first = match &changes {
            Some(Value::Array(changes)) => changes.values.first().cloned(),
            _ => None,
        };
        let kind = match &first {
            Some(Value::Struct(change)) => {
                change.schema().index_of("type").and_then(|at| change.value(at))
            }
            _ => Some(Value::text("DATABASE")),
        };
        matches!(kind, Some(Value::Text(kind)) if self.excluded.contains(&kind.as_str()))
    }
}

impl Transform for SchemaChangeEventFilter {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        if !event.value.as_row().is_some_and(|value| self.excludes(value)) {
            out.push(event);
        }
        Ok(())
    }

    fn name(&self) -> &str {
        "SchemaChangeEventFilter"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
