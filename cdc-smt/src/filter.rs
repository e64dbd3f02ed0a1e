//! `Filter`: drops events, those of a predicate.

use cdc_core::{ChangeEvent, Result, Transform};

/// Drops every event: with a predicate, the events that it takes (`org.apache.kafka.connect.transforms.Filter`).
///
/// It has no options of its own.
///
/// ```
/// use cdc_core::Properties;
/// use cdc_core::connect::ConnectProfile;
///
/// let properties: Properties = r#"{
///     "transforms": "live",
///     "transforms.live.type": "org.apache.kafka.connect.transforms.Filter",
///     "transforms.live.predicate": "gone",
///     "predicates": "gone",
///     "predicates.gone.type": "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone"
/// }"#.parse()?;
/// let chain = cdc_smt::from_properties(&properties, &ConnectProfile::default())?;
/// assert_eq!(chain[0].name(), "live (Filter)");
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter;

impl Transform for Filter {
    fn apply(&mut self, _event: ChangeEvent, _out: &mut Vec<ChangeEvent>) -> Result<()> {
        Ok(())
    }

    fn name(&self) -> &str {
        "Filter"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(*self)
    }
}
