//! `slot.*` and how the log is read.

use std::time::Duration;

use cdc_core::{Properties, Result};

use super::{invalid, text};
use crate::builder::Given;
use crate::names::check_slot_name;
use crate::options::OriginFilter;

pub(super) fn read(properties: &Properties, given: &mut Given) -> Result<()> {
    let plugin = "other output plugins are extensions; pgoutput is part of every server";
    properties.accept_only("plugin.name", &["pgoutput"], plugin)?;
    let name = properties.string("slot.name", "debezium");
    check_slot_name(&name).map_err(|why| invalid("slot.name", &name, why))?;
    given.settings.slot_name = Some(name);
    given.settings.drop_slot_on_stop = properties.bool("slot.drop.on.stop", false)?;
    given.settings.failover_slot = properties.bool("slot.failover", false)?;
    given.settings.adopt_slot = properties.bool("cdc.slot.adopt", false)?;
    if let Some(parameters) = text(properties, "slot.stream.params") {
        given.settings.origin = origin(parameters)?;
    }
    given.settings.slot_patience = patience(properties)?;
    given.settings.transaction_markers = properties.bool("provide.transaction.metadata", false)?;
    given.settings.unique_keys = true;
    let saved = "the server is told what is saved, and nothing else";
    properties.accept_only("lsn.flush.mode", &["connector"], saved)?;
    properties.accept_only("flush.lsn.source", &["true"], saved)?;
    let log = "the schema of a change is the log's";
    properties.accept_only("schema.refresh.mode", &["columns_diff"], log)?;
    properties.accept_only(
        "read.only",
        &["false"],
        "publication and slot are made where needed",
    )?;
    properties.accept_only("xmin.fetch.interval.ms", &["0"], "xmin is not read")
}

/// `origin=none`, the one parameter that is not the library's own.
fn origin(parameters: &str) -> Result<Option<OriginFilter>> {
    const NAME: &str = "slot.stream.params";
    let mut origin = None;
    for parameter in parameters.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        origin = match (name.trim(), value.trim()) {
            ("origin", "any") => Some(OriginFilter::Any),
            ("origin", "none") => Some(OriginFilter::None),
            ("origin", other) => {
                return Err(invalid(
                    NAME,
                    parameters,
                    format_args!("origin={other} is neither any nor none"),
                ));
            }
            (other, _) => {
                return Err(invalid(NAME, parameters, format_args!("the parameter {other:?} is not supported"))
                    .remedy("leave it out: but for origin the parameters are chosen by the server's version"));
            }
        };
    }
    Ok(origin)
}

/// Retries times their delay; where neither is set a slot is waited for as long as it takes.
fn patience(properties: &Properties) -> Result<Option<Duration>> {
    let set = properties.get("slot.max.retries").is_some()
        || properties.get("slot.retry.delay.ms").is_some();
    let retries = properties.i32_at_least("slot.max.retries", 0, 6)?;
    let delay = properties.millis("slot.retry.delay.ms", 10_000)?;
    Ok(set.then(|| delay.saturating_mul(u32::try_from(retries).unwrap_or_default())))
}
