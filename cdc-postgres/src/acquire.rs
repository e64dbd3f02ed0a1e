//! Becoming the only reader of the log, or waiting for it as a hot standby.

use std::time::Duration;

use cdc_core::SourceContext;
use cdc_core::status::Phase;
use cdc_pgconn::{ConnectError, SqlClient};
use tokio::time::Instant;

use crate::catalog;
use crate::error::PostgresError;
use crate::feedback::{Acknowledged, Stop};
use crate::identity;
use crate::lsn::Lsn;
use crate::options::Options;
use crate::slot;
use crate::stream::LogStream;
use crate::survey::Survey;
use crate::timeline::History;
use crate::wire::command::source_options;
use crate::wire::connection::ReplicationConnection;

/// How often a waiting instance looks whether the slot is free.
const POLL: Duration = Duration::from_millis(500);
/// How long the server may take to notice that a reader that was killed is gone; one that holds the slot longer is another instance.
const SETTLING: Duration = Duration::from_secs(1);

/// Everything that a start needs, held by this instance alone.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) sql: SqlClient,
    pub(crate) survey: Survey,
    pub(crate) context: SourceContext,
    pub(crate) history: History,
    pub(crate) wal_sender_timeout: Duration,
    pub(crate) link: Link,
}

/// The replication connection.
#[derive(Debug)]
pub(crate) enum Link {
    /// There is no slot yet.
    Idle(Box<ReplicationConnection>),
    /// The slot is held: its stream runs from its confirmed position.
    Streaming(LogStream),
    /// The stream has gone on to be read.
    Taken,
}

