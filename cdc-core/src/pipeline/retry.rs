//! How long to wait before something is tried again.

use std::time::Duration;

/// The waits between attempts: a random part ("full jitter") of a bound that doubles from `base` up to `max`.
///
/// There is no last attempt: a transient error is retried for as long as it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The bound of the first wait.
    pub base: Duration,
    /// The bound that no wait exceeds.
    pub max: Duration,
}

impl Default for RetryPolicy {
    /// 100 ms to 10 s.
    fn default() -> Self {
        RetryPolicy { base: Duration::from_millis(100), max: Duration::from_secs(10) }
    }
}

/// Counts the attempts of one operation.
#[derive(Debug)]
pub(crate) struct Backoff {
    policy: RetryPolicy,
    attempt: u32,
}

impl Backoff {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Backoff { policy, attempt: 0 }
    }

    /// It worked: the next failure is a first one. `true` when there was one before.
    pub(crate) fn reset(&mut self) -> bool {
        std::mem::take(&mut self.attempt) > 0
    }

    fn bound(&self) -> Duration {
        let doubled = 1u32.checked_shl(self.attempt).unwrap_or(u32::MAX);
        self.policy.base.saturating_mul(doubled).min(self.policy.max)
    }

    /// The wait before the next attempt.
    pub(crate) fn next_wait(&mut self) -> Duration {
        let bound = self.bound();
        self.attempt = self.attempt.saturating_add(1);
        bound.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_up_to_the_maximum_and_begins_again_after_a_success() {
        let policy =
            RetryPolicy { base: Duration::from_millis(100), max: Duration::from_millis(350) };
        let mut backoff = Backoff::new(policy);
        let bounds: Vec<_> = (0..40)
            .map(|_| {
                let bound = backoff.bound();
                assert!(backoff.next_wait() <= bound);
                bound.as_millis()
            })
            .collect();
        assert_eq!(bounds[..4], [100, 200, 350, 350]);
        assert_eq!(bounds[39], 350);
        assert!(backoff.reset());
        assert!(!backoff.reset());
        assert_eq!(backoff.bound(), policy.base);
    }
}
