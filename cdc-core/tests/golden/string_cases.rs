//! Cases of the converters of single values and of headers.

use cdc_core::Payload;
use cdc_core::connect::{BasicConverter, ConnectProfile};
use serde_json::Value as Json;

use crate::bytes_of_hex;
use cdc_core::testkit::golden::{Verdict, payload, same, same_error, shown};

pub(crate) fn run(case: &Json) -> Verdict {
    for out in case["out"].as_array().ok_or("no results")? {
        for config in out["configs"].as_array().ok_or("no converters")? {
            let name = config.as_str().ok_or("no converter")?;
            run_one(case, name, out).map_err(|difference| format!("{name}: {difference}"))?;
        }
    }
    Ok(())
}

fn converter(name: &str) -> Result<BasicConverter, String> {
    ["org.apache.kafka.connect.storage.", "org.apache.kafka.connect.converters."]
        .iter()
        .find_map(|package| BasicConverter::of_class(&format!("{package}{name}")))
        .ok_or_else(|| format!("no converter {name}"))
}

fn run_one(case: &Json, name: &str, out: &Json) -> Verdict {
    let converter = converter(name)?;
    let bytes = if case.get("schema").is_some() {
        let payload = payload(&case["schema"], &case["payload"])?;
        let mut bytes = Vec::new();
        let there = match converter.encode(&payload, &ConnectProfile::default(), &mut bytes) {
            Ok(there) => there,
            Err(error) if !out["error"].is_null() => return same_error(&out["error"], &error),
            Err(error) => return Err(error.to_string()),
        };
        let bytes = there.then_some(bytes);
        let expected = match (out["hex"].as_str(), out["text"].as_str()) {
            (Some(hex), _) => Some(bytes_of_hex(hex)),
            (None, Some(text)) => Some(text.as_bytes().to_vec()),
            (None, None) if out["error"].is_null() => None,
            (None, None) => return Err(format!("{bytes:?} instead of {}", out["error"])),
        };
        if bytes != expected {
            let shown = |bytes: &Option<Vec<u8>>| {
                bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            return Err(format!("{:?} instead of {:?}", shown(&bytes), shown(&expected)));
        }
        bytes
    } else {
        case["read"].as_str().map(bytes_of_hex)
    };
    let expected = out.get("back").unwrap_or(out);
    let read = match converter.decode(bytes.as_deref()) {
        Ok(read) => read,
        Err(error) if !expected["error"].is_null() => {
            return same_error(&expected["error"], &error);
        }
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    if expected.get("returned").is_some() {
        return if matches!(read, Payload::Absent) { Ok(()) } else { Err("a value".to_owned()) };
    }
    let (schema, value) = shown(&read)?;
    if !expected["error"].is_null() {
        return Err(format!("{schema} {value} instead of {}", expected["error"]));
    }
    for (part, read) in [("schema", schema), ("payload", value)] {
        let expected = match &expected[part] {
            Json::String(text) if text == "same" => &case[part],
            expected => expected,
        };
        if !same(expected, &read) {
            return Err(format!("{part} read {read} instead of {expected}"));
        }
    }
    Ok(())
}
