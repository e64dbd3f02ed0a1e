//! Reading dead letters into a pipeline again.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Map, Value as Json};

use super::DeadLetter;
use super::folder::{LetterFile, files};
use super::schema_json::SchemaCache;
use crate::batch::{Batch, BatchLimits};
use crate::error::{Error, Result};
use crate::event::ChangeEvent;
use crate::file_lock::file_name;
use crate::offset::Offset;
use crate::origin::{Origin, TransactionOrigin};
use crate::request::{Answer, Request};
use crate::source::{Acknowledge, Acknowledger, Coverage, Positions, Source, SourceContext};
use crate::status::{Phase, Progress};

/// Reads the letters of a folder that [`FileDeadLetters`](super::FileDeadLetters) has written: their events, as the first
/// source gave them, go through the chain of this pipeline.
///
/// It ends at the last letter that is there. Its offset is a file and a place in it, so that a replay that was stopped or
/// killed goes on, and a later replay under the same name of the pipeline reads the letters that have come since.
///
/// ```no_run
/// use cdc_core::dead_letter::DeadLetterSource;
///
/// // What is in there of one pipeline, and is not in one of its sinks.
/// let source = DeadLetterSource::open("letters")?.of_pipeline("shop-copy").of_sink("sqlite:shop.db");
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug)]
pub struct DeadLetterSource {
    folder: PathBuf,
    series: Option<String>,
    sink: Option<Arc<str>>,
    limits: BatchLimits,
    progress: Progress,
    position: Position,
    schemas: Arc<Mutex<SchemaCache>>,
    given: Given,
}

/// A place in the letters: the number of a file, and a byte in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    file: u64,
    byte: u64,
}

/// Where the events that are on their way came from. Every letter has a transaction of its own, also where two letters are of
/// one transaction of the first source, and no transform can exchange it.
#[derive(Debug, Clone, Default)]
struct Given(Arc<Mutex<Places>>);

/// By the address of the transaction, which is kept so that no other one gets it.
type Places = HashMap<usize, (Arc<TransactionOrigin>, Position)>;

impl DeadLetterSource {
    /// The letters of a folder, which are those of one pipeline where nothing else is [said](Self::of_pipeline).
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when there is no such folder.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        files(&folder, None)?;
        Ok(DeadLetterSource {
            folder,
            series: None,
            sink: None,
            limits: BatchLimits::default(),
            progress: Progress::default(),
            position: Position::default(),
            schemas: Arc::default(),
            given: Given::default(),
        })
    }

    /// Reads the letters of this pipeline alone.
    #[must_use]
    pub fn of_pipeline(mut self, name: &str) -> Self {
        self.series = Some(file_name(name));
        self
    }

    /// Reads what this sink lacks alone: its own letters and those that name no sink.
    #[must_use]
    pub fn of_sink(mut self, name: &str) -> Self {
        self.sink = Some(name.into());
        self
    }

    fn files(&self) -> Result<Vec<LetterFile>> {
        files(&self.folder, self.series.as_deref())
    }
}

impl Position {
    fn offset(self) -> Offset {
        let mut keys = Map::new();
        keys.insert("file".into(), self.file.into());
        keys.insert("byte".into(), self.byte.into());
        Offset::new(keys)
    }

    fn of(offset: &Offset) -> Result<Self> {
        let number = |key| offset.get(key).and_then(Json::as_u64);
        match (number("file"), number("byte")) {
            (Some(file), Some(byte)) => Ok(Position { file, byte }),
            _ => Err(Error::configuration(format!("{offset} is no place in dead letters")).remedy(
                "give the pipeline that replays a name of its own: its offset is not that of the first one",
            )),
        }
    }
}

fn unreadable(path: &Path, what: &str) -> Error {
    Error::configuration(format!("dead letter file {} {what}", path.display()))
}

/// What was read: letters with the place behind each of them, and the place behind all that was looked at.
struct Read {
    letters: Vec<(DeadLetter, Position)>,
    end: Position,
}

/// Reads from a place up to the bounds of a batch, or the end.
fn read(
    files: &[LetterFile],
    from: Position,
    sink: Option<&str>,
    limits: BatchLimits,
    schemas: &mut SchemaCache,
) -> Result<Read> {
    let mut read = Read { letters: Vec::new(), end: from };
    let mut bytes = 0;
    for LetterFile { number, path, .. } in files.iter().filter(|file| file.number >= from.file) {
        let failed = |error: std::io::Error| {
            unreadable(path, &format!("cannot be read: {error}")).with_source(error)
        };
        let mut byte = if *number == from.file { from.byte } else { 0 };
        let mut file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() < byte {
            return Err(unreadable(
                path,
                &format!("ends before byte {byte}, up to which it was read"),
            )
            .remedy("restore it, or replay under another name of the pipeline"));
        }
        file.seek(SeekFrom::Start(byte)).map_err(failed)?;
        let mut lines = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            if read.letters.len() >= limits.max_events || bytes >= limits.max_bytes {
                return Ok(read);
            }
            line.clear();
            let length = lines.read_until(b'\n', &mut line).map_err(failed)?;
            if line.pop() != Some(b'\n') {
                if length > 0 {
                    tracing::warn!(path = %path.display(), byte, "the last dead letter is not whole");
                }
                break;
            }
            let place = |error: Error| {
                error.context(format_args!("dead letter file {}, byte {byte}", path.display()))
            };
            let text = std::str::from_utf8(&line)
                .map_err(|error| place(Error::data("it is not UTF-8").with_source(error)))?;
            let letter = DeadLetter::from_line_with(text, schemas).map_err(place)?;
            byte += length as u64;
            bytes += length;
            read.end = Position { file: *number, byte };
            if sink.is_none_or(|sink| letter.sink.as_deref().is_none_or(|of| of == sink)) {
                read.letters.push((letter, read.end));
            }
        }
    }
    Ok(read)
}

