//! The transactions that a snapshot shows: `xmin:xmax:xip,xip,...`, the text of PostgreSQL's `pg_snapshot`.

use std::fmt;
use std::str::FromStr;

/// A set of transactions: all before `xmin`, and those before `xmax` that are not in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visible {
    xmin: u64,
    xmax: u64,
    /// In ascending order.
    in_progress: Vec<u64>,
}

impl Visible {
    /// Whether the snapshot shows what a transaction did, given the 32 bit id that the log has.
    ///
    /// The id is taken as the one nearest to the snapshot, which is right for 2^31 transactions on both sides; the
    /// server keeps no older ones in a log.
    pub(crate) fn shows(&self, xid: u32) -> bool {
        self.has_ended(self.widen(xid))
    }

    /// Whether a transaction had ended when the snapshot was taken, by its id of 64 bits.
    pub(crate) fn has_ended(&self, xid: u64) -> bool {
        xid < self.xmin || (xid < self.xmax && self.in_progress.binary_search(&xid).is_err())
    }

    /// The id that the next transaction to write gets.
    pub(crate) fn next_id(&self) -> u64 {
        self.xmax
    }

    /// The id of 64 bits that is nearest to the snapshot, of one of 32 bits.
    pub(crate) fn widen(&self, xid: u32) -> u64 {
        // The signed distance in the circle of 32 bit ids.
        let ahead = u64::from(xid).wrapping_sub(self.xmax) & 0xffff_ffff;
        if ahead < 1 << 31 {
            self.xmax.saturating_add(ahead)
        } else {
            self.xmax.saturating_sub((1 << 32) - ahead)
        }
    }

    /// The first id that was not given yet.
    pub(crate) fn next(&self) -> u64 {
        self.xmax
    }
}

impl fmt::Display for Visible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (at, xid) in self.in_progress.iter().enumerate() {
            write!(f, "{}{xid}", if at == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// A text that is not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a snapshot of the form xmin:xmax:xip,...")]
pub(crate) struct ParseVisibleError(String);

impl FromStr for Visible {
    type Err = ParseVisibleError;

    fn from_str(text: &str) -> Result<Self, ParseVisibleError> {
        let read = || {
            let mut parts = text.splitn(3, ':');
            let xmin = parts.next()?.parse().ok()?;
            let xmax = parts.next()?.parse().ok()?;
            let list = parts.next()?.split(',').filter(|xid| !xid.is_empty());
            let mut in_progress = list.map(|xid| xid.parse().ok()).collect::<Option<Vec<u64>>>()?;
            in_progress.sort_unstable();
            Some(Visible { xmin, xmax, in_progress })
        };
        read().ok_or_else(|| ParseVisibleError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_is_what_ended_before_the_snapshot() {
        let visible: Visible = "10:20:12,15".parse().unwrap();
        for xid in [3, 9, 10, 11, 13, 19] {
            assert!(visible.shows(xid), "{xid}");
        }
        for xid in [12, 15, 20, 21, 500] {
            assert!(!visible.shows(xid), "{xid}");
        }
    }

    #[test]
    fn ids_are_compared_across_the_wrap_around() {
        let epoch = 5u64 << 32;
        let visible: Visible =
            format!("{}:{}:{}", epoch - 10, epoch + 10, epoch - 10).parse().unwrap();
        assert!(visible.shows(u32::MAX));
        assert!(!visible.shows(u32::MAX - 9));
        assert!(visible.shows(9));
        assert!(!visible.shows(10));
    }

    #[test]
    fn the_text_comes_back() {
        for text in ["10:20:12,15", "3:3:"] {
            assert_eq!(text.parse::<Visible>().unwrap().to_string(), text);
        }
        for text in ["", "1:2", "a:b:c", "1:2:x"] {
            assert!(text.parse::<Visible>().is_err(), "{text}");
        }
    }
}
