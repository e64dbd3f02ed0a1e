//! The messages of one transaction: the newest in memory, the older in a file without a name.
//!
//! They have the form in which they came over the wire, so they are read back by the same code. The file has no name in
//! its folder: whatever ends the process, nothing is left.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::error::PostgresError;
use crate::lsn::Lsn;
use crate::wire::block::LogBlock;
use crate::wire::frames::FrameBuffer;

/// How much is read back at once.
const READ: usize = 256 * 1024;

/// What stands before a message: type, length, and the head of an XLogData.
const HEAD: usize = 1 + 4 + 25;

/// The messages of a transaction in progress.
#[derive(Debug, Default)]
pub(super) struct Store {
    file: Option<File>,
    /// Bytes in the file.
    written: u64,
    tail: BytesMut,
}

impl Store {
    /// All bytes.
    pub(super) fn len(&self) -> u64 {
        self.written + u64::try_from(self.tail.len()).unwrap_or(u64::MAX)
    }

    /// Bytes in memory.
    pub(super) fn in_memory(&self) -> usize {
        self.tail.len()
    }

    /// Adds a message; how many bytes more are in memory.
    pub(super) fn add(&mut self, at: Lsn, message: &[u8]) -> usize {
        let size = HEAD + message.len();
        // No message exceeds the gigabyte of the protocol.
        let length = u32::try_from(size - 1).unwrap_or(u32::MAX);
        self.tail.reserve(size);
        self.tail.put_u8(b'd');
        self.tail.put_u32(length);
        self.tail.put_u8(b'w');
        self.tail.put_u64(at.0);
        self.tail.put_bytes(0, 16);
        self.tail.put_slice(message);
        size
    }

    /// Writes what is in memory to the file.
    pub(super) async fn spill(&mut self, folder: &Path) -> Result<(), PostgresError> {
        let file = self.file.take();
        let tail = std::mem::take(&mut self.tail);
        self.written += u64::try_from(tail.len()).unwrap_or(u64::MAX);
        let place = folder.to_owned();
        let write = move || {
            let mut file = match file {
                Some(file) => file,
                None => tempfile::tempfile_in(&place)?,
            };
            file.write_all(&tail)?;
            Ok::<_, io::Error>((file, tail))
        };
        let written =
            tokio::task::spawn_blocking(write).await.map_err(|_| PostgresError::Stopped)?;
        let (file, mut tail) = written.map_err(failed(folder))?;
        tail.clear();
        self.file = Some(file);
        self.tail = tail;
        Ok(())
    }

    /// Forgets everything from a place on.
    pub(super) fn truncate(&mut self, start: u64, folder: &Path) -> Result<(), PostgresError> {
        if let Some(kept) = start.checked_sub(self.written) {
            self.tail.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            return Ok(());
        }
        self.tail.clear();
        self.written = start;
        let Some(file) = &mut self.file else { return Ok(()) };
        let cut = file.set_len(start).and_then(|()| file.seek(SeekFrom::Start(start)));
        cut.map(drop).map_err(failed(folder))
    }

    /// Gives all messages from the first on.
    pub(super) fn replay(self, folder: &Path) -> Replay {
        Replay {
            file: self.file,
            left: self.written,
            begun: false,
            frames: FrameBuffer::new(),
            tail: self.tail.freeze(),
            folder: folder.to_owned(),
        }
    }
}

/// The messages of a committed transaction.
#[derive(Debug)]
pub(crate) struct Replay {
    file: Option<File>,
    /// Bytes of the file that were not read.
    left: u64,
    begun: bool,
    frames: FrameBuffer,
    tail: Bytes,
    folder: PathBuf,
}

impl Replay {
    /// The next messages; `None` after the last.
    ///
    /// # Errors
    /// [`PostgresError::Spill`].
    pub(crate) async fn next(&mut self) -> Result<Option<LogBlock>, PostgresError> {
        loop {
            let run = self.frames.take_run(b'd').map_err(|error| self.damaged(&error))?;
            if !run.is_empty() {
                return Ok(Some(LogBlock::new(run)));
            }
            if self.left == 0 {
                self.file = None;
                let tail = std::mem::take(&mut self.tail);
                return Ok((!tail.is_empty()).then(|| LogBlock::new(tail)));
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), PostgresError> {
        let Some(mut file) = self.file.take() else {
            return Err(self.damaged(&"its file is gone"));
        };
        let begun = std::mem::replace(&mut self.begun, true);
        let wanted = usize::try_from(self.left).unwrap_or(READ).min(READ);
        let read = move || {
            if !begun {
                file.seek(SeekFrom::Start(0))?;
            }
            let mut piece = vec![0; wanted];
            file.read_exact(&mut piece)?;
            Ok::<_, io::Error>((file, piece))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|_| PostgresError::Stopped)?;
        let (file, piece) = read.map_err(failed(&self.folder))?;
        self.file = Some(file);
        self.left -= u64::try_from(piece.len()).unwrap_or(self.left);
        self.frames.space().extend_from_slice(&piece);
        Ok(())
    }

    fn damaged(&self, reason: &dyn std::fmt::Display) -> PostgresError {
        let error = io::Error::new(io::ErrorKind::InvalidData, reason.to_string());
        failed(&self.folder)(error)
    }
}

fn failed(folder: &Path) -> impl Fn(io::Error) -> PostgresError {
    let folder = folder.display().to_string();
    move |source| PostgresError::Spill { folder: folder.clone(), source }
}
