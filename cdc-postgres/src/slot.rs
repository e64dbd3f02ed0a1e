//! The replication slot: what the server says of it, making it, dropping it, who holds it.

use std::time::Duration;

use cdc_core::status::{Phase, Progress};
use cdc_pgconn::SqlClient;

use crate::catalog::server::parse_lsn;
use crate::catalog::{failed, get};
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::wire::command::{SlotSnapshot, create_failover_slot, create_slot};
use crate::wire::connection::ReplicationConnection;

/// What the server says of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotFacts {
    pub(crate) plugin: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) temporary: bool,
    pub(crate) active_pid: Option<i32>,
    pub(crate) confirmed: Option<Lsn>,
    /// `lost` when log that it needs was removed (PostgreSQL 13 and later).
    pub(crate) wal_status: Option<String>,
}

impl SlotFacts {
    /// Why it cannot be read from this database, if so.
    pub(crate) fn unusable(&self, database: &str) -> Option<String> {
        match (&self.plugin, &self.database) {
            (None, _) | (_, None) => Some("is a physical slot".to_owned()),
            (Some(plugin), _) if plugin != "pgoutput" => {
                Some(format!("has the output plugin {plugin:?}, not \"pgoutput\""))
            }
            (_, Some(other)) if other != database => {
                Some(format!("is a slot of database {other:?}, not of {database:?}"))
            }
            _ if self.temporary => Some("is temporary".to_owned()),
            _ => None,
        }
    }

    /// Whether log that it needs is gone.
    pub(crate) fn is_lost(&self) -> bool {
        self.wal_status.as_deref() == Some("lost")
    }
}

/// Looks for a slot.
pub(crate) async fn find(
    client: &SqlClient,
    name: &str,
) -> Result<Option<SlotFacts>, PostgresError> {
    let wal_status = if client.server_version() >= 130_000 { "wal_status" } else { "NULL::text" };
    let row = client
        .query_opt(
            &format!(
                "SELECT plugin::text, database::text, temporary, active_pid, \
                        confirmed_flush_lsn::text AS confirmed, {wal_status} AS wal_status \
                 FROM pg_replication_slots WHERE slot_name::text = $1"
            ),
            &[&name],
        )
        .await
        .map_err(failed(client, "looking for the replication slot"))?;
    let Some(row) = row else { return Ok(None) };
    let confirmed: Option<String> = get(client, &row, "confirmed")?;
    Ok(Some(SlotFacts {
        plugin: get(client, &row, "plugin")?,
        database: get(client, &row, "database")?,
        temporary: get(client, &row, "temporary")?,
        active_pid: get(client, &row, "active_pid")?,
        confirmed: confirmed.map(|text| parse_lsn(client, &text)).transpose()?,
        wal_status: get(client, &row, "wal_status")?,
    }))
}

/// Who reads the slot, in words: `process 4711 (application "cdc", from 10.0.0.7)`.
pub(crate) async fn holder(client: &SqlClient, name: &str) -> Result<Holder, PostgresError> {
    let row = client
        .query_opt(
            "SELECT s.active_pid, r.application_name, r.client_addr::text AS address \
             FROM pg_replication_slots s LEFT JOIN pg_stat_replication r ON r.pid = s.active_pid \
             WHERE s.slot_name::text = $1",
            &[&name],
        )
        .await
        .map_err(failed(client, "looking for the reader of the replication slot"))?;
    let Some(row) = row else { return Ok(Holder { pid: None, text: "nobody".to_owned() }) };
    let pid: Option<i32> = get(client, &row, "active_pid")?;
    let application: Option<String> = get(client, &row, "application_name")?;
    let address: Option<String> = get(client, &row, "address")?;
    let mut text = match pid {
        Some(pid) => format!("server process {pid}"),
        None => "a process that just ended".to_owned(),
    };
    if let Some(application) = application {
        text.push_str(&format!(" (application {application:?}"));
        text.push_str(&match address {
            Some(address) => format!(", from {address})"),
            None => ", from this host)".to_owned(),
        });
    }
    Ok(Holder { pid, text })
}

/// Who reads a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) pid: Option<i32>,
    pub(crate) text: String,
}

/// A slot that was made, and the snapshot of that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewSlot {
    pub(crate) start: Lsn,
    pub(crate) snapshot: String,
}

