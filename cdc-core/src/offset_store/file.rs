//! Offsets in files: one readable JSON file a pipeline, replaced as a whole, with a checksum and one writer.
//!
//! ```json
//! {
//!   "version": 1,
//!   "pipeline": "shop-copy",
//!   "saved_at": "2026-01-31T12:00:00.25Z",
//!   "offsets": {
//!     "sqlite:shop.db": {"lsn": 23752056, "cdc": {"phase": "streaming"}}
//!   },
//!   "crc32": "9ae0daaf"
//! }
//! ```
//! The checksum (CRC-32 of IEEE 802.3) is over `offsets` as compact JSON with its keys in the order of the file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind as IoErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use serde_json::{Map, Value as Json};

use super::{OffsetStore, SinkOffsets};
use crate::error::{Error, Result};
use crate::file_lock::{FileLock, Locked, beside, file_name, folder_of, is_full};
use crate::offset::Offset;
use crate::value::Timestamp;

const VERSION: u64 = 1;

/// Keeps offsets in files: a folder with a file for each pipeline, or one file for one pipeline.
///
/// A save writes a temporary file beside it, syncs it, renames it over the old one and syncs the folder, so that a crash
/// leaves the old content or the new. A lock file beside it (`.lock`) lets one process at a time write.
///
/// ```
/// use cdc_core::offset_store::FileOffsetStore;
///
/// # let folder = std::env::temp_dir().join(format!("cdc-offsets-doc-{}", std::process::id()));
/// let store = FileOffsetStore::open(&folder)?;
/// # drop(store);
/// # std::fs::remove_dir_all(&folder).ok();
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct FileOffsetStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    one_file: bool,
    /// The locks that are held, by pipeline. One writer at a time uses a file.
    locks: Mutex<HashMap<String, FileLock>>,
}

impl FileOffsetStore {
    /// A store at a path: a file when it ends with `.json`, else a folder, which is made when it is missing.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when the folder cannot be made.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let one_file = path.extension().is_some_and(|extension| extension == "json");
        let folder = if one_file { folder_of(&path) } else { &path };
        fs::create_dir_all(folder).map_err(|error| {
            Error::configuration(format!(
                "the folder {} for offsets cannot be made: {error}",
                folder.display()
            ))
            .remedy("give a path that this user can write to")
            .with_source(error)
        })?;
        Ok(FileOffsetStore(Arc::new(Inner { path, one_file, locks: Mutex::default() })))
    }

    /// The file of a pipeline.
    pub fn file(&self, pipeline: &str) -> PathBuf {
        if self.0.one_file {
            return self.0.path.clone();
        }
        self.0.path.join(format!("{}.json", file_name(pipeline)))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        pipeline: &str,
        work: impl FnOnce(&Self, &str) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (store, pipeline) = (self.clone(), pipeline.to_owned());
        tokio::task::spawn_blocking(move || work(&store, &pipeline))
            .await
            .map_err(|error| Error::cancelled("the runtime was shut down").with_source(error))?
    }

    fn lock_and_load(
        &self,
        pipeline: &str,
        lock: impl FnOnce(&Path) -> Result<FileLock>,
    ) -> Result<SinkOffsets> {
        let file = self.file(pipeline);
        let mut locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if locks.contains_key(pipeline) {
            return Err(held(&file, &format!("process {} itself", std::process::id())));
        }
        let lock = lock(&file)?;
        let offsets = match fs::read(&file) {
            Ok(bytes) => parse(&file, pipeline, &bytes)?,
            Err(error) if error.kind() == IoErrorKind::NotFound => SinkOffsets::new(),
            Err(error) => return Err(unusable(&file, &format!("cannot be read: {error}"))),
        };
        locks.insert(pipeline.to_owned(), lock);
        Ok(offsets)
    }

    fn replace(&self, pipeline: &str, offsets: &SinkOffsets) -> Result<()> {
        // Held while writing, so that saves do not overtake each other.
        let locks = self.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.file(pipeline);
        let Some(lock) = locks.get(pipeline) else {
            return Err(Error::configuration(format!(
                "offset file {} is not open for pipeline {pipeline}",
                file.display()
            )));
        };
        locked(&file).check(lock)?;
        let text = print(pipeline, offsets)?;
        let temporary = beside(&file, "tmp");
        let written = write_synced(&temporary, text.as_bytes())
            .and_then(|()| fs::rename(&temporary, &file))
            .and_then(|()| File::open(folder_of(&file))?.sync_all());
        written.map_err(|error| {
            // Its content is whole as it was; the temporary file is of no use.
            let _ = fs::remove_file(&temporary);
            let message = format!("offset file {} cannot be written: {error}", file.display());
            if is_full(&error) {
                // No later attempt can succeed until somebody makes room.
                return Error::configuration(message)
                    .remedy("its previous content is whole and nothing is lost; make room and start again")
                    .with_source(error);
            }
            Error::transient(message)
                .remedy("its previous content is whole; restore the rights, it is tried again")
                .with_source(error)
        })
    }
}

