//! Which transactions may stand in the log without being visible yet.

use cdc_pgconn::SqlClient;

use super::visible::Barrier;
use crate::catalog::{failed, get};
use crate::error::PostgresError;
use crate::snapshot;

/// A transaction holds the lock on its own id from when it gets the id until others can see that it has ended. A snapshot does
/// not do: it lists no ids from its `xmax` on.
///
/// Transactions of other databases are in another log and do not count.
pub(super) async fn barrier(client: &SqlClient) -> Result<Barrier, PostgresError> {
    const WHAT: &str = "looking for transactions that are not visible yet";
    let rows = client
        .query(
            "SELECT transactionid::text AS xid, pid, virtualtransaction AS holder FROM pg_locks \
             WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND granted",
            &[],
        )
        .await
        .map_err(failed(client, WHAT))?;
    if rows.is_empty() {
        return Ok(Barrier::default());
    }
    // After the locks: a process that is of another database now was so when it had the lock, or its transaction has ended.
    let elsewhere = client
        .query(
            "SELECT pid, NULL AS xid FROM pg_stat_activity WHERE datname <> current_database() \
             UNION ALL SELECT NULL, transaction::text FROM pg_prepared_xacts WHERE database <> current_database()",
            &[],
        )
        .await
        .map_err(failed(client, WHAT))?;
    let elsewhere = elsewhere
        .iter()
        .map(|row| Ok((get(client, row, "pid")?, get(client, row, "xid")?)))
        .collect::<Result<Vec<(Option<i32>, Option<String>)>, PostgresError>>()?;
    let now = snapshot::current(client).await?;
    let mut held = Vec::new();
    for row in &rows {
        let xid: String = get(client, row, "xid")?;
        let pid: Option<i32> = get(client, row, "pid")?;
        let is_elsewhere = elsewhere.iter().any(|(other_pid, other_xid)| {
            (pid.is_some() && *other_pid == pid) || other_xid.as_deref() == Some(&*xid)
        });
        let Ok(xid) = xid.parse::<u32>() else { continue };
        if !is_elsewhere {
            held.push(Held { xid: now.widen(xid), holder: get(client, row, "holder")?, pid });
        }
    }
    Ok(Barrier::new(without_subtransactions(held)))
}

#[derive(Debug, Clone)]
struct Held {
    xid: u64,
    /// Of a prepared transaction it need not be its own.
    holder: String,
    pid: Option<i32>,
}

/// The log names a transaction alone, and not what it did in savepoints, which has ids of its own. The transaction has the oldest.
fn without_subtransactions(held: Vec<Held>) -> Vec<u64> {
    let is_sub = |sub: &Held| {
        sub.pid.is_some()
            && held
                .iter()
                .any(|top| top.pid == sub.pid && top.holder == sub.holder && top.xid < sub.xid)
    };
    held.iter().filter(|held| !is_sub(held)).map(|held| held.xid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_transaction_with_savepoints_its_own_id_counts() {
        let held = |xid, holder: &str, pid| Held { xid, holder: holder.to_owned(), pid };
        let all = vec![
            held(12, "3/7", Some(1)),
            held(10, "3/7", Some(1)),
            held(11, "4/2", Some(2)),
            // Prepared ones are told apart by their ids alone.
            held(5, "-1/7", None),
            held(6, "-1/7", None),
        ];
        assert_eq!(without_subtransactions(all), [10, 11, 5, 6]);
    }
}
