//! Offsets as Kafka Connect shows them (`GET /connectors/<name>/offsets`), taken over into a store.
//!
//! ```json
//! {"offsets": [{"partition": {"server": "shop"}, "offset": {"lsn": 23752056, "lsn_commit": 23752000, "txId": 771}}]}
//! ```

use serde_json::{Map, Value as Json};

use super::{FileOffsetStore, OffsetStore, SinkOffsets};
use crate::error::{Error, Result};
use crate::offset::Offset;

impl FileOffsetStore {
    /// Takes over where a Debezium connector has stopped: the pipeline goes on from there, with the connector's slot, at its
    /// next start. `offsets` is what Connect's offsets endpoint shows of a connector that is stopped, `sinks` are the
    /// [names](crate::Sink::name) of the sinks that are to go on from it.
    ///
    /// The connector must not run again: it would read the same slot.
    ///
    /// ```
    /// use cdc_core::offset_store::FileOffsetStore;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let folder = std::env::temp_dir().join(format!("cdc-takeover-doc-{}", std::process::id()));
    /// let shown = r#"{"offsets":[{"partition":{"server":"shop"},"offset":{"lsn":23752056,"lsn_commit":23752000,
    ///     "lsn_proc":23752056,"messageType":"INSERT","txId":771,"ts_usec":1795260914813207}}]}"#;
    /// let store = FileOffsetStore::open(&folder)?;
    /// store.import_connect("shop", &["kafka"], shown).await?;
    /// # std::fs::remove_dir_all(&folder).ok();
    /// # Ok::<(), cdc_core::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration): the text is not of that form, is of several servers or of a
    /// snapshot that did not end; the store has offsets of this pipeline already, which stay as they are.
    /// [`Fenced`](crate::ErrorKind::Fenced) while the pipeline runs.
    pub async fn import_connect(
        &self,
        pipeline: &str,
        sinks: &[&str],
        offsets: &str,
    ) -> Result<()> {
        let offset = parse(offsets)?;
        let there = self.open_offsets(pipeline).await?;
        let saved = match there.is_empty() {
            true => {
                let all: SinkOffsets =
                    sinks.iter().map(|sink| ((*sink).to_owned(), offset.clone())).collect();
                self.save(pipeline, &all).await
            }
            false => Err(Error::configuration(format!(
                "pipeline {pipeline} has offsets of its own already, and goes on from them"
            ))
            .remedy("leave the import out, or forget the pipeline's offsets first")),
        };
        let closed = self.close(pipeline).await;
        saved.and(closed)
    }

    async fn open_offsets(&self, pipeline: &str) -> Result<SinkOffsets> {
        OffsetStore::open(self, pipeline).await
    }
}

fn parse(text: &str) -> Result<Offset> {
    let wrong = |why: &str| {
        Error::configuration(format!("these are not the offsets of one Debezium connector: {why}"))
            .remedy("give what GET /connectors/<name>/offsets shows once the connector is stopped")
    };
    let shown: Json =
        serde_json::from_str(text).map_err(|error| wrong("not JSON").with_source(error))?;
    let partitions = shown.get("offsets").and_then(Json::as_array);
    let partitions = partitions.ok_or_else(|| wrong("no list \"offsets\""))?;
    let [partition] = partitions.as_slice() else {
        return Err(wrong(&format!("{} partitions instead of one", partitions.len())));
    };
    let Some(offset) = partition.get("offset").and_then(Json::as_object) else {
        return Err(wrong("no object \"offset\""));
    };
    check(offset)?;
    Ok(Offset::new(offset.clone()))
}

fn check(offset: &Map<String, Json>) -> Result<()> {
    let is = |key: &str| offset.get(key).is_some_and(|value| *value == Json::Bool(true));
    let in_snapshot =
        offset.contains_key("snapshot") && !is("snapshot_completed") && !is("last_snapshot_record");
    if in_snapshot {
        return Err(Error::configuration("the connector was stopped inside its snapshot")
            .remedy("let it finish first, or start without its offsets and with a snapshot of this pipeline's own"));
    }
    if let Some(key) = offset.keys().find(|key| key.starts_with("incremental_snapshot_")) {
        return Err(Error::configuration(format!(
            "the connector was stopped inside an incremental snapshot ({key})"
        ))
        .remedy("let it finish first"));
    }
    if offset.contains_key("cdc") {
        return Err(Error::configuration("these offsets were made by this library")
            .remedy("use the store's own file"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str =
        r#"{"offsets":[{"partition":{"server":"s"},"offset":{"lsn":7,"lsn_commit":5,"txId":9}}]}"#;

    #[tokio::test]
    async fn every_sink_goes_on_where_the_connector_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileOffsetStore::open(folder.path()).unwrap();
        store.import_connect("shop", &["a", "b"], SHOWN).await.unwrap();
        let offsets = OffsetStore::open(&store, "shop").await.unwrap();
        assert_eq!(offsets.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(offsets["a"].to_string(), r#"{"lsn":7,"lsn_commit":5,"txId":9}"#);
        store.close("shop").await.unwrap();
        let error = store.import_connect("shop", &["a"], SHOWN).await.unwrap_err().to_string();
        assert!(error.contains("offsets of its own"), "{error}");
        assert_eq!(OffsetStore::open(&store, "shop").await.unwrap(), offsets);
    }

    #[test]
    fn what_cannot_be_gone_on_from_is_refused() {
        let offset = |keys: &str| {
            format!(r#"{{"offsets":[{{"partition":{{"server":"s"}},"offset":{{{keys}}}}}]}}"#)
        };
        for (text, why) in [
            ("nonsense".to_owned(), "not JSON"),
            ("{}".to_owned(), "\"offsets\""),
            (r#"{"offsets":[]}"#.to_owned(), "0 partitions"),
            (r#"{"offsets":[{"partition":{},"offset":null}]}"#.to_owned(), "\"offset\""),
            (
                offset(r#""lsn":1,"snapshot":"INITIAL","snapshot_completed":false"#),
                "inside its snapshot",
            ),
            (offset(r#""lsn":1,"incremental_snapshot_collections":"[]""#), "incremental"),
            (offset(r#""lsn":1,"cdc":{}"#), "this library"),
        ] {
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let done = r#""lsn":1,"snapshot":"INITIAL","snapshot_completed":true"#;
        assert!(parse(&offset(done)).is_ok());
    }
}
