//! Names made valid.

use cdc_core::connect::NameAdjustment;
use serde_json::Value as Json;

use cdc_core::testkit::golden::Verdict;

pub(crate) fn run(case: &Json) -> Verdict {
    let name = case["in"].as_str().ok_or("no name")?;
    for property in ["schema.name.adjustment.mode", "field.name.adjustment.mode"] {
        for (mode, expected) in case[property].as_object().ok_or("no modes")? {
            let mode = NameAdjustment::parse(property, mode).map_err(|error| error.to_string())?;
            let adjusted = if property.starts_with("schema") {
                mode.adjust_schema(name)
            } else {
                mode.adjust_field(name)
            };
            if *expected != *adjusted {
                return Err(format!("{property} {mode:?}: {adjusted:?} instead of {expected}"));
            }
        }
    }
    Ok(())
}