/// Connects, checks, and takes the slot if there is one. `former` is the server process of this instance's connection
/// before, which may not have noticed yet that it is alone.
pub(crate) async fn acquire(
    options: &Options,
    context: &SourceContext,
    acknowledged: &Acknowledged,
    stop: &Stop,
    former: Option<i32>,
) -> Result<(Held, Option<i32>), PostgresError> {
    let pipeline = &*context.pipeline;
    let slot_name = options.slot_name(pipeline);
    let names = options.publications(pipeline);
    let sql = catalog::connect(&options.sql).await?;
    let mut survey = Survey::take(&sql, options, pipeline).await?;
    if !options.streams() {
        let history = History::new(catalog::server::timeline(&sql).await?, "");
        let (context, link) = (context.clone(), Link::Taken);
        let wal_sender_timeout = Duration::ZERO;
        return Ok((Held { sql, survey, context, history, wal_sender_timeout, link }, None));
    }
    let (mut told, mut waited) = (false, false);
    let until = match context.wait {
        true => options.settings.slot_patience.map(|patience| Instant::now() + patience),
        false => Some(Instant::now() + SETTLING),
    };
    loop {
        // One that has lost log cannot be read; what becomes of it is decided by the offset.
        let lost =
            options.copies_when_needed() && survey.slot.as_ref().is_some_and(|slot| slot.is_lost());
        if survey.slot.is_some() && !lost {
            check_held_slot(&survey, options, pipeline)?;
        }
        let connected = ReplicationConnection::connect_on_thread(&options.sql.config).await;
        let refused = match connected {
            Ok(mut link) => {
                let (history, wal_sender_timeout) = identify(&mut link).await?;
                let wal_sender_timeout =
                    patience(wal_sender_timeout, options.settings.status_interval);
                let process = link.cancel_key().map(|key| key.process_id);
                if survey.slot.is_none() || lost {
                    survey = with_identities(&sql, options, pipeline, survey).await?;
                    let link = Link::Idle(Box::new(link));
                    let context = context.clone();
                    let held = Held { sql, survey, context, history, wal_sender_timeout, link };
                    return Ok((held, process));
                }
                let publications: Vec<&str> = names.iter().map(String::as_str).collect();
                let started = start(link, &slot_name, &publications, options).await;
                match started {
                    Ok(copy) => {
                        let link = Link::Streaming(LogStream::start(
                            copy,
                            acknowledged.subscribe(),
                            stop.subscribe(),
                            wal_sender_timeout,
                            queue_bytes(context, options),
                        ));
                        if waited {
                            // Much may have changed while this instance waited.
                            survey = Survey::take(&sql, options, pipeline).await?;
                        }
                        survey = with_identities(&sql, options, pipeline, survey).await?;
                        let context = context.clone();
                        let held = Held { sql, survey, context, history, wal_sender_timeout, link };
                        return Ok((held, process));
                    }
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // No sender is free while the other instance has the last one.
        let waits = match refused.sqlstate() {
            Some("55006") => true,
            Some("53300") => survey.slot.as_ref().is_some_and(|slot| slot.active_pid.is_some()),
            _ => false,
        };
        if !waits {
            return Err(start_failed(refused, &slot_name));
        }
        let holder = slot::holder(&sql, &slot_name).await?;
        if holder.pid.is_some() && holder.pid == former {
            end_process(&sql, former).await?;
        } else if holder.pid.is_some() && until.is_some_and(|end| end <= Instant::now()) {
            return Err(PostgresError::SlotInUse { slot: slot_name, holder: holder.text });
        } else if !told && holder.pid.is_some() && context.wait {
            told = true;
            tracing::warn!(slot = %slot_name, holder = %holder.text, "the slot is in use; waiting to take over");
            context.progress.set_phase(Phase::Standby { holder: holder.text });
        }
        waited = true;
        wait_until_free(&sql, &slot_name, until).await?;
        survey.slot = slot::find(&sql, &slot_name).await?;
    }
}

/// How much of the log is read ahead where nothing is configured: what comes in ten milliseconds at full speed. More waits for
/// as long behind a slow sink, and takes memory.
const READ_AHEAD: usize = 1 << 20;

/// How much of the log is read ahead.
pub(crate) fn queue_bytes(context: &SourceContext, options: &Options) -> usize {
    options.settings.limits.queue_bytes.unwrap_or(context.limits.max_bytes.min(READ_AHEAD))
}

/// Status updates are sent within a third of the server's patience: a shorter one makes them come as often as is wanted.
fn patience(wal_sender_timeout: Duration, status_interval: Option<Duration>) -> Duration {
    match status_interval.map(|interval| interval.saturating_mul(3)) {
        None => wal_sender_timeout,
        Some(wanted) if wal_sender_timeout.is_zero() => wanted,
        Some(wanted) => wanted.min(wal_sender_timeout),
    }
}

/// Gives tables the identity that is configured, and looks again where that changed any.
async fn with_identities(
    sql: &SqlClient,
    options: &Options,
    pipeline: &str,
    survey: Survey,
) -> Result<Survey, PostgresError> {
    match identity::apply(sql, &options.settings.identities, &survey.tables).await? {
        true => Survey::take(sql, options, pipeline).await,
        false => Ok(survey),
    }
}

/// Starts the stream at the slot's own position; what is done already is left out here.
pub(crate) async fn start(
    link: ReplicationConnection,
    slot: &str,
    publications: &[&str],
    options: &Options,
) -> Result<crate::wire::copy_both::CopyBoth, ConnectError> {
    let mut plugin =
        source_options(link.server_version(), publications, options.settings.in_progress);
    if let Some(origin) = options.settings.origin {
        plugin.push(("origin".to_owned(), origin.as_str().to_owned()));
    }
    link.start_replication(slot, Lsn::ZERO, &plugin).await
}

/// What a failed start of the stream, or its end by an error, means for the slot.
pub(crate) fn start_failed(error: ConnectError, slot: &str) -> PostgresError {
    let Some(server) = error.server() else { return error.into() };
    let message = server.message.as_str();
    let removed = server.code == "58P01"
        || message.contains("requested WAL segment")
        || server.code == "55000"
            && (message.contains("can no longer get changes")
                || message.contains("can no longer access replication slot")
                || message.contains("has been invalidated")
                || message.contains("cannot read from logical replication slot"));
    if removed {
        return PostgresError::WalRemoved { slot: slot.to_owned(), reason: message.to_owned() };
    }
    PostgresError::statement(format!("reading replication slot {slot:?}"), error)
}

/// What can be said of an existing slot without an offset.
fn check_held_slot(
    survey: &Survey,
    options: &Options,
    pipeline: &str,
) -> Result<(), PostgresError> {
    let Some(found) = &survey.slot else { return Ok(()) };
    let slot = options.slot_name(pipeline);
    if found.is_lost() {
        return Err(PostgresError::WalRemoved {
            slot,
            reason: "its wal_status is lost".to_owned(),
        });
    }
    let missing = match (&survey.plan, &survey.single) {
        (Some(plan), _) => plan.missing(),
        (None, single) => single.as_ref().and_then(|single| single.missing()),
    };
    if let Some(missing) = missing {
        return Err(PostgresError::Publication {
            publication: missing.to_owned(),
            what: "does not exist, though its slot does: it was dropped",
            position: found.confirmed.unwrap_or_default(),
            slot,
        });
    }
    Ok(())
}

/// The server's timelines and its patience.
async fn identify(link: &mut ReplicationConnection) -> Result<(History, Duration), PostgresError> {
    let system = link.simple_query("IDENTIFY_SYSTEM").await?;
    let timeline: u32 =
        system.text(0, "timeline").and_then(|text| text.parse().ok()).unwrap_or_default();
    let mut file = String::new();
    if timeline > 1 {
        // An old history file may be gone; then only the present timeline is known.
        match link.simple_query(&format!("TIMELINE_HISTORY {timeline}")).await {
            Ok(history) => file = history.text(0, "content").unwrap_or_default().to_owned(),
            Err(error) if error.sqlstate() == Some("58P01") => {}
            Err(error) => return Err(error.into()),
        }
    }
    let timeout = link
        .simple_query(
            "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'",
        )
        .await?;
    let millis = timeout.text(0, "setting").and_then(|text| text.parse().ok()).unwrap_or(60_000);
    Ok((History::new(timeline, &file), Duration::from_millis(millis)))
}

/// Waits until nobody reads the slot, at most until a moment where one is given.
pub(crate) async fn wait_until_free(
    sql: &SqlClient,
    slot: &str,
    until: Option<Instant>,
) -> Result<(), PostgresError> {
    // A reader that ends lets go at once, one that runs does not.
    for pause in [POLL / 10; 10].into_iter().chain(std::iter::repeat(POLL)) {
        tokio::time::sleep(pause).await;
        if until.is_some_and(|until| until <= Instant::now()) {
            break;
        }
        if slot::find(sql, slot).await?.is_none_or(|found| found.active_pid.is_none()) {
            break;
        }
    }
    Ok(())
}

/// Ends this instance's own former server process, which still holds the slot after a broken connection.
async fn end_process(sql: &SqlClient, process: Option<i32>) -> Result<(), PostgresError> {
    sql.execute("SELECT pg_terminate_backend($1)", &[&process])
        .await
        .map(drop)
        .map_err(catalog::failed(sql, "ending the connection before"))
}
