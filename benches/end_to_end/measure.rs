//! CPU and memory of processes, from the system's own accounting.

use rustix::time::{ClockId, clock_gettime};

/// User and system time of this process, in seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// User and system time of the children that a process has waited for, in seconds (to a hundredth).
pub(crate) fn cpu_seconds_of_children(process: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name may hold spaces; behind its parenthesis stands the third field.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |field: usize| -> f64 {
        let text = fields.split_ascii_whitespace().nth(field - 3);
        text.and_then(|text| text.parse().ok()).unwrap_or_default()
    };
    (ticks(16) + ticks(17)) / 100.0
}

/// The most memory that a process has had at once, in MB; zero where the system does not tell.
pub(crate) fn peak_rss_mb(process: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.unwrap_or(0.0) / 1024.0
}
