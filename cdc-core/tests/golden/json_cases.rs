//! Cases of `JsonConverter`.

use cdc_core::connect::{ConnectProfile, DecimalFormat, JsonConverter, JsonOptions};
use serde_json::Value as Json;

use crate::bytes_of_hex;
use cdc_core::testkit::golden::{Verdict, payload, same, same_error, shown};

pub(crate) fn run(case: &Json) -> Verdict {
    let outs = case["out"].as_array().ok_or("no results")?;
    for out in outs {
        let configs: Vec<&str> = match out["configs"].as_array() {
            Some(configs) => configs.iter().filter_map(Json::as_str).collect(),
            None => vec!["given"],
        };
        for config in configs {
            run_one(case, config, out).map_err(|difference| format!("{config}: {difference}"))?;
        }
    }
    Ok(())
}

fn run_one(case: &Json, config: &str, out: &Json) -> Verdict {
    let mut converter = match converter(case, config) {
        Ok(converter) => converter,
        Err(error) if !out["error"].is_null() => return same_error(&out["error"], &error),
        Err(error) => return Err(error.to_string()),
    };
    let bytes = if case.get("schema").is_some() {
        let payload = payload(&case["schema"], &case["payload"])?;
        let mut bytes = Vec::new();
        let there = match converter.encode(&payload, &mut bytes) {
            Ok(there) => there,
            Err(error) if !out["error"].is_null() => return same_error(&out["error"], &error),
            Err(error) => return Err(error.to_string()),
        };
        let text = there.then(|| String::from_utf8_lossy(&bytes).into_owned());
        if out.get("text").is_none() {
            return Err(format!("{text:?} instead of {}", out["error"]));
        }
        if text.as_deref() != out["text"].as_str() {
            return Err(format!("{text:?}\n   instead of {:?}", out["text"].as_str()));
        }
        there.then_some(bytes)
    } else {
        bytes_to_read(case)
    };
    let expected = out.get("back").unwrap_or(out);
    let read = match converter.decode(bytes.as_deref()) {
        Ok(read) => read,
        Err(error) if !expected["error"].is_null() => {
            return same_error(&expected["error"], &error);
        }
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
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
            return Err(format!("{part} read back {read}\n   instead of {expected}"));
        }
    }
    Ok(())
}

fn bytes_to_read(case: &Json) -> Option<Vec<u8>> {
    if let Some(hex) = case["read_hex"].as_str() {
        return Some(bytes_of_hex(hex));
    }
    case["read"].as_str().map(|text| text.as_bytes().to_vec())
}

fn converter(case: &Json, config: &str) -> cdc_core::Result<JsonConverter> {
    let mut options = JsonOptions::default();
    if config == "given" {
        for (name, value) in case["config"].as_object().into_iter().flatten() {
            options.set(name, value.as_str().unwrap_or_default())?;
        }
    } else {
        options.schemas_enable = config.starts_with("s1");
        options.replace_null_with_default = !config.ends_with("-null");
        if config.contains("-num") {
            options.decimal_format = DecimalFormat::Numeric;
        }
    }
    JsonConverter::new(options, ConnectProfile::default())
}
