//! The library to the bytes of Debezium's JSON, key and value, without schemas.

use cdc_core::Operation;
use cdc_core::connect::{ConnectProfile, ConverterType, JsonConverter, JsonOptions, Processed};

use super::pipeline;
use crate::Outcome;
use crate::child::{Measured, Task};

pub(crate) async fn run(task: &Task) -> Outcome<Measured> {
    let source = pipeline::source(task).build()?;
    let converter = |converter_type| {
        let mut options = JsonOptions::default();
        options.schemas_enable = false;
        options.converter_type = converter_type;
        JsonConverter::new(options, ConnectProfile::builder().topic_prefix("bench").build())
    };
    let (mut keys, mut values) = (converter(ConverterType::Key)?, converter(ConverterType::Value)?);
    let mut out = Vec::with_capacity(1 << 20);
    let mut batch = 0;
    let mut processed = Processed::now();
    let take = move |event: &cdc_core::ChangeEvent| {
        if event.origin().batch != batch {
            batch = event.origin().batch;
            processed = Processed::now();
        }
        if out.len() > 1 << 19 {
            out.clear();
        }
        keys.encode_key(event, processed, &mut out)?;
        values.encode_value(event, processed, &mut out)?;
        Ok(u64::from(event.operation() == Some(Operation::Create)))
    };
    pipeline::run(source, task.rows, take).await
}