#[async_trait]
impl OffsetStore for FileOffsetStore {
    async fn open(&self, pipeline: &str) -> Result<SinkOffsets> {
        self.blocking(pipeline, |store, pipeline| store.lock_and_load(pipeline, lock)).await
    }

    async fn take_over(&self, pipeline: &str) -> Result<SinkOffsets> {
        self.blocking(pipeline, |store, pipeline| store.lock_and_load(pipeline, take_lock)).await
    }

    async fn save(&self, pipeline: &str, offsets: &SinkOffsets) -> Result<()> {
        let offsets = offsets.clone();
        self.blocking(pipeline, move |store, pipeline| store.replace(pipeline, &offsets)).await
    }

    async fn forget(&self, pipeline: &str) -> Result<()> {
        self.blocking(pipeline, |store, pipeline| {
            let file = store.file(pipeline);
            let mut locks = store.0.locks.lock().unwrap_or_else(PoisonError::into_inner);
            // What another process holds is not to be taken from under it.
            let lock = match locks.remove(pipeline) {
                Some(lock) => lock,
                None => lock(&file)?,
            };
            for path in [&file, &beside(&file, "lock")] {
                match fs::remove_file(path) {
                    Err(error) if error.kind() != IoErrorKind::NotFound => {
                        return Err(unusable(path, &format!("cannot be removed: {error}")));
                    }
                    _ => {}
                }
            }
            drop(lock);
            Ok(())
        })
        .await
    }

    async fn close(&self, pipeline: &str) -> Result<()> {
        self.0.locks.lock().unwrap_or_else(PoisonError::into_inner).remove(pipeline);
        Ok(())
    }
}

fn held(file: &Path, holder: &str) -> Error {
    locked(file).held(holder)
}

fn locked(file: &Path) -> Locked<'_> {
    Locked { what: "offset file", file }
}

fn unusable(file: &Path, what: &str) -> Error {
    Error::configuration(format!("offset file {} {what}", file.display()))
}

fn lock(file: &Path) -> Result<FileLock> {
    locked(file).lock()
}

fn take_lock(file: &Path) -> Result<FileLock> {
    locked(file).take_lock()
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn checksum(offsets: &Map<String, Json>) -> Result<String> {
    let text = serde_json::to_vec(offsets)
        .map_err(|error| Error::data("offsets are not JSON").with_source(error))?;
    Ok(format!("{:08x}", crc32fast::hash(&text)))
}

fn print(pipeline: &str, offsets: &SinkOffsets) -> Result<String> {
    let offsets: Map<String, Json> = offsets
        .iter()
        .map(|(sink, offset)| (sink.clone(), Json::Object(offset.as_map().clone())))
        .collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let saved_at = Timestamp::micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX));
    let mut document = Map::new();
    document.insert("version".into(), VERSION.into());
    document.insert("pipeline".into(), pipeline.into());
    document.insert("saved_at".into(), format!("{saved_at}Z").into());
    document.insert("crc32".into(), checksum(&offsets)?.into());
    document.insert("offsets".into(), Json::Object(offsets));
    let text = serde_json::to_string_pretty(&document);
    text.map(|text| text + "\n")
        .map_err(|error| Error::data("offsets are not JSON").with_source(error))
}

