//! What every sink of this crate does with events, whatever its target is.

use cdc_core::{ChangeEvent, ErrorKind, Sink, Value};

use crate::feed::*;

/// A sink that is loaded, and a look at its target.
pub(crate) trait Target {
    type Sink: Sink;

    fn sink(&mut self) -> &mut Self::Sink;

    /// Another instance, of the same target.
    fn another_sink(&self) -> Self::Sink;

    /// The rows of `orders` by `id`: values parted by `|`, NULL as `~`.
    async fn orders(&self) -> Vec<String>;

    /// The rows of `log` by `level` and `line`, NULL last.
    async fn log(&self) -> Vec<String>;

    async fn commit(&mut self, lsn: u64, events: Vec<ChangeEvent>) -> cdc_core::Result<()> {
        commit(self.sink(), lsn, events).await
    }
}

/// A test of each behaviour, on what the function `target` of the test program gives.
macro_rules! behaviours {
    () => {
        $crate::behaviours::behaviours! {
            rows_are_inserted_updated_patched_and_deleted
            keys_are_moved_and_swapped_with_values_that_were_not_sent
            truncate_empties_and_what_comes_after_it_stays
            of_equal_rows_without_a_key_exactly_one_is_meant
            an_instance_that_was_replaced_does_not_take_the_fence_back
        }
    };
    ($($behaviour:ident)*) => {
        $(
            #[tokio::test]
            async fn $behaviour() {
                $crate::behaviours::$behaviour(&mut target().await).await;
            }
        )*
    };
}
pub(crate) use behaviours;

pub(crate) async fn rows_are_inserted_updated_patched_and_deleted(target: &mut impl Target) {
    let t = orders();
    let first = vec![
        t.announce(),
        t.create([1i64.into(), "a".into(), "long".into()]),
        t.create([2i64.into(), "b".into(), "long".into()]),
        t.create([3i64.into(), Value::Null, Value::Null]),
    ];
    target.commit(1, first).await.unwrap();
    let second = vec![
        t.update([1i64.into(), "c".into(), GONE]),
        t.update([2i64.into(), Value::Null, "new".into()]),
        t.delete([3i64.into(), GONE, GONE]),
        // A change that lacks columns makes no row.
        t.update([4i64.into(), "nobody".into(), GONE]),
        t.update([5i64.into(), GONE, "nobody".into()]),
    ];
    target.commit(2, second).await.unwrap();
    assert_eq!(target.orders().await, ["1|c|long", "2|~|new"]);
}

pub(crate) async fn keys_are_moved_and_swapped_with_values_that_were_not_sent(
    target: &mut impl Target,
) {
    let t = orders();
    let rows = vec![
        t.create([1i64.into(), "one".into(), "long one".into()]),
        t.create([2i64.into(), "two".into(), "long two".into()]),
    ];
    target.commit(1, rows).await.unwrap();
    let moves = |steps: &[(i64, i64, &str)]| {
        steps
            .iter()
            .map(|&(from, to, note)| {
                t.update_from([from.into(), GONE, GONE], [to.into(), note.into(), GONE])
            })
            .collect::<Vec<_>>()
    };
    target.commit(2, moves(&[(1, 9, "one"), (2, 1, "two"), (9, 2, "one")])).await.unwrap();
    assert_eq!(target.orders().await, ["1|two|long two", "2|one|long one"]);
    // Onto a key that is taken, and from one that is not there.
    let mut events = moves(&[(1, 2, "won"), (7, 8, "nobody")]);
    events.push(
        t.update_from([5i64.into(), GONE, GONE], [6i64.into(), "whole".into(), "row".into()]),
    );
    target.commit(3, events).await.unwrap();
    assert_eq!(target.orders().await, ["2|won|long two", "6|whole|row"]);
}

pub(crate) async fn truncate_empties_and_what_comes_after_it_stays(target: &mut impl Target) {
    let (t, l) = (orders(), log());
    let events = vec![
        t.create([1i64.into(), "a".into(), Value::Null]),
        l.create([1i32.into(), "x".into()]),
        t.truncate(),
        l.truncate(),
        t.create([2i64.into(), "b".into(), Value::Null]),
    ];
    target.commit(1, events).await.unwrap();
    assert_eq!(target.orders().await, ["2|b|~"]);
    assert_eq!(target.log().await, Vec::<String>::new());
}

pub(crate) async fn of_equal_rows_without_a_key_exactly_one_is_meant(target: &mut impl Target) {
    let l = log();
    let line = |level: i32, line: Value| [level.into(), line];
    let rows = vec![
        l.create(line(1, "x".into())),
        l.create(line(1, "x".into())),
        l.create(line(1, "x".into())),
        l.create(line(2, Value::Null)),
        l.create(line(2, Value::Null)),
    ];
    target.commit(1, rows).await.unwrap();
    let events = vec![
        l.delete(line(1, "x".into())),
        l.update_from(line(1, "x".into()), line(1, "y".into())),
        l.update_from(line(2, Value::Null), line(2, "z".into())),
        l.delete(line(9, "none".into())),
    ];
    target.commit(2, events).await.unwrap();
    assert_eq!(target.log().await, ["1|x", "1|y", "2|z", "2|~"]);
}

pub(crate) async fn an_instance_that_was_replaced_does_not_take_the_fence_back(
    target: &mut impl Target,
) {
    target.commit(1, vec![orders().announce()]).await.unwrap();
    let mut second = target.another_sink();
    assert_eq!(second.transactional().unwrap().peek("copy").await.unwrap(), Some(offset(1)));
    // Looking alone fences nobody.
    target.commit(2, vec![]).await.unwrap();
    assert_eq!(load(&mut second).await.unwrap(), Some(offset(2)));
    // As a woken process does: its connection is gone, and it starts over.
    target.sink().close().await.unwrap();
    let error = load(target.sink()).await.unwrap_err();
    assert_error(&error, ErrorKind::Fenced, &["taken over"]);
    commit(&mut second, 3, vec![]).await.unwrap();
}
