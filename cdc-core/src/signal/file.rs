//! Signals from a file, a line each.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Signal;
use crate::error::{Error, Result};

/// A file into which signals are written, a line of JSON each (`signal.file`), and which is emptied once they are carried out.
///
/// The original empties it when it has read it, and forgets signals when it is killed then. Here they stay until
/// [`done`](Self::done) says that they are carried out: after a kill in between they come again.
///
/// Files are small and local: it blocks.
///
/// ```
/// use cdc_core::signal::SignalFile;
///
/// # let folder = std::env::temp_dir().join(format!("cdc-signals-{}", std::process::id()));
/// # std::fs::create_dir_all(&folder).unwrap();
/// # let path = folder.join("signals.txt");
/// let mut file = SignalFile::new(&path);
/// assert!(file.read()?.is_empty(), "there is no such file yet");
/// std::fs::write(&path, "{\"id\":\"1\",\"type\":\"pause-snapshot\"}\n").unwrap();
/// assert_eq!(file.read()?[0].kind, "pause-snapshot");
/// assert!(file.read()?.is_empty(), "it was read");
/// file.done()?;
/// assert_eq!(std::fs::read_to_string(&path).unwrap(), "");
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SignalFile {
    path: PathBuf,
    /// So many bytes were read.
    read: u64,
}

/// A signal is a line of some hundred bytes: what is longer is something else.
const MOST_BYTES: u64 = 16 << 20;

impl SignalFile {
    /// A file, which need not be there.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        SignalFile { path: path.into(), read: 0 }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The signals that were written since the last call. A line that is no signal is told in the log; a last one that is not
    /// whole yet is waited for.
    ///
    /// # Errors
    /// [`Transient`](crate::ErrorKind::Transient) where the file cannot be read.
    pub fn read(&mut self) -> Result<Vec<Signal>> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.read = 0;
                return Ok(Vec::new());
            }
            Err(error) => return Err(self.failed("read", &error)),
        };
        let length = file.metadata().map_err(|error| self.failed("read", &error))?.len();
        if length < self.read {
            // Somebody has written it anew.
            self.read = 0;
        }
        if length == self.read {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read))
            .and_then(|_| file.take(MOST_BYTES).read_to_end(&mut bytes))
            .map_err(|error| self.failed("read", &error))?;
        let mut signals = Vec::new();
        let mut taken = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            let text = text.trim();
            match Signal::from_line(text) {
                _ if text.is_empty() => {}
                Ok(signal) => signals.push(signal),
                // It may be in the middle of being written.
                Err(_) if !line.ends_with(b"\n") && bytes.len() as u64 != MOST_BYTES => break,
                Err(error) => {
                    tracing::warn!(file = %self.path.display(), %error, "a signal is left out");
                }
            }
            taken += line.len() as u64;
        }
        self.read += taken;
        Ok(signals)
    }

    /// What was read is carried out: the file is emptied, unless more was written into it.
    ///
    /// # Errors
    /// As [`SignalFile::read`].
    pub fn done(&mut self) -> Result<()> {
        if self.read == 0 {
            return Ok(());
        }
        let emptied = OpenOptions::new().write(true).open(&self.path).and_then(|file| {
            let all = file.metadata()?.len() <= self.read;
            if all {
                file.set_len(0)?;
            }
            Ok(all)
        });
        match emptied {
            Ok(true) => self.read = 0,
            Ok(false) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.read = 0,
            Err(error) => return Err(self.failed("empty", &error)),
        }
        Ok(())
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> Error {
        let file = self.path.display();
        Error::transient(format!("cannot {what} the file for signals {file}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn ids(file: &mut SignalFile) -> Vec<String> {
        file.read().unwrap().into_iter().map(|signal| signal.id).collect()
    }

    fn line(id: u32) -> String {
        format!("{{\"id\":\"{id}\",\"type\":\"log\",\"data\":{{\"message\":\"m\"}}}}")
    }

    #[test]
    fn lines_come_once_and_stay_until_they_are_carried_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signals");
        let mut file = SignalFile::new(&path);
        assert!(ids(&mut file).is_empty());
        file.done().unwrap();
        append(&path, &format!("{}\n\nnonsense\n{}\n", line(1), line(2)));
        assert_eq!(ids(&mut file), ["1", "2"]);
        assert!(ids(&mut file).is_empty());
        assert_eq!(ids(&mut SignalFile::new(&path)), ["1", "2"], "after a kill they come again");
        append(&path, &format!("{}\n", line(3)));
        file.done().unwrap();
        assert_eq!(ids(&mut file), ["3"], "what came in between is not lost");
        file.done().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 0);
        append(&path, &line(4));
        assert_eq!(ids(&mut file), ["4"], "a last line needs no end");
    }

    #[test]
    fn a_line_that_is_being_written_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signals");
        let mut file = SignalFile::new(&path);
        let whole = line(1);
        append(&path, &whole[..10]);
        assert!(ids(&mut file).is_empty());
        append(&path, &whole[10..]);
        assert_eq!(ids(&mut file), ["1"]);
    }

    #[test]
    fn a_file_that_was_written_anew_is_read_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signals");
        let mut file = SignalFile::new(&path);
        std::fs::write(&path, format!("{}\n{}\n", line(1), line(2))).unwrap();
        assert_eq!(ids(&mut file).len(), 2);
        std::fs::write(&path, format!("{}\n", line(3))).unwrap();
        assert_eq!(ids(&mut file), ["3"]);
    }
}
