//! The server's timelines: whether a position is in its history.

use crate::lsn::Lsn;

/// The timelines that the server came from, and where each was left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct History {
    current: u32,
    left: Vec<(u32, Lsn)>,
}

impl History {
    /// From the content of a history file (`TIMELINE_HISTORY`): a line for each earlier timeline with its number, the
    /// position at which it was left, and a reason.
    pub(crate) fn new(current: u32, file: &str) -> Self {
        let left = file
            .lines()
            .filter_map(|line| {
                let mut words = line.split_whitespace();
                Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
            })
            .collect();
        History { current, left }
    }

    /// The timeline the server is on.
    pub(crate) fn current(&self) -> u32 {
        self.current
    }

    /// Whether what was read up to a position on a timeline is in this server.
    pub(crate) fn contains(&self, timeline: u32, position: Lsn) -> bool {
        timeline == self.current
            || self.left.iter().any(|(left, at)| *left == timeline && position <= *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_behind_the_switch_is_not_in_the_history() {
        let history = History::new(3, "1\t0/3000000\tno recovery target\n\n2\t0/5000000\tbefore\n");
        assert!(history.contains(1, Lsn(0x300_0000)));
        assert!(!history.contains(1, Lsn(0x300_0001)));
        assert!(history.contains(2, Lsn(0x400_0000)));
        assert!(history.contains(3, Lsn(u64::MAX)));
        assert!(!history.contains(4, Lsn(1)));
    }
}
