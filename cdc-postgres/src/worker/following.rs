//! What the log says, message by message: to events, to the merge with copies, and into the batch. Without I/O.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cdc_core::ChangeEvent;
use tokio::time::Instant;

use super::chunks::{ASK_INTERVAL, REPORT_INTERVAL};
use super::merging::Merging;
use super::signals::Signals;
use crate::batch::BatchBuilder;
use crate::catalog::types::TypeCatalog;
use crate::decode::Decoder;
use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::pgoutput::{Begin, Commit, Message};
use crate::position::{Point, Position};
use crate::streamed::Streamed;
use crate::wire::block::{LogMessage, LogMessages};

/// Idle positions are sent, and the publications looked at, at most this often.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// So many changes, and bytes of their values, are shown to the merge together.
const MAX_PENDING: usize = 1024;
const MAX_PENDING_BYTES: usize = 1 << 20;

/// What ends a block of a transaction in progress.
const STREAM_STOP: u8 = b'E';

/// The state of following.
pub(super) struct Following {
    pub(super) decoder: Decoder,
    pub(super) batch: BatchBuilder,
    pub(super) streamed: Streamed,
    pub(super) types: TypeCatalog,
    /// Snapshots by chunks.
    pub(super) merging: Merging,
    pending: Pending,
    /// What the merge gave of a change, or of rows.
    pub(super) given: Vec<ChangeEvent>,
    pub(super) signals: Signals,
    /// When the server was asked last how far the log goes, and the progress was told.
    pub(super) asked_at: Option<Instant>,
    pub(super) reported_at: Option<Instant>,
    /// Since when rows wait for transactions, or when that was told.
    pub(super) waits_since: Option<Instant>,
    /// Behind the last batch that was sent.
    pub(super) sent: Point,
    /// When the catalog was last looked at, and where the log was then.
    pub(super) looked_at: Option<Instant>,
    pub(super) seen: Lsn,
}

/// Changes that the merge has yet to be shown, each with the bytes of its values.
#[derive(Default)]
struct Pending {
    changes: Vec<(ChangeEvent, usize)>,
    bytes: usize,
}

impl Pending {
    fn push(&mut self, change: ChangeEvent, size: usize) {
        self.bytes += size;
        self.changes.push((change, size));
    }

    fn is_full(&self) -> bool {
        self.changes.len() >= MAX_PENDING || self.bytes >= MAX_PENDING_BYTES
    }
}

/// Why messages are left for later.
pub(super) enum Stop<'a> {
    /// What has come makes a batch.
    Full,
    /// It is neither of a row nor the begin or end of a transaction, and to be taken before the next.
    Other { data: &'a [u8], start: Lsn },
    /// Somebody wants to look between two messages.
    Look,
}

/// Where events go: past the merge where that has nothing to do.
#[inline]
fn outlet(
    is_merging: bool,
    batch: &mut BatchBuilder,
    pending: &mut Pending,
) -> impl FnMut(ChangeEvent, usize) {
    move |event, size| match is_merging {
        false => batch.push_sized(event, size),
        true => pending.push(event, size),
    }
}

impl Following {
    /// Begins behind the point that was sent.
    pub(super) fn new(
        decoder: Decoder,
        batch: BatchBuilder,
        streamed: Streamed,
        merging: Merging,
        signals: Signals,
        sent: &Position,
    ) -> Self {
        Following {
            decoder,
            batch,
            streamed,
            types: TypeCatalog::default(),
            merging,
            pending: Pending::default(),
            given: Vec::new(),
            signals,
            asked_at: None,
            reported_at: None,
            waits_since: None,
            sent: sent.point(),
            looked_at: None,
            seen: sent.end,
        }
    }

