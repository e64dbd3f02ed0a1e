//! One case: a transform, records through it, and what came out.

use cdc_core::connect::ConnectProfile;
use cdc_core::testkit::golden::Verdict;
use cdc_core::{ChangeEvent, Error, ErrorKind, Properties, Transform};
use cdc_smt::{Predicate, transform_of_class};
use serde_json::Value as Json;

use crate::record::{event, same_record};

struct Step {
    predicate: Option<(Predicate, bool)>,
    transform: Box<dyn Transform>,
}

/// Whether the class of a case is there at all.
pub(crate) fn exists(case: &Json) -> bool {
    let class = case["class"].as_str().unwrap_or_default();
    let made = transform_of_class(class, &Properties::new(), &ConnectProfile::default());
    !made.is_err_and(|error| error.message().ends_with("could not be found."))
}

pub(crate) fn run(case: &Json) -> Verdict {
    let profile = ConnectProfile::default();
    let class = case["class"].as_str().ok_or("no class")?;
    let made = transform_of_class(class, &properties(&case["config"]), &profile)
        .map_err(|error| ("configure", error))
        .and_then(|transform| {
            let given = &case["predicate"];
            if given.is_null() {
                return Ok(Step { predicate: None, transform });
            }
            let class = given["class"].as_str().unwrap_or_default();
            let predicate = Predicate::of_class(class, &properties(&given["config"]))
                .map_err(|error| ("configure predicate", error))?;
            let negate = given["negate"].as_bool().unwrap_or_default();
            Ok(Step { predicate: Some((predicate, negate)), transform })
        });
    let mut step = match made {
        Ok(step) => step,
        Err((stage, error)) => return same_error(&case["error"], stage, &error),
    };
    if case["error"]["stage"].as_str().is_some_and(|stage| stage.starts_with("configure")) {
        return Err(format!("configured, instead of {}", case["error"]));
    }
    let sink = case["sink"].as_bool().unwrap_or_default();
    match case["inputs"].as_array() {
        None => {
            let expected = if case["error"].is_null() { &case["output"] } else { case };
            apply(&mut step, event(&case["input"], sink)?, expected)
        }
        Some(inputs) => {
            let outputs = case["outputs"].as_array().ok_or("no outputs")?;
            for (number, (input, output)) in inputs.iter().zip(outputs).enumerate() {
                apply(&mut step, event(input, sink)?, output)
                    .map_err(|difference| format!("record {number}: {difference}"))?;
            }
            Ok(())
        }
    }
}

fn apply(step: &mut Step, event: ChangeEvent, expected: &Json) -> Verdict {
    let mut out = Vec::new();
    let applied = match &step.predicate {
        Some((predicate, negate)) if predicate.test(&event).is_ok_and(|yes| yes == *negate) => {
            out.push(event);
            Ok(())
        }
        _ => step.transform.apply(event, &mut out),
    };
    if let Err(error) = applied {
        return same_error(&expected["error"], "apply", &error);
    }
    if expected["error"].is_object() {
        return Err(format!("{out:?}\n   instead of {}", expected["error"]));
    }
    match out.as_slice() {
        [] if expected.is_null() => Ok(()),
        [event] if !expected.is_null() => same_record(event, expected),
        _ => Err(format!("{} records instead of {expected}", out.len())),
    }
}

fn properties(config: &Json) -> Properties {
    let options = config.as_object().into_iter().flatten();
    options.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect()
}

/// The same stage and kind, and the same text where it is not Java's own.
fn same_error(expected: &Json, stage: &str, error: &Error) -> Verdict {
    if expected.is_null() {
        return Err(format!("failed: {error}"));
    }
    if expected["stage"].as_str() != Some(stage) {
        return Err(format!("{stage}: {error}\n   instead of {expected}"));
    }
    let class = expected["class"].as_str().unwrap_or_default();
    let kind = if stage == "apply" { ErrorKind::Data } else { ErrorKind::Configuration };
    if error.kind() != kind {
        return Err(format!(
            "an error of kind {}: {error}\n   instead of {expected}",
            error.kind()
        ));
    }
    let message = expected["message"].as_str().unwrap_or_default();
    // Bytes have one class here.
    let message = &message.replace("java.nio.HeapByteBuffer", "[B");
    let of_java = class.starts_with("java.")
        || expected["cause"]["class"].is_string() && message.starts_with("com.");
    // What is wrong with a regular expression Java says in its own way.
    let known = match message.split_once(" near index ") {
        Some((before, _)) => before.rsplit_once(": ").map_or(before, |(known, _)| known),
        None => message.as_str(),
    };
    let same = match known == message {
        true => error.message() == message,
        false => error.message().starts_with(known),
    };
    if !of_java && !same {
        return Err(format!("{:?}\n   instead of {message:?}", error.message()));
    }
    Ok(())
}
