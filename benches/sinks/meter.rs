//! What a contender took: time, and CPU of this process.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What one contender took in all batches.
#[derive(Debug)]
pub(crate) struct Meter {
    name: &'static str,
    changes: usize,
    wall: Duration,
    cpu: Duration,
}

/// A contender at work on a batch.
pub(crate) struct Running {
    wall: Instant,
    cpu: Duration,
}

fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

impl Meter {
    pub(crate) fn new(name: &'static str) -> Self {
        Meter { name, changes: 0, wall: Duration::ZERO, cpu: Duration::ZERO }
    }

    pub(crate) fn start() -> Running {
        Running { wall: Instant::now(), cpu: cpu() }
    }

    pub(crate) fn stop(&mut self, running: &Running, changes: usize) {
        self.wall += running.wall.elapsed();
        self.cpu += cpu().saturating_sub(running.cpu);
        self.changes += changes;
    }

    #[expect(clippy::cast_precision_loss, reason = "changes are far fewer than 2^52")]
    fn rate(&self) -> f64 {
        self.changes as f64 / self.wall.as_secs_f64().max(f64::EPSILON)
    }

    #[expect(clippy::cast_precision_loss, reason = "changes are far fewer than 2^52")]
    pub(crate) fn print(&self, limit: &Meter) {
        println!(
            "{:<28} {:>9.0} changes/s  {:>6.2} CPU-s a million  {:>5.1} % of {}",
            self.name,
            self.rate(),
            self.cpu.as_secs_f64() * 1e6 / self.changes.max(1) as f64,
            self.rate() / limit.rate() * 100.0,
            limit.name,
        );
    }
}