/// Reads a file's content; anything that is not what a save wrote is an error, never a start from zero.
fn parse(file: &Path, pipeline: &str, bytes: &[u8]) -> Result<SinkOffsets> {
    let damaged = |what: &str| {
        unusable(file, &format!("is damaged: {what}")).remedy(
            "restore it from a backup; only if the pipeline is to start anew with a snapshot, remove it together with the \
             pipeline's slot and the offsets in its targets",
        )
    };
    let document: Json = serde_json::from_slice(bytes)
        .map_err(|error| damaged(&format!("it is not JSON ({error})")))?;
    match document.get("version") {
        Some(version) if *version == VERSION => {}
        Some(version) if version.is_u64() => {
            return Err(unusable(
                file,
                &format!("has version {version}, and this release knows version {VERSION}"),
            )
            .remedy("run the release that wrote it, or a newer one"));
        }
        _ => return Err(damaged("it has no version")),
    }
    match document.get("pipeline").and_then(Json::as_str) {
        Some(name) if name == pipeline => {}
        Some(name) => {
            return Err(unusable(file, &format!("belongs to pipeline {name}, not to {pipeline}"))
                .remedy("give each pipeline a file of its own, or one folder for all"));
        }
        None => return Err(damaged("it names no pipeline")),
    }
    let offsets = document.get("offsets").and_then(Json::as_object);
    let offsets = offsets.ok_or_else(|| damaged("it has no offsets"))?;
    let expected = document.get("crc32").and_then(Json::as_str);
    let expected = expected.ok_or_else(|| damaged("it has no checksum"))?;
    if checksum(offsets)? != expected {
        return Err(damaged("its checksum does not fit its offsets"));
    }
    offsets
        .iter()
        .map(|(sink, offset)| match offset {
            Json::Object(keys) => Ok((sink.clone(), Offset::new(keys.clone()))),
            _ => Err(damaged(&format!("the offset of {sink} is not an object"))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn offsets(lsn: u64) -> SinkOffsets {
        let offset = format!(r#"{{"lsn":{lsn},"cdc":{{"phase":"streaming"}}}}"#);
        SinkOffsets::from([("sqlite:shop.db".to_owned(), offset.parse().unwrap())])
    }

    async fn saved_store() -> (tempfile::TempDir, FileOffsetStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = FileOffsetStore::open(folder.path()).unwrap();
        assert!(store.open("shop").await.unwrap().is_empty());
        store.save("shop", &offsets(7)).await.unwrap();
        store.close("shop").await.unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn what_is_saved_is_found_by_the_next_process() {
        let (folder, _) = saved_store().await;
        let store = FileOffsetStore::open(folder.path()).unwrap();
        assert_eq!(store.open("shop").await.unwrap(), offsets(7));
        store.save("shop", &offsets(8)).await.unwrap();
        store.close("shop").await.unwrap();
        assert_eq!(store.open("shop").await.unwrap(), offsets(8));
        store.forget("shop").await.unwrap();
        assert!(fs::read_dir(folder.path()).unwrap().next().is_none());
    }

    #[tokio::test]
    async fn the_file_can_be_read_by_a_human() {
        let (_folder, store) = saved_store().await;
        let text = fs::read_to_string(store.file("shop")).unwrap();
        assert!(text.contains("\"pipeline\": \"shop\"") && text.contains("\"lsn\": 7"), "{text}");
    }

    #[tokio::test]
    async fn a_second_writer_is_told_who_holds_the_file() {
        let (folder, first) = saved_store().await;
        first.open("shop").await.unwrap();
        let second = FileOffsetStore::open(folder.path()).unwrap();
        let error = second.open("shop").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Fenced);
        let holder = format!("is held by process {} on ", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
        assert_eq!(second.forget("shop").await.unwrap_err().kind(), ErrorKind::Fenced);
        assert_eq!(first.open("shop").await.unwrap_err().kind(), ErrorKind::Fenced);
        first.close("shop").await.unwrap();
        second.open("shop").await.unwrap();
    }

    #[tokio::test]
    async fn a_damaged_file_is_an_error_that_names_it_and_never_a_start_from_zero() {
        let (_folder, store) = saved_store().await;
        let file = store.file("shop");
        let good = fs::read_to_string(&file).unwrap();
        for (content, says) in [
            (String::new(), "it is not JSON"),
            (good[..good.len() / 2].to_owned(), "it is not JSON"),
            (good.replace("\"lsn\": 7", "\"lsn\": 8"), "checksum does not fit"),
            (good.replace("\"version\": 1", "\"version\": 2"), "has version 2"),
            (good.replace("\"version\": 1,", ""), "it has no version"),
            (good.replace("\"shop\"", "\"other\""), "belongs to pipeline other"),
            ("[]".to_owned(), "it has no version"),
        ] {
            fs::write(&file, &content).unwrap();
            let error = store.open("shop").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            let text = error.to_string();
            assert!(text.contains(says) && text.contains(&*file.to_string_lossy()), "{text}");
            assert!(error.remedy_text().is_some());
        }
        fs::write(&file, good).unwrap();
        assert_eq!(store.open("shop").await.unwrap(), offsets(7));
    }

    /// The temporary file is made to lead to a device that is always full.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_full_disk_stops_the_pipeline_and_leaves_the_content_whole() {
        let (_folder, store) = saved_store().await;
        store.open("shop").await.unwrap();
        let file = store.file("shop");
        std::os::unix::fs::symlink("/dev/full", beside(&file, "tmp")).unwrap();
        let error = store.save("shop", &offsets(8)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains(&*file.to_string_lossy()), "{error}");
        assert_eq!(parse(&file, "shop", &fs::read(&file).unwrap()).unwrap(), offsets(7));
        store.save("shop", &offsets(8)).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_is_taken_over_refuses_its_former_writer() {
        let (folder, old) = saved_store().await;
        old.open("shop").await.unwrap();
        let new = FileOffsetStore::open(folder.path()).unwrap();
        assert_eq!(new.take_over("shop").await.unwrap(), offsets(7));
        new.save("shop", &offsets(8)).await.unwrap();
        assert_eq!(old.save("shop", &offsets(6)).await.unwrap_err().kind(), ErrorKind::Fenced);
        old.close("shop").await.unwrap();
        assert_eq!(old.open("shop").await.unwrap_err().kind(), ErrorKind::Fenced);
        new.close("shop").await.unwrap();
        assert_eq!(old.open("shop").await.unwrap(), offsets(8));
    }

    #[tokio::test]
    async fn nothing_is_saved_without_the_lock() {
        let (_folder, store) = saved_store().await;
        assert!(store.save("shop", &offsets(9)).await.is_err());
    }

    #[tokio::test]
    async fn a_path_that_ends_with_json_is_the_file_itself() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/offsets.json");
        let store = FileOffsetStore::open(&path).unwrap();
        store.open("shop").await.unwrap();
        store.save("shop", &offsets(1)).await.unwrap();
        assert!(path.is_file());
        store.close("shop").await.unwrap();
        assert!(store.open("other").await.is_err());
    }

    #[test]
    fn names_of_pipelines_become_names_of_files() {
        assert_eq!(file_name("shop-copy_2"), "shop-copy_2");
        assert_eq!(file_name("../a b"), "%2e%2e%2fa%20b");
        assert_ne!(file_name("%2e"), file_name("."));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let error = FileOffsetStore::open("/dev/null/offsets").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("/dev/null/offsets"), "{error}");
    }
}
