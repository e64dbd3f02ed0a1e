//! What the host of a virtual machine takes from it.

/// The processor's times since the machine was started, in ticks of all its processors.
#[derive(Debug, Clone, Copy, Default)]
pub struct Host {
    all: u64,
    stolen: u64,
}

/// A run of which the host took more than this part counts only where there is none that was quieter.
pub const QUIET: f64 = 0.03;

impl Host {
    /// The times until now; nothing where the system does not tell.
    pub fn now() -> Self {
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        Self::parse(&stat).unwrap_or_default()
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let times = line.split_ascii_whitespace().take(8).map(str::parse);
        let times = times.collect::<Result<Vec<u64>, _>>().ok()?;
        Some(Host { all: times.iter().sum(), stolen: *times.get(7)? })
    }

    /// Which part of the processors' time the host has taken since then: 0 where they are the machine's own.
    #[expect(clippy::cast_precision_loss, reason = "ticks are far fewer than 2^52")]
    pub fn taken_since(before: Host) -> f64 {
        let now = Self::now();
        let all = now.all.saturating_sub(before.all).max(1);
        now.stolen.saturating_sub(before.stolen) as f64 / all as f64
    }
}

/// The runs that were quiet; all where none was.
pub fn quiet_of<T>(runs: &[T], taken: impl Fn(&T) -> f64) -> Vec<&T> {
    let quiet: Vec<&T> = runs.iter().filter(|run| taken(run) <= QUIET).collect();
    if quiet.is_empty() { runs.iter().collect() } else { quiet }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_the_eighth_time() {
        let host = Host::parse("cpu  100 1 50 800 2 0 7 40 0 0\ncpu0 1 2\n").unwrap();
        assert_eq!((host.all, host.stolen), (1000, 40));
        assert!(Host::parse("cpu  100 1\n").is_none());
    }

    #[test]
    fn without_a_quiet_run_all_count() {
        assert_eq!(quiet_of(&[0.01, 0.5], |taken| *taken), [&0.01]);
        assert_eq!(quiet_of(&[0.4, 0.5], |taken| *taken), [&0.4, &0.5]);
    }
}
