//! When to read: how a reader makes the server fast.
//!
//! The walsender sends message by message. A reader that sleeps in `read` is woken by each of them, and the wake-up is
//! paid by the walsender: more than half of its time. A reader that lets bytes pile up costs it nothing. So while there is
//! a backlog the system is asked to report the socket only when [`LOW_WATER`] bytes have come (`SO_RCVLOWAT`), or, where it
//! cannot be asked, this side pauses before it reads. A timer of [`PATIENCE`] bounds the wait, and a reader that has
//! caught up reads every byte at once.
//!
//! What is decided here is pure; [`super::channel`] waits and reads.

use std::time::{Duration, Instant};

/// How many bytes a read waits for while there is a backlog: less wakes the server more often than it gains,
/// much more fills the socket.
pub(super) const LOW_WATER: u32 = 64 * 1024;

/// The longest that bytes wait to be read.
pub(super) const PATIENCE: Duration = Duration::from_millis(1);

/// The pause before a read where the low-water mark cannot be had.
pub(super) const PAUSE: Duration = Duration::from_micros(150);

/// More than this within [`PATIENCE`] is a backlog. A reader that is woken by each message still sees several times as
/// much of one; a thousand small transactions a second are far below it.
const BACKLOG: usize = 8 * 1024;

/// What to do before the next read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Read what comes, whenever it comes.
    Data,
    /// Read when the socket says so, which it does at the low-water mark; at this time whatever is there.
    Mark(Instant),
    /// Do nothing until then, then read what comes.
    Pause(Instant),
}

/// How the stream has come lately.
#[derive(Debug)]
pub(super) struct Pace {
    means: Means,
    backlog: bool,
    /// Until when the wait that goes on lasts.
    until: Option<Instant>,
    /// When the span began in which bytes are counted.
    since: Option<Instant>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Means {
    /// Reads are not paced: a login, or a reader that wants every byte at once.
    None,
    LowWater,
    Pause,
}

impl Pace {
    /// Every byte at once.
    pub(super) fn off() -> Self {
        Pace { means: Means::None, backlog: false, until: None, since: None, bytes: 0 }
    }

    /// Paced, by the low-water mark where the stream has one.
    pub(super) fn on(has_low_water: bool) -> Self {
        let means = if has_low_water { Means::LowWater } else { Means::Pause };
        Pace { means, ..Self::off() }
    }

    /// What to wait for now. The same until something was read, however often it is asked.
    pub(super) fn wait(&mut self, now: Instant) -> Wait {
        match (self.backlog, self.means) {
            (false, _) | (_, Means::None) => Wait::Data,
            (true, Means::LowWater) => Wait::Mark(*self.until.get_or_insert(now + PATIENCE)),
            (true, Means::Pause) => Wait::Pause(*self.until.get_or_insert(now + PAUSE)),
        }
    }

    /// The low-water mark that the stream should have now.
    pub(super) fn mark(&self, now: Instant) -> u32 {
        let waits = self.until.is_none_or(|until| now < until);
        if self.backlog && self.means == Means::LowWater && waits { LOW_WATER } else { 1 }
    }

    /// Notes what a read has brought.
    pub(super) fn note(&mut self, bytes: usize, now: Instant) {
        self.until = None;
        let since = *self.since.get_or_insert(now);
        let span = now.saturating_duration_since(since);
        // While there is a backlog a read ends a wait, and alone says how fast bytes come.
        if span > PATIENCE && !self.backlog {
            self.since = Some(now);
            self.bytes = 0;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= BACKLOG {
            self.backlog = true;
            self.since = Some(now);
            self.bytes = 0;
        } else if span > PATIENCE {
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
        let mut pace = Pace::on(true);
        for millisecond in 0..100 {
            let now = after(start, millisecond * 1000);
            assert_eq!(pace.wait(now), Wait::Data);
            pace.note(400, now);
            assert_eq!(pace.mark(now), 1);
        }
    }

    #[test]
    fn message_after_message_without_a_pause_is_a_backlog() {
        let start = Instant::now();
        let mut pace = Pace::on(true);
        for message in 0..60 {
            pace.note(250, after(start, message * 5));
        }
        let now = after(start, 300);
        assert_eq!(pace.wait(now), Wait::Mark(now + PATIENCE));
        assert_eq!(pace.mark(now), LOW_WATER);
    }

    #[test]
    fn a_wait_ends_after_a_millisecond_and_with_little_to_read_so_does_the_backlog() {
        let start = Instant::now();
        let mut pace = Pace::on(true);
        pace.note(100_000, start);
        let Wait::Mark(until) = pace.wait(start) else { panic!("no wait") };
        assert_eq!(
            pace.wait(after(start, 500)),
            Wait::Mark(until),
            "asking again prolongs nothing"
        );
        assert_eq!(pace.mark(until), 1);
        let late = after(start, 1_500);
        pace.note(300, late);
        assert_eq!((pace.wait(late), pace.mark(late)), (Wait::Data, 1));
    }

    #[test]
    fn a_backlog_lasts_while_a_slow_server_still_sends_a_lot() {
        let start = Instant::now();
        let mut pace = Pace::on(true);
        pace.note(100_000, start);
        for millisecond in 1..20 {
            let now = after(start, millisecond * 1_100);
            assert!(matches!(pace.wait(now), Wait::Mark(_)));
            pace.note(20_000, now);
        }
    }

    #[test]
    fn without_the_option_the_reader_pauses() {
        let start = Instant::now();
        let mut pace = Pace::on(false);
        assert_eq!(pace.wait(start), Wait::Data);
        pace.note(100_000, start);
        assert_eq!(pace.wait(start), Wait::Pause(start + PAUSE));
        assert_eq!(pace.mark(start), 1);
    }

    #[test]
    fn a_reader_that_is_not_paced_never_waits() {
        let mut pace = Pace::off();
        let now = Instant::now();
        pace.note(1 << 20, now);
        assert_eq!((pace.wait(now), pace.mark(now)), (Wait::Data, 1));
    }
}
