//! `snapshot.*`.

use std::num::NonZeroUsize;
use std::time::Duration;

use cdc_core::{Error, Properties, Result, TableId};

use super::refused::REFUSED_SNAPSHOT_MODES;
use super::{count, invalid, text};
use crate::builder::Given;
use crate::options::SnapshotMode;

pub(super) fn read(properties: &Properties, given: &mut Given) -> Result<()> {
    given.settings.snapshot = mode(properties)?;
    let why = "rows are read in one REPEATABLE READ transaction; a weaker one would show half of a transaction";
    let levels = ["serializable", "repeatable_read"];
    properties.accept_only("snapshot.isolation.mode", &levels, why)?;
    let why = "tables are locked in ACCESS SHARE mode";
    properties.accept_only("snapshot.locking.mode", &["none", "shared"], why)?;
    let is_shared = text(properties, "snapshot.locking.mode")
        .is_some_and(|mode| mode.eq_ignore_ascii_case("shared"));
    let timeout = properties.millis("snapshot.lock.timeout.ms", 10_000)?;
    if is_shared || properties.get("snapshot.lock.timeout.ms").is_some() {
        given.settings.snapshot_lock_timeout =
            Some(timeout).filter(|timeout| *timeout > Duration::ZERO);
    }
    given.settings.snapshot_fetch_size = count(properties, "snapshot.fetch.size", 1)?;
    given.settings.chunk_rows = count(properties, "incremental.snapshot.chunk.size", 1)?
        .and_then(|rows| u64::try_from(rows).ok());
    given.settings.selects = selects(properties)?;
    let connections = count(properties, "snapshot.max.threads", 1)?.and_then(NonZeroUsize::new);
    given.settings.snapshot_connections = connections.unwrap_or(NonZeroUsize::MIN);
    Ok(())
}

/// What is read in place of tables: a list of them, and an option for each.
fn selects(properties: &Properties) -> Result<Vec<(TableId, String)>> {
    const NAME: &str = "snapshot.select.statement.overrides";
    let read = |table: String| {
        let Some((schema, name)) = table.split_once('.') else {
            return Err(invalid(NAME, &table, "it is no table of the form schema.table"));
        };
        let select = properties.required(&format!("{NAME}.{table}"))?;
        Ok((TableId::new(schema, name), select.to_owned()))
    };
    properties.list(NAME).into_iter().map(read).collect()
}

fn mode(properties: &Properties) -> Result<SnapshotMode> {
    if let Some(mode) = text(properties, "snapshot.mode")
        && let Some((mode, remedy)) =
            REFUSED_SNAPSHOT_MODES.iter().find(|(known, _)| known.eq_ignore_ascii_case(mode))
    {
        return Err(Error::configuration(format!(
            "The value {mode} of the configuration \"snapshot.mode\" is not supported"
        ))
        .remedy(*remedy));
    }
    let modes = ["initial", "always", "initial_only", "no_data", "when_needed"];
    Ok(match properties.one_of("snapshot.mode", &modes, "initial")? {
        "always" => SnapshotMode::Always,
        "initial_only" => SnapshotMode::InitialOnly,
        "no_data" => SnapshotMode::NoData,
        "when_needed" => SnapshotMode::WhenNeeded,
        _ => SnapshotMode::Initial,
    })
}
