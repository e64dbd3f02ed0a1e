//! Where a run starts: from which offset the source reads, and what each sink is spared.

use crate::error::{Error, Result};
use crate::offset::Offset;
use crate::offset_store::SinkOffsets;
use crate::source::Positions;

/// What is known of a sink at the start.
#[derive(Debug, Clone)]
pub(crate) struct SinkStart {
    pub(crate) name: String,
    pub(crate) keeps_offset: bool,
    /// The offset that a transactional sink committed.
    pub(crate) committed: Option<Offset>,
}

impl SinkStart {
    /// The sink's offset: a transactional sink's own is the truth, the store serves the others.
    pub(crate) fn offset<'a>(&'a self, stored: &'a SinkOffsets) -> Option<&'a Offset> {
        if self.keeps_offset { self.committed.as_ref() } else { stored.get(&self.name) }
    }
}

/// The offset that the source reads from: the latest that is not after the offset of any sink.
///
/// # Errors
/// [`Configuration`](crate::ErrorKind::Configuration) when a sink has no offset though the pipeline is past its first event.
pub(crate) fn resume_offset(
    pipeline: &str,
    sinks: &[SinkStart],
    stored: &SinkOffsets,
    positions: &dyn Positions,
) -> Result<Option<Offset>> {
    let mut resume: Option<Offset> = None;
    let mut without: Option<&str> = None;
    let mut past: Option<String> = None;
    for sink in sinks {
        let Some(offset) = sink.offset(stored) else {
            without = without.or(Some(&sink.name));
            continue;
        };
        if !positions.before_first_event(offset)? {
            past = past.or_else(|| Some(format!("sink {}", sink.name)));
        }
        resume = Some(match resume {
            None => offset.clone(),
            Some(resume) => positions.meet(&resume, offset)?,
        });
    }
    if let Some(without) = without {
        if past.is_none() {
            for (name, offset) in stored {
                if !positions.before_first_event(offset)? {
                    past = Some(format!("the offset store (entry {name})"));
                }
            }
        } else if let Some(offset) = &resume
            && let Some(with_new) = positions.with_new_sink(offset)?
        {
            return Ok(Some(with_new));
        }
        if let Some(past) = past {
            return Err(Error::configuration(format!(
                "sink {without} has no offset, but pipeline {pipeline} is already past its first event according to {past}"
            ))
            .remedy(
                "it would lack what was there before: if its target was emptied or replaced, or the sink is new, remove \
                 the pipeline's state (its slot, its stored offsets and the offsets in its targets) and start it anew \
                 with a snapshot, or give the new sink a pipeline of its own",
            ));
        }
    }
    Ok(resume)
}
