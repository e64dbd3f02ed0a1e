//! When to read: how a reader makes the server fast.
//!
//! The walsender sends message by message. A reader that sleeps in `read` is woken by each of them, and the wake-up is
//! paid by the walsender, as is a packet of its own for every message: more than half of its time. A reader that stays away
//! for a moment is woken by none, and its silence makes the server's TCP put what follows into few large packets. So while
//! there is a backlog this side pauses for [`PAUSE`], then takes all that has come; a reader that has caught up with little reads
//! every byte at once.
//!
//! How many packets may be under way before that silence counts is up to the server's congestion control, and Linux's default lets
//! nearly every message be one. On the loopback, where it costs nothing, the receive window is made so small
//! ([`SMALL_WINDOW`]) that it is closed for most of the time: what is written then waits with the server, and each read is answered by the
//! next window in one packet. The pause is longer there, so that many windows' worth waits at its end.
//!
//! What is decided here is pure; [`super::channel`] waits and reads.

use std::time::{Duration, Instant};

/// The pause while much comes: some dozen KiB come in it. One that is much longer fills the socket, and the server stands still.
pub(super) const PAUSE: Duration = Duration::from_micros(300);

/// The receive window on the loopback, where the system is known to work with it. Over a network it would be a limit: so many bytes
/// a round trip.
pub(super) const SMALL_WINDOW: Option<usize> =
    if cfg!(target_os = "linux") { Some(48 * 1024) } else { None };

/// The pause while less than [`MUCH`] comes. Then transactions are followed as they are committed, some thousand a second, and each
/// time that this side wakes takes the processor from those who commit them.
const LONG_PAUSE: Duration = Duration::from_millis(2);

/// The pause while much comes through a small window, which is full anyway. It goes with the window: a server that sends every message
/// as a packet of its own must still fill the window well within the pause (12 MB/s here), or it goes on like that.
const WINDOWS_PAUSE: Duration = Duration::from_millis(4);

/// In bytes a microsecond: some ten KiB in a [`LONG_PAUSE`].
const MUCH: u128 = 8;

/// A read that brings less has emptied what waited, however small the window.
const LITTLE: usize = 2048;

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
    small_window: bool,
    /// Less than this is the rest of what waited.
    little: usize,
    /// When the last pause began, and what has come since.
    paused: Option<Instant>,
    brought: usize,
    /// Until when the pause that goes on lasts.
    until: Option<Instant>,
    /// When the span began in which bytes are counted.
    since: Option<Instant>,
    bytes: usize,
}

impl Pace {
    /// Every byte at once.
    pub(super) fn off() -> Self {
        Pace {
            on: false,
            backlog: false,
            small_window: false,
            little: 0,
            paused: None,
            brought: 0,
            until: None,
            since: None,
            bytes: 0,
        }
    }

    /// A backlog in large pieces.
    pub(super) fn on() -> Self {
        Pace { on: true, ..Self::off() }
    }

    /// The same where the receive window is small. What is encrypted comes in pieces that say nothing of what waits.
    pub(super) fn with_small_window(encrypted: bool) -> Self {
        Pace { small_window: true, little: if encrypted { 0 } else { LITTLE }, ..Self::on() }
    }

    /// Whether a read makes room for more that waits already: it is worth another look, and to be read before anything else is done.
    pub(super) fn goes_on(&self) -> bool {
        self.small_window && self.wait() == Wait::Drain
    }

    /// What to do now. The same until something was read or there is nothing to read, however often it is asked.
    pub(super) fn wait(&self) -> Wait {
        match self.until {
            _ if !self.on || !self.backlog => Wait::Data,
            None => Wait::Drain,
            Some(until) => Wait::Pause(until),
        }
    }

    /// Until when nothing is read, where that is decided already.
    pub(super) fn rests_until(&self) -> Option<Instant> {
        match self.wait() {
            Wait::Pause(until) => Some(until),
            Wait::Data | Wait::Drain => None,
        }
    }

    /// Notes that all was read that is there.
    pub(super) fn drained(&mut self, now: Instant) {
        let brought = std::mem::take(&mut self.brought) as u128;
        let before = self.paused.replace(now);
        let micros = before.map(|before| now.saturating_duration_since(before).as_micros());
        let pause = match micros {
            Some(micros) if brought < micros.saturating_mul(MUCH) => LONG_PAUSE,
            Some(_) if self.small_window => WINDOWS_PAUSE,
            _ => PAUSE,
        };
        self.until = Some(now + pause);
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
        self.brought = self.brought.saturating_add(bytes);
        if self.bytes >= BACKLOG {
            self.backlog = true;
            self.since = Some(now);
            self.bytes = 0;
        } else if span > SPAN {
            self.backlog = false;
            self.since = Some(now);
            self.bytes = 0;
        }
        if self.backlog && bytes < self.little {
            self.drained(now);
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
    fn with_a_small_window_it_is_read_until_little_comes() {
        let start = Instant::now();
        let mut pace = Pace::with_small_window(false);
        assert!(!pace.goes_on(), "caught up");
        for _ in 0..5 {
            pace.note(24_000, start);
            assert!(pace.goes_on());
        }
        pace.note(240, start);
        assert!(matches!(pace.wait(), Wait::Pause(_)));
        assert!(!pace.goes_on());
    }

    #[test]
    fn how_long_nothing_is_read_is_known_as_soon_as_all_was() {
        let start = Instant::now();
        let mut pace = Pace::with_small_window(false);
        pace.note(24_000, start);
        assert_eq!(pace.rests_until(), None, "more may be there");
        pace.note(240, start);
        assert_eq!(pace.rests_until(), Some(start + PAUSE));
        pace.note(240, after(start, 2_000));
        assert_eq!(pace.rests_until(), None, "caught up: every byte is read as it comes");
    }

    #[test]
    fn the_pause_is_long_where_none_fills_the_socket() {
        let start = Instant::now();
        let (fast, slow) = (after(start, 1_000), after(start, 3_000));
        let pauses = |mut pace: Pace| {
            [(start, 24_000), (fast, 24_000), (slow, 6_000)].map(|(now, bytes)| {
                pace.note(bytes, now);
                pace.drained(now);
                match pace.wait() {
                    Wait::Pause(until) => until - now,
                    wait => panic!("{wait:?}"),
                }
            })
        };
        let windowed = pauses(Pace::with_small_window(false));
        assert_eq!(
            windowed,
            [PAUSE, WINDOWS_PAUSE, LONG_PAUSE],
            "how fast it comes is not known at first"
        );
        assert_eq!(
            pauses(Pace::on()),
            [PAUSE, PAUSE, LONG_PAUSE],
            "the last are 3 KB a millisecond"
        );
    }

    #[test]
    fn small_pieces_of_what_is_encrypted_end_nothing() {
        let mut pace = Pace::with_small_window(true);
        pace.note(24_000, Instant::now());
        pace.note(240, Instant::now());
        assert!(pace.goes_on());
    }

    #[test]
    fn a_reader_that_is_not_paced_never_waits() {
        let mut pace = Pace::off();
        pace.note(1 << 20, Instant::now());
        assert_eq!(pace.wait(), Wait::Data);
    }
}
