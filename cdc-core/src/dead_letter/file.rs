//! Dead letters in files: a line of JSON each, synced before the pipeline goes on.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::folder::{files, path_of};
use super::{DeadLetter, DeadLetters};
use crate::error::{Error, Result};
use crate::file_lock::{FileLock, Locked, file_name, is_full};

/// 64 MiB.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Keeps dead letters in files of a folder, `shop-copy.00000001.jsonl` and so on for each pipeline: a line of JSON each.
///
/// Letters are synced to the disk before the pipeline goes on. A line that a crash has torn is cut off at the next start
/// with a warning; its event comes again. A lock file beside them (`shop-copy.lock`) lets one process at a time write. Files
/// that are [replayed](super::DeadLetterSource) stay until somebody removes them.
#[derive(Debug, Clone)]
pub struct FileDeadLetters(Arc<Inner>);

/// Sets up [`FileDeadLetters`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct FileDeadLettersBuilder {
    folder: PathBuf,
    max_file_bytes: u64,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    max_file_bytes: u64,
    writers: Mutex<HashMap<String, Writer>>,
}

/// The newest file of a pipeline.
#[derive(Debug)]
struct Writer {
    lock: FileLock,
    number: u64,
    /// `None` until there is a letter.
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    path: PathBuf,
    /// Up to here it is whole.
    length: u64,
    /// Something may stand behind that.
    torn: bool,
}

impl FileDeadLettersBuilder {
    /// How many bytes a file holds before the next one is begun; one write may exceed it alone. Default 64 MiB.
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.max_file_bytes = bytes;
        self
    }

    /// Makes the folder where it is missing. Nothing is locked or written before a pipeline runs.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when the folder cannot be made.
    pub fn build(self) -> Result<FileDeadLetters> {
        let FileDeadLettersBuilder { folder, max_file_bytes } = self;
        fs::create_dir_all(&folder).map_err(|error| {
            Error::configuration(format!(
                "the folder {} for dead letters cannot be made: {error}",
                folder.display()
            ))
            .remedy("give a path that this user can write to")
            .with_source(error)
        })?;
        let writers = Mutex::default();
        Ok(FileDeadLetters(Arc::new(Inner { folder, max_file_bytes, writers })))
    }
}

impl FileDeadLetters {
    /// Letters in a folder, which is made when it is missing, with all defaults.
    ///
    /// # Errors
    /// As [`FileDeadLettersBuilder::build`].
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(folder).build()
    }

    /// Starts to set them up.
    pub fn builder(folder: impl Into<PathBuf>) -> FileDeadLettersBuilder {
        FileDeadLettersBuilder { folder: folder.into(), max_file_bytes: MAX_FILE_BYTES }
    }

    async fn blocking(
        &self,
        work: impl FnOnce(&Inner) -> Result<()> + Send + 'static,
    ) -> Result<()> {
        let inner = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || work(&inner))
            .await
            .map_err(|error| Error::cancelled("the runtime was shut down").with_source(error))?
    }
}

