//! Known vulnerabilities of dependencies, where somebody's database of them can be reached.

use std::process::Command;

use crate::{
    Result,
    cargo::{self, cargo},
};

/// Asks cargo-deny, else cargo-audit; says so where neither can be asked.
pub(super) fn check() -> Result<bool> {
    if answers(&mut cargo(["deny", "--version"])) {
        if !answers(&mut cargo(["deny", "fetch", "db"])) {
            println!("skipped: cargo-deny cannot reach its database of advisories");
            return Ok(true);
        }
        return cargo::succeeds(&mut cargo(["deny", "check", "advisories"]));
    }
    if answers(&mut cargo(["audit", "--version"])) {
        let output = cargo(["audit", "--deny=warnings"])
            .output()
            .map_err(|error| crate::Failure::new(format!("cargo-audit: {error}")))?;
        let text = String::from_utf8_lossy(&output.stderr);
        if text.contains("couldn't fetch advisory database") {
            println!("skipped: cargo-audit cannot reach its database of advisories");
            return Ok(true);
        }
        print!("{}{text}", String::from_utf8_lossy(&output.stdout));
        return Ok(output.status.success());
    }
    println!("skipped: neither cargo-deny nor cargo-audit is installed");
    Ok(true)
}

fn answers(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