/// How long making a slot may wait before those it waits for are named, and how often then.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes the slot and exports the snapshot of that moment, which is there until the connection's next command.
///
/// The server waits until all open transactions have ended; after 5 s they are named, and waiting goes on.
pub(crate) async fn create(
    connection: &mut ReplicationConnection,
    client: &SqlClient,
    name: &str,
    failover: bool,
    progress: &Progress,
) -> Result<NewSlot, PostgresError> {
    let command = match failover {
        true => create_failover_slot(name),
        false => create_slot(name, false, SlotSnapshot::Export),
    };
    let making = connection.simple_query(&command);
    tokio::pin!(making);
    let mut waited = Duration::ZERO;
    let made = loop {
        tokio::select! {
            made = &mut making => break made,
            () = tokio::time::sleep(PATIENCE) => {
                waited += PATIENCE;
                let open = open_transactions(client, None).await?;
                tell_waiting(progress, &format!("making replication slot {name:?}"), waited, &open);
            }
        }
    };
    let made = made.map_err(|error| match error.sqlstate() {
        Some("53400") => PostgresError::SlotUnusable {
            slot: name.to_owned(),
            reason: "cannot be made: all replication slots are in use; raise max_replication_slots and restart the server, or drop one that is not needed".to_owned(),
        },
        _ => PostgresError::statement(format!("making replication slot {name:?}"), error),
    })?;
    let field = |column: &str| {
        made.text(0, column).map(str::to_owned).ok_or_else(|| PostgresError::SlotUnusable {
            slot: name.to_owned(),
            reason: format!("was made, but the server did not say its {column}"),
        })
    };
    Ok(NewSlot {
        start: parse_lsn(client, &field("consistent_point")?)?,
        snapshot: field("snapshot_name")?,
    })
}

/// Warns that something waits for open transactions, and names them.
pub(crate) async fn warn_of_open_transactions(
    client: &SqlClient,
    what: &str,
) -> Result<(), PostgresError> {
    let open = open_transactions(client, None).await?;
    if !open.is_empty() {
        tracing::warn!("{what} wait for transactions to end: {}", open.join(", "));
    }
    Ok(())
}

fn tell_waiting(progress: &Progress, why: &str, waited: Duration, open: &[String]) {
    let who = if open.is_empty() { "(none is visible)".to_owned() } else { open.join(", ") };
    let reason = format!("{why} waits since {} s for open transactions: {who}", waited.as_secs());
    tracing::warn!("{reason}");
    progress.set_phase(Phase::Waiting { reason });
}

/// The transactions that have written something and are open, in words; without the right to see other roles'
/// sessions only their pids.
async fn open_transactions(
    client: &SqlClient,
    except: Option<i32>,
) -> Result<Vec<String>, PostgresError> {
    const SHOWN: usize = 80;
    let rows = client
        .query(
            "SELECT DISTINCT l.pid, a.state, a.query, p.gid \
             FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid \
             LEFT JOIN pg_prepared_xacts p ON p.transaction = l.transactionid \
             WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted \
               AND l.pid IS DISTINCT FROM pg_backend_pid() AND l.pid IS DISTINCT FROM $1 \
             ORDER BY l.pid LIMIT 10",
            &[&except],
        )
        .await
        .map_err(failed(client, "looking for open transactions"))?;
    rows.iter()
        .map(|row| {
            let pid: Option<i32> = get(client, row, "pid")?;
            let state: Option<String> = get(client, row, "state")?;
            let query: Option<String> = get(client, row, "query")?;
            let gid: Option<String> = get(client, row, "gid")?;
            Ok(match (pid, gid) {
                (_, Some(gid)) => format!("prepared transaction {gid:?}"),
                (Some(pid), None) => {
                    let query: String = query
                        .unwrap_or_default()
                        .chars()
                        .map(|c| if c.is_control() { ' ' } else { c })
                        .take(SHOWN)
                        .collect();
                    let state = state.unwrap_or_else(|| "state unknown".to_owned());
                    format!("pid {pid} ({state}: {query})")
                }
                (None, None) => "a transaction without a process".to_owned(),
            })
        })
        .collect()
}

/// Drops the slot. Nothing happens when it is gone.
pub(crate) async fn drop(client: &SqlClient, name: &str) -> Result<(), PostgresError> {
    // A reader that has just closed its connection may still hold the slot for a moment.
    const ATTEMPTS: u32 = 20;
    for attempt in 1.. {
        let dropped = client
            .execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name::text = $1",
                &[&name],
            )
            .await
            .map_err(failed(client, "dropping the replication slot"));
        match dropped {
            Err(error) if error.sqlstate() == Some("55006") && attempt < ATTEMPTS => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) if error.sqlstate() == Some("55006") => {
                let holder = holder(client, name).await?.text;
                return Err(PostgresError::SlotInUse { slot: name.to_owned(), holder });
            }
            Err(error) => return Err(error),
            Ok(_) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_of_another_plugin_or_database_is_named() {
        let slot = SlotFacts {
            plugin: Some("pgoutput".into()),
            database: Some("shop".into()),
            temporary: false,
            active_pid: None,
            confirmed: Some(Lsn(1)),
            wal_status: Some("reserved".into()),
        };
        assert_eq!(slot.unusable("shop"), None);
        assert!(slot.unusable("other").unwrap().contains("\"shop\""));
        let other = SlotFacts { plugin: Some("test_decoding".into()), ..slot.clone() };
        assert!(other.unusable("shop").unwrap().contains("test_decoding"));
        let physical = SlotFacts { plugin: None, database: None, ..slot };
        assert!(physical.unusable("shop").unwrap().contains("physical"));
    }
}