impl Inner {
    /// Locks, and mends the newest file.
    fn open(
        &self,
        pipeline: &str,
        lock: impl for<'a> FnOnce(Locked<'a>) -> Result<FileLock>,
    ) -> Result<()> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let series = file_name(pipeline);
        let path = self.folder.join(&series);
        let locked = locked(&path);
        if writers.contains_key(pipeline) {
            return Err(locked.held(&format!("process {} itself", std::process::id())));
        }
        let lock = lock(locked)?;
        let newest = files(&self.folder, Some(&series))?.pop();
        let number = newest.as_ref().map_or(0, |newest| newest.number);
        let open = newest.map(|newest| OpenFile::mended(newest.path)).transpose()?;
        writers.insert(pipeline.to_owned(), Writer { lock, number, open });
        Ok(())
    }

    fn append(&self, pipeline: &str, lines: &[u8]) -> Result<()> {
        let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let series = file_name(pipeline);
        let Some(writer) = writers.get_mut(pipeline) else {
            return Err(Error::configuration(format!(
                "dead letters in {} are not open for pipeline {pipeline}",
                self.folder.display()
            )));
        };
        locked(&self.folder.join(&series)).check(&writer.lock)?;
        let full = |open: &OpenFile| {
            open.length > 0 && open.length.saturating_add(lines.len() as u64) > self.max_file_bytes
        };
        if writer.open.as_ref().is_none_or(full) {
            let number = writer.number + 1;
            let path = path_of(&self.folder, &series, number);
            let file = OpenOptions::new().write(true).create_new(true).open(&path);
            let made = file.and_then(|file| {
                File::open(&self.folder)?.sync_all()?;
                Ok(file)
            });
            // A file whose making failed half-way is no letter's: the next attempt takes the next number.
            writer.number = number;
            let file = made.map_err(|error| failed(&path, error))?;
            writer.open = Some(OpenFile { file, path, length: 0, torn: false });
        }
        let Some(open) = &mut writer.open else { return Ok(()) };
        open.append(lines).map_err(|error| failed(&open.path, error))
    }
}

impl OpenFile {
    /// Opens a file that an earlier process wrote, and cuts off what a crash has torn.
    fn mended(path: PathBuf) -> Result<Self> {
        let unusable = |error: std::io::Error| {
            Error::configuration(format!(
                "dead letter file {} cannot be opened: {error}",
                path.display()
            ))
            .with_source(error)
        };
        let mut file = OpenOptions::new().read(true).write(true).open(&path).map_err(unusable)?;
        let mut content = Vec::new();
        let length = file.metadata().map_err(unusable)?.len();
        (&mut file).take(length).read_to_end(&mut content).map_err(unusable)?;
        let whole = whole_lines(&content);
        if whole < content.len() {
            tracing::warn!(
                path = %path.display(), bytes = content.len() - whole,
                "a dead letter that was torn by a crash is cut off; its event comes again"
            );
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(unusable)?;
        }
        Ok(OpenFile { file, path, length: whole as u64, torn: false })
    }

    fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        if self.torn {
            self.file.set_len(self.length)?;
        }
        self.torn = true;
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(lines))
            .and_then(|()| self.file.sync_data());
        if written.is_err() {
            // Where this fails too it is done before the next write, or at the next start.
            self.torn = self.file.set_len(self.length).is_err();
            return written;
        }
        self.torn = false;
        self.length += lines.len() as u64;
        Ok(())
    }
}

/// How many bytes are whole lines of JSON.
fn whole_lines(content: &[u8]) -> usize {
    let end_of_line =
        |content: &[u8]| content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let mut whole = end_of_line(content);
    while let Some(line) = content.get(..whole.saturating_sub(1)).filter(|_| whole > 0) {
        let start = end_of_line(line);
        let last = line.get(start..).unwrap_or_default();
        if serde_json::from_slice::<serde::de::IgnoredAny>(last).is_ok() {
            break;
        }
        whole = start;
    }
    whole
}

fn locked(path: &Path) -> Locked<'_> {
    Locked { what: "dead letter file", file: path }
}

fn failed(path: &Path, error: std::io::Error) -> Error {
    let message = format!("dead letter file {} cannot be written: {error}", path.display());
    if is_full(&error) {
        // No later attempt can succeed until somebody makes room.
        return Error::configuration(message)
            .remedy("nothing is lost: make room and start again, the event comes again")
            .with_source(error);
    }
    Error::transient(message)
        .remedy("what is in it is whole; restore the rights, it is tried again")
        .with_source(error)
}

#[async_trait]
impl DeadLetters for FileDeadLetters {
    async fn open(&self, pipeline: &str) -> Result<()> {
        let pipeline = pipeline.to_owned();
        self.blocking(move |inner| inner.open(&pipeline, |locked| locked.lock())).await
    }

