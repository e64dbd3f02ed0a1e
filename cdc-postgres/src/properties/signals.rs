//! `signal.*`: where somebody asks a running source for something.

use std::time::Duration;

use cdc_core::{Properties, Result, TableId};

use super::{invalid, text};
use crate::builder::Given;

pub(super) fn read(properties: &Properties, given: &mut Given) -> Result<()> {
    const CHANNELS: &str = "signal.enabled.channels";
    const TABLE: &str = "signal.data.collection";
    let channels = match properties.get(CHANNELS) {
        Some(_) => properties.list(CHANNELS),
        None => vec!["source".to_owned()],
    };
    if let Some(other) = channels.iter().find(|channel| !["source", "file"].contains(&&***channel))
    {
        return Err(invalid(CHANNELS, other, "only source and file")
            .remedy("ask the handle of the running pipeline where a program is to do it"));
    }
    let has = |name| channels.iter().any(|channel| channel == name);
    let signals = &mut given.settings.signals;
    if let Some(table) = text(properties, TABLE) {
        let Some((schema, name)) = table.split_once('.') else {
            return Err(invalid(TABLE, table, "it is no table of the form schema.table"));
        };
        signals.table = has("source").then(|| TableId::new(schema, name));
    }
    let file = properties.string("signal.file", "file-signals.txt");
    signals.file = has("file").then(|| file.into());
    signals.interval =
        properties.millis("signal.poll.interval.ms", 5_000)?.max(Duration::from_millis(1));
    Ok(())
}
