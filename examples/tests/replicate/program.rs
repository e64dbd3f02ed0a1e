//! The program under test: started, watched, killed.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The example as cargo built it beside this test.
pub(crate) fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples").join("replicate")
}

/// A running `replicate`.
pub(crate) struct Program {
    child: Child,
    errors: Arc<Mutex<String>>,
}

impl Program {
    /// Starts it with these arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts it with these arguments and environment variables.
    pub(crate) fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary())
            .args(arguments)
            .env_remove("PGPASSWORD")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example replicate is built by cargo test");
        let errors = Arc::new(Mutex::new(String::new()));
        let (pipe, log) = (child.stderr.take().unwrap(), Arc::clone(&errors));
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Program { child, errors }
    }

    /// What it has written on standard error.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Waits until standard error contains a text.
    pub(crate) fn wait_for(&mut self, text: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let errors = self.errors();
            if errors.contains(text) {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                std::thread::sleep(Duration::from_millis(100));
                assert!(
                    self.errors().contains(text),
                    "ended with {status} before {text:?}: {errors}"
                );
                return;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {patience:?}: {errors}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end; the program is killed, and the test fails, when it takes too long.
    pub(crate) fn wait(&mut self, patience: Duration) -> ExitStatus {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("still running after {patience:?}: {}", self.errors());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How often its threads have waited for something, in all.
    pub(crate) fn waits(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let statuses = tasks.filter_map(|task| {
            // A thread may end meanwhile.
            std::fs::read_to_string(task.unwrap().path().join("status")).ok()
        });
        statuses.filter_map(|status| number(&status, "voluntary_ctxt_switches")).sum()
    }

    /// The most memory that it ever had, in MB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        number(&status.unwrap(), "VmHWM").unwrap() / 1024
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs it with `--drain` to its end, which must be a good one.
pub(crate) fn drain(arguments: &[&str]) -> String {
    let mut arguments = arguments.to_vec();
    arguments.push("--drain");
    let mut program = Program::start(&arguments);
    let status = program.wait(Duration::from_secs(240));
    std::thread::sleep(Duration::from_millis(50));
    assert!(status.success(), "drain ended with {status}: {}", program.errors());
    program.errors()
}

/// Runs it to its end, which must be an error, and returns the one line that says it.
pub(crate) fn error_of(arguments: &[&str]) -> String {
    let mut program = Program::start(arguments);
    let status = program.wait(Duration::from_secs(60));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(status.code(), Some(1), "{}", program.errors());
    let errors = program.errors();
    let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "one line says it: {errors}");
    assert!(!errors.contains("secret"), "no password is shown: {errors}");
    lines[0].to_owned()
}

/// A line of `/proc/PID/status`.
fn number(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_whitespace().next()?.parse().ok()
}
