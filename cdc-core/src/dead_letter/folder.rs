//! The files of a folder of dead letters: `shop-copy.00000001.jsonl`, one series a pipeline.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// One file of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LetterFile {
    /// The pipeline's name as names of files have it.
    pub(super) series: String,
    pub(super) number: u64,
    pub(super) path: PathBuf,
}

/// The path of a file.
pub(super) fn path_of(folder: &Path, series: &str, number: u64) -> PathBuf {
    folder.join(format!("{series}.{number:08}.jsonl"))
}

/// The files in order; anything else in the folder is left alone.
///
/// # Errors
/// [`Configuration`](crate::ErrorKind::Configuration) when the folder cannot be read.
pub(super) fn files(folder: &Path, series: Option<&str>) -> Result<Vec<LetterFile>> {
    let unreadable = |error: std::io::Error| {
        Error::configuration(format!(
            "the folder {} of dead letters cannot be read: {error}",
            folder.display()
        ))
        .with_source(error)
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        let Some(name) = name.to_str() else { continue };
        let mut parts = name.split('.');
        let (Some(of), Some(number), Some("jsonl"), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        let Ok(number) = number.parse() else { continue };
        if series.is_none_or(|series| series == of) {
            let path = folder.join(name);
            files.push(LetterFile { series: of.to_owned(), number, path });
        }
    }
    files.sort();
    Ok(files)
}
