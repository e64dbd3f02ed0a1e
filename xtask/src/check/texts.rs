//! What no compiler sees: paths of somebody's machine, and files that grew too long.

use std::{env, fs, process::Command};

use crate::{
    Failure, Result,
    cargo::{self, workspace},
};

/// More lines than this in a source file are worth a warning.
const LONG: usize = 700;

/// Reads every file that is, or could be, committed.
pub(super) fn check() -> Result<bool> {
    let mut git = Command::new("git");
    // The checkout may belong to somebody else than who runs this.
    git.args(["-c", "safe.directory=*"]);
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let list = cargo::output(git.current_dir(workspace())).map_err(|failure| {
        Failure::new(format!("the files of the repository are listed by git: {failure}"))
    })?;
    let patterns = patterns();
    let mut good = true;
    for name in list.split('\0').filter(|name| !name.is_empty()) {
        // A file that is deleted but not committed yet, and binary ones, have no text.
        let Ok(text) = fs::read_to_string(workspace().join(name)) else { continue };
        for (number, line) in text.lines().enumerate() {
            if let Some(path) = patterns.iter().find(|pattern| names(line, pattern)) {
                println!(
                    "{name}:{}: a path of somebody's machine ({path}): take it out",
                    number + 1
                );
                good = false;
            }
        }
        let lines = text.lines().count();
        if lines > LONG && name.contains("src/") && name.ends_with(".rs") {
            println!("warning: {name} has {lines} lines: more than {LONG} are seldom one idea");
        }
    }
    Ok(good)
}

/// Folders in which people and their checkouts live, and this very checkout.
fn patterns() -> Vec<String> {
    // Put together here, so that this file does not find itself.
    let mut patterns: Vec<_> = ["home", "Users", "root"].map(|name| format!("/{name}/")).into();
    patterns.push(workspace().display().to_string());
    if let Ok(home) = env::var("HOME")
        && home.matches('/').count() > 1
    {
        patterns.push(home);
    }
    patterns
}

/// Whether a line holds the path, as a path of its own and not as a part of another.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(place, _)| {
        let before = line[..place].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !"/.~$}_-".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_but_not_inside_another_one() {
        let home = format!("/{}/", "home");
        assert!(names(&format!("see {home}ann/notes"), &home));
        assert!(names(&format!("\"{home}ann\""), &home));
        assert!(!names(&format!("https://example.org{home}page"), &home));
        assert!(!names(&format!("target{home}x"), &home));
    }
}
