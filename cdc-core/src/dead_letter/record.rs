//! A dead letter, and the line of JSON that it is in a file.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value as Json, json};

use super::event_json::{event_from_json, event_to_json};
use super::schema_json::SchemaCache;
use crate::error::{Error, ErrorKind, Result};
use crate::event::ChangeEvent;

/// The version of the lines that this release writes and reads.
const VERSION: u64 = 1;

/// An event that failed: where, why, and the event as the source gave it.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The pipeline.
    pub pipeline: Arc<str>,
    /// The sink that lacks the event; `None` where it failed in the common chain: then every sink lacks it.
    pub sink: Option<Arc<str>>,
    /// The step that failed.
    pub stage: Stage,
    /// The name of the transform, where one failed.
    pub transform: Option<Arc<str>>,
    /// What was wrong.
    pub error: DeadLetterError,
    /// The event before any transform.
    pub event: ChangeEvent,
}

/// The step in which an event failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The chain that all sinks share.
    CommonChain,
    /// The chain of one sink.
    SinkChain,
    /// The sink: its converter, or its target.
    Sink,
}

/// What was wrong with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterError {
    /// The kind.
    pub kind: ErrorKind,
    /// What happened and what to do.
    pub text: String,
}

impl Stage {
    /// The name used in letters and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::CommonChain => "common chain",
            Stage::SinkChain => "sink chain",
            Stage::Sink => "sink",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<&Error> for DeadLetterError {
    fn from(error: &Error) -> Self {
        DeadLetterError { kind: error.kind(), text: error.to_string() }
    }
}

impl DeadLetter {
    /// The letter as one line of JSON without its end.
    ///
    /// # Errors
    /// [`Data`](ErrorKind::Data) when the event holds what this release cannot write down.
    pub fn to_line(&self) -> Result<String> {
        let mut line = Map::new();
        line.insert("version".into(), VERSION.into());
        line.insert("pipeline".into(), (*self.pipeline).into());
        line.insert("sink".into(), self.sink.as_deref().into());
        line.insert("stage".into(), self.stage.as_str().into());
        line.insert("transform".into(), self.transform.as_deref().into());
        line.insert(
            "error".into(),
            json!({"kind": self.error.kind.as_str(), "text": self.error.text}),
        );
        event_to_json(&self.event, &mut line)?;
        serde_json::to_string(&line)
            .map_err(|error| Error::data("a dead letter is not JSON").with_source(error))
    }

    /// Reads what [`to_line`](DeadLetter::to_line) wrote: the same letter with an equal event.
    ///
    /// # Errors
    /// [`Data`](ErrorKind::Data) when it is something else; [`Configuration`](ErrorKind::Configuration) when another version
    /// wrote it.
    pub fn from_line(line: &str) -> Result<Self> {
        Self::from_line_with(line, &mut SchemaCache::default())
    }

    pub(super) fn from_line_with(line: &str, schemas: &mut SchemaCache) -> Result<Self> {
        let damaged = |what: &str| Error::data(format!("no dead letter: {what}"));
        let line: Json = serde_json::from_str(line)
            .map_err(|error| damaged(&format!("it is not JSON ({error})")))?;
        match line.get("version").and_then(Json::as_u64) {
            Some(VERSION) => {}
            Some(version) => {
                return Err(Error::configuration(format!(
                    "a dead letter has version {version}, and this release knows version {VERSION}"
                ))
                .remedy("run the release that wrote it, or a newer one"));
            }
            None => return Err(damaged("it has no version")),
        }
        let text = |name: &str| line.get(name).and_then(Json::as_str);
        let stage = [Stage::CommonChain, Stage::SinkChain, Stage::Sink]
            .into_iter()
            .find(|stage| Some(stage.as_str()) == text("stage"));
        let error = line.get("error").ok_or_else(|| damaged("it has no error"))?;
        let kind = error.get("kind").and_then(Json::as_str);
        let kinds = [
            ErrorKind::Transient,
            ErrorKind::Data,
            ErrorKind::Configuration,
            ErrorKind::Fenced,
            ErrorKind::Cancelled,
        ];
        let kind = kinds.into_iter().find(|known| Some(known.as_str()) == kind);
        Ok(DeadLetter {
            pipeline: text("pipeline").ok_or_else(|| damaged("it names no pipeline"))?.into(),
            sink: text("sink").map(Into::into),
            stage: stage.ok_or_else(|| damaged("it has no stage"))?,
            transform: text("transform").map(Into::into),
            error: DeadLetterError {
                kind: kind.ok_or_else(|| damaged("its error has no kind"))?,
                text: error.get("text").and_then(Json::as_str).unwrap_or_default().to_owned(),
            },
            event: event_from_json(&line, schemas).map_err(|error| error.context("dead letter"))?,
        })
    }
}
