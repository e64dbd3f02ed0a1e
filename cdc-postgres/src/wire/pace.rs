//! When to read: how a reader makes the server fast.
//!
//! The walsender sends message by message. A reader that sleeps in `read` is woken by each of them, and the wake-up is
//! paid by the walsender, as is a packet of its own for every message: more than half of its time. A reader that stays away
//! for a moment is woken by none, and its silence makes the server's TCP put what follows into few large packets. So while
//! there is a backlog this side pauses for [`PAUSE`], then takes all that has come; a reader that has caught up reads every
//! byte at once.
//!
//! What is decided here is pure; [`super::channel`] waits and reads.

use std::time::{Duration, Instant};

/// The pause: some dozen KiB come in it. One that is much longer fills the socket, and the server stands still.
pub(super) const PAUSE: Duration = Duration::from_micros(300);

/// In which time [`BACKLOG`] bytes come while there is a backlog.
const SPAN: Duration = Duration::from_millis(1);

/// More than this within [`SPAN`] is a backlog: some thousand small transactions a second. A reader that has caught up with
/// as many would be woken by each of their messages, at the cost of those who commit them; the pause delays them by less than
/// a batch waits for more. A thousand a second are far below it.
const BACKLOG: usize = 1024;

/// What to do before the next read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Read what comes, whenever it comes.
    Data,
    /// Read what is there; [`Pace::drained`] says that it is nothing.
    Drain,
    /// Do nothing until then, then read what comes.
    Pause(Instant),
}

/// How the stream has come lately.
#[derive(Debug)]
pub(super) struct Pace {
    /// Not for a login, nor for a reader that wants every byte at once.
    on: bool,
    backlog: bool,
    /// Until when the pause that goes on lasts.
    until: Option<Instant>,
    /// When the span began in which bytes are counted.
    since: Option<Instant>,
    bytes: usize,
}

impl Pace {
    /// Every byte at once.
    pub(super) fn off() -> Self {
        Pace { on: false, backlog: false, until: None, since: None, bytes: 0 }
    }

    /// A backlog in large pieces.
    pub(super) fn on() -> Self {
        Pace { on: true, ..Self::off() }
    }

    /// What to do now. The same until something was read or there is nothing to read, however often it is asked.
    pub(super) fn wait(&self) -> Wait {
        match self.until {
            _ if !self.on || !self.backlog => Wait::Data,
            None => Wait::Drain,
            Some(until) => Wait::Pause(until),
        }
    }

    /// Notes that all was read that is there.
    pub(super) fn drained(&mut self, now: Instant) {
        self.until = Some(now + PAUSE);
    }

    /// Notes what a read has brought.
    pub(super) fn note(&mut self, bytes: usize, now: Instant) {
        self.until = None;
        let since = *self.since.get_or_insert(now);
        let span = now.saturating_duration_since(since);
        // While there is a backlog a read ends a pause, and alone says how fast bytes come.
        if span > SPAN && !self.backlog {
            self.since = Some(now);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= BACKLOG {
            self.backlog = true;
            self.since = Some(now);
            self.bytes = 0;
        } else if span > SPAN {
            self.backlog = false;
            self.since = Some(now);
            self.bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, micros: u64) -> Instant {
        start + Duration::from_micros(micros)
    }

    #[test]
    fn small_transactions_a_thousand_a_second_are_read_at_once() {
        let start = Instant::now();
        let mut pace = Pace::on();
        for millisecond in 0..100 {
            assert_eq!(pace.wait(), Wait::Data);
            pace.note(400, after(start, millisecond * 1000));
        }
    }

    #[test]
    fn message_after_message_without_a_pause_is_a_backlog() {
        let start = Instant::now();
        let mut pace = Pace::on();
        for message in 0..60 {
            pace.note(250, after(start, message * 5));
        }
        assert_eq!(pace.wait(), Wait::Drain);
    }

    #[test]
    fn a_backlog_is_read_until_nothing_is_there_and_then_left_alone() {
        let start = Instant::now();
        let mut pace = Pace::on();
        for _ in 0..3 {
            pace.note(16_000, start);
            assert_eq!(pace.wait(), Wait::Drain);
        }
        pace.drained(start);
        assert_eq!(pace.wait(), Wait::Pause(start + PAUSE), "asking prolongs nothing");
        assert_eq!(pace.wait(), Wait::Pause(start + PAUSE));
        pace.note(16_000, after(start, 350));
        assert_eq!(pace.wait(), Wait::Drain);
    }

    #[test]
    fn with_little_to_read_the_backlog_has_ended() {
        let start = Instant::now();
        let mut pace = Pace::on();
        pace.note(100_000, start);
        pace.note(300, after(start, 1_500));
        assert_eq!(pace.wait(), Wait::Data);
    }

    #[test]
    fn a_backlog_lasts_while_a_slow_server_still_sends_a_lot() {
        let start = Instant::now();
        let mut pace = Pace::on();
        pace.note(100_000, start);
        for millisecond in 1..20 {
            let now = after(start, millisecond * 1_100);
            pace.drained(now);
            assert!(matches!(pace.wait(), Wait::Pause(_)));
            pace.note(20_000, now);
        }
    }

    #[test]
    fn a_reader_that_is_not_paced_never_waits() {
        let mut pace = Pace::off();
        pace.note(1 << 20, Instant::now());
        assert_eq!(pace.wait(), Wait::Data);
    }
}
