//! Which transactions have not ended, and which of them may stand in the log without being visible yet.

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
    // After the locks: a process that is of another database now was so when it had the lock, or its transaction has ended. In
    // the same way: that of a session that idles in a transaction now is this one, which commits later, or has ended. (Workers say
    // that they idle while they commit.)
    let sessions = client
        .query(
            "SELECT pid, NULL AS xid, datname <> current_database() AS elsewhere, \
                    coalesce(backend_type = 'client backend' AND state = 'idle in transaction', false) AS idles \
             FROM pg_stat_activity WHERE datname IS NOT NULL \
             UNION ALL SELECT NULL, transaction::text, true, false FROM pg_prepared_xacts WHERE database <> current_database()",
            &[],
        )
        .await
        .map_err(failed(client, WHAT))?;
    let sessions = sessions
        .iter()
        .map(|row| {
            Ok(Session {
                pid: get(client, row, "pid")?,
                xid: get(client, row, "xid")?,
                elsewhere: get(client, row, "elsewhere")?,
                idles: get(client, row, "idles")?,
            })
        })
        .collect::<Result<Vec<Session>, PostgresError>>()?;
    let now = snapshot::current(client).await?;
    let mut held = Vec::new();
    for row in &rows {
        let xid: String = get(client, row, "xid")?;
        let pid: Option<i32> = get(client, row, "pid")?;
        let session = sessions.iter().find(|session| {
            (pid.is_some() && session.pid == pid) || session.xid.as_deref() == Some(&*xid)
        });
        let Ok(xid) = xid.parse::<u32>() else { continue };
        if !session.is_some_and(|session| session.elsewhere) {
            let idles = session.is_some_and(|session| session.idles);
            held.push(Held {
                xid: now.widen(xid),
                holder: get(client, row, "holder")?,
                pid,
                idles,
            });
        }
    }
    let mut barrier = Barrier::default();
    for held in without_subtransactions(held) {
        let side = if held.idles { &mut barrier.open } else { &mut barrier.perhaps_logged };
        side.push(held.xid);
    }
    Ok(barrier)
}

/// Who may hold a lock.
#[derive(Debug)]
struct Session {
    pid: Option<i32>,
    /// Of a prepared transaction, which has no process.
    xid: Option<String>,
    elsewhere: bool,
    idles: bool,
}

#[derive(Debug, Clone)]
struct Held {
    xid: u64,
    /// Of a prepared transaction it need not be its own.
    holder: String,
    pid: Option<i32>,
    /// Its session waits for the next statement.
    idles: bool,
}

/// The log names a transaction alone, and not what it did in savepoints, which has ids of its own. The transaction has the oldest.
fn without_subtransactions(held: Vec<Held>) -> Vec<Held> {
    let is_sub = |sub: &Held| {
        sub.pid.is_some()
            && held
                .iter()
                .any(|top| top.pid == sub.pid && top.holder == sub.holder && top.xid < sub.xid)
    };
    held.iter().filter(|held| !is_sub(held)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_transaction_with_savepoints_its_own_id_counts() {
        let held =
            |xid, holder: &str, pid| Held { xid, holder: holder.to_owned(), pid, idles: false };
        let all = vec![
            held(12, "3/7", Some(1)),
            held(10, "3/7", Some(1)),
            held(11, "4/2", Some(2)),
            // Prepared ones are told apart by their ids alone.
            held(5, "-1/7", None),
            held(6, "-1/7", None),
        ];
        let left: Vec<u64> = without_subtransactions(all).iter().map(|held| held.xid).collect();
        assert_eq!(left, [10, 11, 5, 6]);
    }
}