    /// Takes messages, parts of `owner`, until something is to be waited for; `None` at their end.
    ///
    /// No future holds what it works on, so that it stays in registers.
    pub(super) fn take_messages<'a>(
        &mut self,
        messages: &mut LogMessages<'a>,
        owner: &Bytes,
        in_stream: bool,
        one_by_one: bool,
    ) -> Result<Option<Stop<'a>>, PostgresError> {
        for message in messages {
            match message {
                Ok(LogMessage::XLogData { start, data }) if self.streamed.is_inside() => {
                    match data.first() {
                        Some(&STREAM_STOP) => self.streamed.stop(),
                        _ => self.streamed.add(start, data)?,
                    }
                    continue;
                }
                Ok(LogMessage::XLogData { start, data }) => {
                    if !self.take_row(data, owner, start, in_stream)?
                        && !self.take_boundary(data, start)?
                    {
                        return Ok(Some(Stop::Other { data, start }));
                    }
                    if self.is_full()? {
                        return Ok(Some(Stop::Full));
                    }
                }
                Ok(LogMessage::Keepalive { end, .. }) => {
                    self.decoder.advance(end);
                    self.reached()?;
                }
                Err(error) => {
                    let position = self.decoder.position().end;
                    return Err(PostgresError::Log { position, reason: error.to_string() });
                }
            }
            if one_by_one || self.signals.are_there() || self.merging.is_active() {
                return Ok(Some(Stop::Look));
            }
        }
        Ok(None)
    }

    /// Takes the change of a row; `false` where the message is another one.
    #[inline]
    fn take_row(
        &mut self,
        data: &[u8],
        owner: &Bytes,
        at: Lsn,
        in_stream: bool,
    ) -> Result<bool, PostgresError> {
        let is_merging = self.merging.is_active();
        let mut came = false;
        let taken = {
            let mut give = outlet(is_merging, &mut self.batch, &mut self.pending);
            let mut out = |event, size| {
                came = true;
                give(event, size);
            };
            self.decoder.change(data, in_stream, owner, at, &mut out)?
        };
        if came && self.signals.has_table() {
            let last = self.pending.changes.last().map(|(event, _)| event);
            self.signals.notice(last.or(self.batch.last()));
        }
        if self.decoder.take_insert_that_lacks() && !is_merging {
            self.show_late()?;
        }
        Ok(taken)
    }

    /// Takes the begin or the commit of a transaction; `false` where the message is another one.
    #[inline]
    fn take_boundary(&mut self, data: &[u8], at: Lsn) -> Result<bool, PostgresError> {
        if let Some(begin) = Begin::read(data) {
            self.begin(&begin, at)?;
        } else if let Some(commit) = Commit::read(data) {
            self.commit(&commit, at)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes a message that is not of a row.
    pub(super) fn decode(&mut self, message: Message, at: Lsn) -> Result<(), PostgresError> {
        match message {
            Message::Begin(begin) => self.begin(&begin, at),
            Message::Commit(commit) => self.commit(&commit, at),
            other => {
                let is_merging = self.merging.is_active();
                let out = &mut outlet(is_merging, &mut self.batch, &mut self.pending);
                self.decoder.decode(other, at, out)
            }
        }
    }

    fn begin(&mut self, begin: &Begin, at: Lsn) -> Result<(), PostgresError> {
        let behind = self.decoder.position().end;
        self.decoder.begin(begin, at)?;
        if self.merging.is_active()
            && let Some(transaction) = self.decoder.transaction()
        {
            self.merging.begin(transaction, behind)?;
        }
        Ok(())
    }

    fn commit(&mut self, commit: &Commit, at: Lsn) -> Result<(), PostgresError> {
        self.show()?;
        let is_merging = self.merging.is_active();
        self.decoder.commit(
            commit,
            at,
            &mut outlet(is_merging, &mut self.batch, &mut self.pending),
        )?;
        if is_merging {
            self.show()?;
            self.merging.commit(self.decoder.position().point().lsn)?;
        }
        Ok(())
    }

    /// The last change has to be shown to a merge that had nothing to do until now.
    #[cold]
    fn show_late(&mut self) -> Result<(), PostgresError> {
        let Some(transaction) = self.decoder.transaction().map(Arc::clone) else { return Ok(()) };
        self.decoder.seal();
        let Some((change, size)) = self.batch.pop() else { return Ok(()) };
        self.merging.begin(&transaction, self.decoder.position().end)?;
        self.pending.push(change, size);
        Ok(())
    }

    /// Shows the merge what has come.
    pub(super) fn show(&mut self) -> Result<(), PostgresError> {
        if self.pending.changes.is_empty() {
            return Ok(());
        }
        // The merge looks at values.
        self.decoder.seal();
        self.pending.bytes = 0;
        for (event, size) in self.pending.changes.drain(..) {
            if self.decoder.is_done(event.origin()) {
                if self.decoder.gives_done() {
                    self.batch.push_sized(event.clone(), size);
                }
                self.merging.already_done(event)?;
                continue;
            }
            self.merging.change(event, &mut self.given)?;
            for event in self.given.drain(..) {
                self.batch.push_sized(event, size);
            }
        }
        Ok(())
    }

    /// Everything before the place of the decoder has come.
    pub(super) fn reached(&mut self) -> Result<(), PostgresError> {
        if !self.merging.is_active() || self.decoder.in_transaction() {
            return Ok(());
        }
        self.show()?;
        self.merging.reached(self.decoder.position().point().lsn)
    }

    /// Whether what has come makes a batch.
    #[inline]
    pub(super) fn is_full(&mut self) -> Result<bool, PostgresError> {
        if self.pending.is_full() {
            self.show()?;
        }
        Ok(self.batch.is_full())
    }

    /// No event waits to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.pending.changes.is_empty()
    }

    /// What an offset has to say now.
    pub(super) fn position(&self) -> Position {
        Position { chunks: self.merging.chunks(), ..self.decoder.position().clone() }
    }

    /// There is a later position and no event that would carry it.
    pub(super) fn wants_idle(&self) -> bool {
        self.is_empty()
            && !self.decoder.in_transaction()
            && self.decoder.position().point() > self.sent
    }

    pub(super) fn next_look(&self) -> Instant {
        self.looked_at.map_or_else(Instant::now, |at| at + LOOK_INTERVAL)
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        let batch = self.batch.deadline().or_else(|| self.wants_idle().then(|| self.next_look()));
        let waits = self.merging.waits_for_log(self.decoder.position().point().lsn);
        let ask = waits.then(|| self.asked_at.map_or_else(Instant::now, |at| at + ASK_INTERVAL));
        let report = self.merging.is_active().then(|| Instant::now() + REPORT_INTERVAL);
        let file = self.signals.wake_at().filter(|_| !self.decoder.in_transaction());
        [batch, self.merging.wake_at(), ask, report, file].into_iter().flatten().min()
    }
}