    async fn take_over(&self, pipeline: &str) -> Result<()> {
        let pipeline = pipeline.to_owned();
        self.blocking(move |inner| inner.open(&pipeline, |locked| locked.take_lock())).await
    }

    async fn write(&self, letters: &[DeadLetter]) -> Result<()> {
        let Some(first) = letters.first() else { return Ok(()) };
        let pipeline = first.pipeline.to_string();
        let mut lines = String::new();
        for letter in letters {
            lines.push_str(&letter.to_line()?);
            lines.push('\n');
        }
        self.blocking(move |inner| inner.append(&pipeline, lines.as_bytes())).await
    }

    async fn close(&self, pipeline: &str) -> Result<()> {
        self.0.writers.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{DeadLetterError, Stage};
    use super::*;
    use crate::error::ErrorKind;
    use crate::event::{ChangeEvent, Destination, Payload};
    use crate::origin::Origin;

    fn letter(name: &str) -> DeadLetter {
        DeadLetter {
            pipeline: "shop/copy".into(),
            sink: None,
            stage: Stage::CommonChain,
            transform: None,
            error: DeadLetterError { kind: ErrorKind::Data, text: "no".into() },
            event: ChangeEvent::new(
                Destination::named(name),
                Payload::Absent,
                Payload::Absent,
                Origin::of_pipeline(),
            ),
        }
    }

    async fn written(folder: &Path, names: &[&str]) -> FileDeadLetters {
        let letters = FileDeadLetters::open(folder).unwrap();
        letters.open("shop/copy").await.unwrap();
        for name in names {
            letters.write(&[letter(name)]).await.unwrap();
        }
        letters
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names = Vec::new();
        for file in files(folder, None).unwrap() {
            for line in fs::read_to_string(&file.path).unwrap().lines() {
                names.push(DeadLetter::from_line(line).unwrap().event.destination.to_string());
            }
        }
        names
    }

    #[tokio::test]
    async fn a_line_that_a_crash_has_torn_is_cut_off_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &["a", "b"]).await.close("shop/copy").await.unwrap();
        let path = folder.path().join("shop%2fcopy.00000001.jsonl");
        let whole = fs::read(&path).unwrap();
        for torn in [&b"{\"version\":1,"[..], b"\0\0\0\0", b"\0\0\n\0\n", b"{\n"] {
            fs::write(&path, [&whole, torn].concat()).unwrap();
            written(folder.path(), &["c"]).await.close("shop/copy").await.unwrap();
            assert_eq!(names(folder.path()), ["a", "b", "c"]);
        }
        fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        written(folder.path(), &["d"]).await;
        assert_eq!(names(folder.path()), ["a", "d"]);
    }

    #[tokio::test]
    async fn a_second_writer_is_told_who_holds_the_files_and_one_that_takes_over_ends_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = written(folder.path(), &["a"]).await;
        let second = FileDeadLetters::open(folder.path()).unwrap();
        let error = second.open("shop/copy").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert!(error.to_string().contains("is held by process"), "{error}");
        second.take_over("shop/copy").await.unwrap();
        second.write(&[letter("b")]).await.unwrap();
        let error = first.write(&[letter("never")]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        assert_eq!(names(folder.path()), ["a", "b"]);
        assert!(FileDeadLetters::open(folder.path()).unwrap().write(&[letter("x")]).await.is_err());
    }

    #[tokio::test]
    async fn a_file_that_is_full_is_followed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let letters = FileDeadLetters::builder(folder.path()).max_file_bytes(1).build().unwrap();
        letters.open("shop/copy").await.unwrap();
        for name in ["a", "b", "c"] {
            letters.write(&[letter(name)]).await.unwrap();
        }
        assert_eq!(files(folder.path(), None).unwrap().len(), 3);
        assert_eq!(names(folder.path()), ["a", "b", "c"]);
    }
}
