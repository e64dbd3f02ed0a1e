//! Server and role: settings, rights, counts.

use cdc_pgconn::SqlClient;

use super::{failed, get};
use crate::error::PostgresError;
use crate::lsn::Lsn;

/// What decides whether the server can be read.
#[derive(Debug, Clone)]
pub(crate) struct ServerFacts {
    pub(crate) version: u32,
    pub(crate) version_text: String,
    pub(crate) wal_level: String,
    pub(crate) encoding: String,
    pub(crate) in_recovery: bool,
    pub(crate) role: String,
    pub(crate) may_replicate: bool,
    pub(crate) may_create_in_database: bool,
    pub(crate) max_slots: i64,
    pub(crate) slots: i64,
    pub(crate) max_senders: i64,
    pub(crate) senders: i64,
    pub(crate) database: String,
    pub(crate) system: String,
    pub(crate) segment_size: u64,
}

/// Reads the facts.
pub(crate) async fn facts(client: &SqlClient) -> Result<ServerFacts, PostgresError> {
    const WHAT: &str = "reading the server's settings";
    let row = client
        .query_one(
            "SELECT current_setting('server_version') AS version_text, \
                    current_setting('wal_level') AS wal_level, \
                    pg_encoding_to_char(d.encoding)::text AS encoding, \
                    pg_is_in_recovery() AS in_recovery, \
                    current_user::text AS role, \
                    r.rolsuper OR r.rolreplication OR EXISTS ( \
                        SELECT FROM pg_roles m WHERE m.rolname IN ('rds_replication', 'rds_superuser', 'rdsadmin') \
                        AND pg_has_role(current_user, m.oid, 'MEMBER')) AS may_replicate, \
                    has_database_privilege(current_database(), 'CREATE') AS may_create, \
                    current_setting('max_replication_slots')::int8 AS max_slots, \
                    (SELECT count(*) FROM pg_replication_slots) AS slots, \
                    current_setting('max_wal_senders')::int8 AS max_senders, \
                    (SELECT count(*) FROM pg_stat_replication) AS senders, \
                    current_database()::text AS database, \
                    (SELECT system_identifier::text FROM pg_control_system()) AS system, \
                    (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_segment_size') AS segment_size \
             FROM pg_database d, pg_roles r \
             WHERE d.datname = current_database() AND r.rolname = current_user",
            &[],
        )
        .await
        .map_err(failed(client, WHAT))?;
    Ok(ServerFacts {
        version: client.server_version(),
        version_text: get(client, &row, "version_text")?,
        wal_level: get(client, &row, "wal_level")?,
        encoding: get(client, &row, "encoding")?,
        in_recovery: get(client, &row, "in_recovery")?,
        role: get(client, &row, "role")?,
        may_replicate: get(client, &row, "may_replicate")?,
        may_create_in_database: get(client, &row, "may_create")?,
        max_slots: get(client, &row, "max_slots")?,
        slots: get(client, &row, "slots")?,
        max_senders: get(client, &row, "max_senders")?,
        senders: get(client, &row, "senders")?,
        database: get(client, &row, "database")?,
        system: get(client, &row, "system")?,
        segment_size: u64::try_from(get::<i64>(client, &row, "segment_size")?).unwrap_or(1 << 24),
    })
}

/// The server's timeline.
pub(crate) async fn timeline(client: &SqlClient) -> Result<u32, PostgresError> {
    let row = client
        .query_one("SELECT timeline_id FROM pg_control_checkpoint()", &[])
        .await
        .map_err(failed(client, "reading the timeline"))?;
    let timeline: i32 = get(client, &row, "timeline_id")?;
    Ok(u32::try_from(timeline).unwrap_or_default())
}

/// The end of the log where the next record will begin.
pub(crate) async fn insert_position(
    client: &SqlClient,
    segment_size: u64,
) -> Result<Lsn, PostgresError> {
    position(client, "pg_current_wal_insert_lsn()", segment_size).await
}

/// The end of what is on the server's disk: what is behind it, such as the changes of a transaction that is open, may not be
/// sent for many seconds.
pub(crate) async fn flushed_position(
    client: &SqlClient,
    segment_size: u64,
) -> Result<Lsn, PostgresError> {
    position(client, "pg_current_wal_flush_lsn()", segment_size).await
}

async fn position(
    client: &SqlClient,
    function: &str,
    segment_size: u64,
) -> Result<Lsn, PostgresError> {
    let row = client
        .query_one(&format!("SELECT {function}::text AS lsn"), &[])
        .await
        .map_err(failed(client, "reading the end of the log"))?;
    let lsn: String = get(client, &row, "lsn")?;
    Ok(before_page_header(parse_lsn(client, &lsn)?, segment_size))
}

pub(crate) fn parse_lsn(client: &SqlClient, text: &str) -> Result<Lsn, PostgresError> {
    text.parse().map_err(|error: crate::lsn::ParseLsnError| {
        cdc_pgconn::ConnectError::protocol(client.target(), error.to_string()).into()
    })
}

/// A position just behind a page header is the page's start: nothing is between, and the end of a record that fills
/// its page is reported as the latter, so that an idle server would never seem to pass the former.
pub(crate) fn before_page_header(lsn: Lsn, segment_size: u64) -> Lsn {
    const PAGE: u64 = 8_192;
    const SHORT_HEADER: u64 = 24;
    const LONG_HEADER: u64 = 40;
    let in_segment = lsn.0 % segment_size.max(PAGE);
    if in_segment == LONG_HEADER {
        Lsn(lsn.0 - LONG_HEADER)
    } else if in_segment > PAGE && in_segment % PAGE == SHORT_HEADER {
        Lsn(lsn.0 - SHORT_HEADER)
    } else {
        lsn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_behind_a_page_header_is_the_pages_start() {
        let segment = 16 << 20;
        assert_eq!(before_page_header(Lsn(segment + 40), segment), Lsn(segment));
        assert_eq!(before_page_header(Lsn(segment + 24), segment), Lsn(segment + 24));
        assert_eq!(before_page_header(Lsn(3 * 8_192 + 24), segment), Lsn(3 * 8_192));
        assert_eq!(before_page_header(Lsn(3 * 8_192 + 40), segment), Lsn(3 * 8_192 + 40));
        assert_eq!(before_page_header(Lsn(12_345), segment), Lsn(12_345));
    }
}
