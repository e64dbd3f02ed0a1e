//! Running cargo on the workspace, and other programs.

use std::{
    env,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;

use crate::{Failure, Result, interrupt};

/// The folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    cdc_testservers::services::workspace()
}

/// The cargo that runs this, in the workspace.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(workspace()).stdin(Stdio::null());
    command
}

/// Runs a command to its end, with its output where ours goes.
///
/// A signal that stops us is passed on to the command and what it has started; a second one kills
/// them. In both cases we outlive them and can clean up.
pub(crate) fn run(command: &mut Command) -> Result<ExitStatus> {
    let program = command.get_program().to_string_lossy().into_owned();
    // A group of its own: else a Ctrl-C would reach it twice, from the terminal and from us.
    let mut child = command
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::new(format!("`{program}` cannot be run: {error}")))?;
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let mut passed_on = 0;
    loop {
        let status = child
            .try_wait()
            .map_err(|error| Failure::new(format!("waiting for `{program}`: {error}")))?;
        if let Some(status) = status {
            return Ok(status);
        }
        let signals = interrupt::count();
        if signals > passed_on {
            let signal = if passed_on == 0 { Signal::INT } else { Signal::KILL };
            // It may just have ended.
            group.and_then(|group| kill_process_group(group, signal).ok());
            passed_on = signals;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a command and says whether it succeeded; after a signal it is a failure with its code.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let status = run(command)?;
    interrupt::check()?;
    Ok(status.success())
}

/// What a command prints, as text.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Failure::new(format!("`{program}` cannot be run: {error}")))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        let reason = line.unwrap_or("it did not say why").to_owned();
        return Err(Failure::new(format!("`{program}` failed: {reason}")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A package, as `cargo metadata` describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Empty for a package that is never published.
    pub(crate) publish: Option<Vec<String>>,
    pub(crate) features: std::collections::BTreeMap<String, Vec<String>>,
}

/// What `cargo metadata` says.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    workspace_members: Vec<String>,
}

impl Metadata {
    /// Of the workspace and, with all features, everything that it depends on.
    pub(crate) fn read() -> Result<Self> {
        let text = output(&mut cargo(["metadata", "--format-version=1", "--all-features"]))?;
        serde_json::from_str(&text)
            .map_err(|error| Failure::new(format!("`cargo metadata` cannot be read: {error}")))
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }
}