#[async_trait]
impl Source for DeadLetterSource {
    async fn acquire(&mut self, context: &SourceContext) -> Result<()> {
        self.limits = context.limits;
        self.progress = context.progress.clone();
        let mut series: Vec<String> = self.files()?.into_iter().map(|file| file.series).collect();
        series.dedup();
        match &*series {
            [] => Ok(()),
            [one] => {
                self.series = Some(one.clone());
                Ok(())
            }
            several => Err(Error::configuration(format!(
                "the folder {} has dead letters of several pipelines: {}",
                self.folder.display(),
                several.join(", ")
            ))
            .remedy("say which by .of_pipeline(..)")),
        }
    }

    async fn start(&mut self, resume: Option<Offset>) -> Result<()> {
        self.position = resume.as_ref().map(Position::of).transpose()?.unwrap_or_default();
        self.progress.set_phase(Phase::Streaming);
        Ok(())
    }

    async fn next_batch(&mut self) -> Result<Option<Batch>> {
        let (files, from, limits) = (self.files()?, self.position, self.limits);
        let (sink, schemas) = (self.sink.clone(), Arc::clone(&self.schemas));
        let read = tokio::task::spawn_blocking(move || {
            let mut schemas = schemas.lock().unwrap_or_else(PoisonError::into_inner);
            read(&files, from, sink.as_deref(), limits, &mut schemas)
        });
        let read = read
            .await
            .map_err(|error| Error::cancelled("the runtime was shut down").with_source(error))??;
        if read.end == self.position {
            return Ok(None);
        }
        self.position = read.end;
        let events: Vec<ChangeEvent> = self.given.note(read.letters);
        Ok(Some(Batch::new(events, read.end.offset())))
    }

    fn acknowledger(&self) -> Acknowledger {
        Acknowledger::new(self.given.clone())
    }

    fn positions(&self) -> Arc<dyn Positions> {
        Arc::new(LetterPositions(self.given.clone()))
    }

    async fn end_of_log(&mut self) -> Result<Offset> {
        let (files, schemas) = (self.files()?, &mut SchemaCache::default());
        let limits = BatchLimits { max_events: usize::MAX, max_bytes: usize::MAX, ..self.limits };
        let from = files.last().map(|file| Position { file: file.number, byte: 0 });
        let from = from.unwrap_or(self.position).max(self.position);
        Ok(read(&files, from, Some(""), limits, schemas)?.end.offset())
    }

    fn control(&mut self, request: Request, _: Answer) -> Result<()> {
        Err(request.refused("dead letter"))
    }

    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Given {
    fn note(&self, letters: Vec<(DeadLetter, Position)>) -> Vec<ChangeEvent> {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        letters
            .into_iter()
            .map(|(letter, position)| {
                let transaction = Arc::clone(&letter.event.origin().transaction);
                given.insert(Arc::as_ptr(&transaction).addr(), (transaction, position));
                letter.event
            })
            .collect()
    }

    /// The place behind the letter of an event.
    fn position(&self, origin: &Origin) -> Option<Position> {
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.get(&Arc::as_ptr(&origin.transaction).addr()).map(|(_, position)| *position)
    }
}

/// What is saved everywhere does not come again.
impl Acknowledge for Given {
    fn acknowledge(&self, offset: &Offset) {
        let Ok(saved) = Position::of(offset) else { return };
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|_, (_, position)| *position > saved);
    }
}

/// How places in dead letters compare.
#[derive(Debug)]
struct LetterPositions(Given);

impl Positions for LetterPositions {
    fn compare(&self, a: &Offset, b: &Offset) -> Result<Option<Ordering>> {
        Ok(Some(Position::of(a)?.cmp(&Position::of(b)?)))
    }

    fn meet(&self, a: &Offset, b: &Offset) -> Result<Offset> {
        Ok(Position::of(a)?.min(Position::of(b)?).offset())
    }

    fn before_first_event(&self, offset: &Offset) -> Result<bool> {
        Ok(Position::of(offset)? == Position::default())
    }

    fn coverage(&self, offset: Option<&Offset>) -> Result<Box<dyn Coverage>> {
        let reached = offset.map(Position::of).transpose()?.unwrap_or_default();
        Ok(Box::new(Covered { given: self.0.clone(), reached }))
    }
}

#[derive(Debug)]
struct Covered {
    given: Given,
    reached: Position,
}

impl Coverage for Covered {
    fn covers(&self, origin: &Origin) -> bool {
        self.given.position(origin).is_some_and(|position| position <= self.reached)
    }
}
