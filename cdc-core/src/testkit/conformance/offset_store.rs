//! The contracts of an [`OffsetStore`].

use crate::error::ErrorKind;
use crate::offset_store::{OffsetStore, SinkOffsets};

/// A new instance on the same storage each time, as a restart of the process makes one.
pub trait Fixture {
    /// The store.
    type Store: OffsetStore;

    /// Another instance.
    fn instance(&self) -> Self::Store;
}

impl<S: OffsetStore, F: Fn() -> S> Fixture for F {
    type Store = S;

    fn instance(&self) -> S {
        self()
    }
}

fn offsets(entries: &[(&str, u64)]) -> SinkOffsets {
    let offset =
        |lsn: &u64| format!(r#"{{"lsn":{lsn},"cdc":{{"phase":"streaming","list":[1,"é"]}}}}"#);
    let entry = |(sink, lsn): &(&str, u64)| ((*sink).to_owned(), offset(lsn).parse().unwrap());
    entries.iter().map(entry).collect()
}

/// All contracts.
///
/// # Panics
/// When one is not kept.
pub async fn all(fixture: &impl Fixture) {
    what_is_saved_survives_a_restart(fixture).await;
    a_save_replaces_everything(fixture).await;
    pipelines_do_not_see_each_other(fixture).await;
    a_forgotten_pipeline_starts_anew(fixture).await;
}

/// What a save ended with is what the next instance finds, key for key.
///
/// # Panics
/// When it is not.
pub async fn what_is_saved_survives_a_restart(fixture: &impl Fixture) {
    let expected = offsets(&[("sqlite:shop.db", 7), ("postgres://db/copy", u64::MAX)]);
    let first = fixture.instance();
    assert!(first.open("survives").await.unwrap().is_empty(), "a first start has no offsets");
    first.save("survives", &expected).await.unwrap();
    first.close("survives").await.unwrap();
    let second = fixture.instance();
    assert_eq!(second.open("survives").await.unwrap(), expected);
    second.close("survives").await.unwrap();
}

/// An entry that is not in the newest save is gone.
///
/// # Panics
/// When it is not.
pub async fn a_save_replaces_everything(fixture: &impl Fixture) {
    let store = fixture.instance();
    store.open("replaces").await.unwrap();
    store.save("replaces", &offsets(&[("a", 1), ("b", 2)])).await.unwrap();
    store.save("replaces", &offsets(&[("b", 3)])).await.unwrap();
    store.close("replaces").await.unwrap();
    let again = fixture.instance();
    assert_eq!(again.open("replaces").await.unwrap(), offsets(&[("b", 3)]));
    again.close("replaces").await.unwrap();
}

/// Names are taken as they are, odd ones too.
///
/// # Panics
/// When one pipeline sees the offsets of another.
pub async fn pipelines_do_not_see_each_other(fixture: &impl Fixture) {
    let names = ["shop", "Shop", "shop.", "../shop", "shop é", "a/b"];
    let store = fixture.instance();
    for (lsn, name) in (1..).zip(names) {
        assert!(store.open(name).await.unwrap().is_empty(), "{name}");
        store.save(name, &offsets(&[("sink", lsn)])).await.unwrap();
        store.close(name).await.unwrap();
    }
    for (lsn, name) in (1..).zip(names) {
        assert_eq!(store.open(name).await.unwrap(), offsets(&[("sink", lsn)]), "{name}");
        store.close(name).await.unwrap();
    }
}

/// After `forget` there is nothing left.
///
/// # Panics
/// When there is.
pub async fn a_forgotten_pipeline_starts_anew(fixture: &impl Fixture) {
    let store = fixture.instance();
    store.open("forgotten").await.unwrap();
    store.save("forgotten", &offsets(&[("sink", 1)])).await.unwrap();
    store.close("forgotten").await.unwrap();
    store.forget("forgotten").await.unwrap();
    assert!(store.open("forgotten").await.unwrap().is_empty());
    store.close("forgotten").await.unwrap();
}

/// Of two instances one writes: the second cannot open, or the first cannot save any more. For stores that outlive the process.
///
/// # Panics
/// When both write, or when the error is of another kind.
pub async fn only_one_instance_writes(fixture: &impl Fixture) {
    let (first, second) = (fixture.instance(), fixture.instance());
    first.open("one writer").await.unwrap();
    match second.open("one writer").await {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
            first.save("one writer", &offsets(&[("sink", 1)])).await.unwrap();
            first.close("one writer").await.unwrap();
            assert_eq!(second.open("one writer").await.unwrap(), offsets(&[("sink", 1)]));
        }
        Ok(_) => {
            let error = first.save("one writer", &offsets(&[("sink", 1)])).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
        }
    }
    second.close("one writer").await.unwrap();
}
