//! The processes of a server, found by the folder that they work in, and how they are ended.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    cache,
    error::{Error, Result, Tried},
    services,
};

/// How a server is made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// `pg_ctl stop -m immediate`: the server ends at once and recovers at its next start.
    Immediate,
    /// SIGKILL to the postmaster and every process of it, as the kernel does when memory is short.
    Kill,
}

/// Every process whose working folder is `data`: the postmaster and its children.
///
/// PostgreSQL's processes all work in the data folder; what has ended (a zombie too) has no
/// working folder any more.
fn working_in(data: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            let folder = fs::read_link(entry.path().join("cwd")).ok()?;
            if folder == data { Pid::from_raw(number) } else { None }
        })
        .collect()
}

/// The postmaster of the cluster in `data`, if it runs.
pub(crate) fn postmaster(data: &Path) -> Option<Pid> {
    let text = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let number: i32 = text.lines().next()?.trim().parse().ok()?;
    let folder = fs::read_link(format!("/proc/{number}/cwd")).ok()?;
    if folder == data { Pid::from_raw(number) } else { None }
}

/// Ends the postmaster at once, and with it its children, so that it still gives back its shared
/// memory; what does not obey is killed.
pub(crate) fn quit(data: &Path) -> Result<()> {
    if let Some(postmaster) = postmaster(data) {
        // It may have ended in this moment: then there is nothing to signal.
        kill_process(postmaster, Signal::QUIT).ok();
        let end = Instant::now() + Duration::from_secs(8);
        while Instant::now() < end {
            if working_in(data).is_empty() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
    kill(data)
}

/// Kills the postmaster and its children, and waits until all are gone.
pub(crate) fn kill(data: &Path) -> Result<()> {
    if let Some(postmaster) = postmaster(data) {
        kill_process(postmaster, Signal::KILL).ok();
    }
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let processes = working_in(data);
        if processes.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Error::Program {
                what: format!("killing the server in {}", data.display()),
                detail: format!("{} processes are still there", processes.len()),
            });
        }
        for process in processes {
            kill_process(process, Signal::KILL).ok();
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Removes servers whose owner died without stopping them, and those that were kept for a checkout
/// which is gone. Every start of a server does this first.
///
/// # Errors
/// [`Error::Io`] where the cache folder cannot be used.
pub fn sweep() -> Result<()> {
    let run = cache::subfolder("run")?;
    let _lock = lock_run(&run)?;
    sweep_locked(&run)
}

/// The lock under which folders of servers are made and swept.
pub(crate) fn lock_run(run: &Path) -> Result<File> {
    cache::lock(&run.join(".lock"), "")
}

pub(crate) fn sweep_locked(run: &Path) -> Result<()> {
    for entry in fs::read_dir(run).tried("listing", run)?.flatten() {
        let folder = entry.path();
        if folder.is_dir() && is_orphan(&folder) {
            // One that cannot be removed now (another user's) is no reason not to start a server.
            if quit(&folder.join("data")).is_ok() {
                remove(&folder).ok();
            }
        }
    }
    Ok(())
}

fn is_orphan(folder: &Path) -> bool {
    let kept = folder.join(services::KEPT);
    if kept.exists() {
        return fs::read(kept).is_ok_and(|workspace| {
            fs::metadata(OsStr::from_bytes(&workspace))
                .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
        });
    }
    // The owner holds this lock for as long as it lives. A folder without the file was left
    // between two steps of a start, which happen under the lock of `run`.
    match File::open(folder.join("owner.lock")) {
        Ok(owner) => owner.try_lock().is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Removes the folder of a server that has ended, with what it left outside of it.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    free_shared_memory(&folder.join("data"));
    if let Ok(sockets) = fs::read_to_string(folder.join("sockets")) {
        let sockets = PathBuf::from(sockets);
        if sockets != folder {
            fs::remove_dir_all(sockets).ok();
        }
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.tried("removing", folder),
    }
}

/// A killed postmaster leaves its small System V segment behind; line 7 of `postmaster.pid` names
/// it. Where `ipcrm` is missing or the segment is gone, nothing is lost.
fn free_shared_memory(data: &Path) {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else { return };
    let Some(id) = text.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) else {
        return;
    };
    std::process::Command::new("ipcrm")
        .args(["-m", id])
        .stdin(std::process::Stdio::null())
        .output()
        .ok();
}
