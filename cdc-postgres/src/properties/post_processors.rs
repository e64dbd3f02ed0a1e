//! `post.processors` of the PostgreSQL connector.

use cdc_core::java_pattern::JavaPattern;
use cdc_core::{Error, Properties, Result};

use super::text;
use crate::reselect::{Names, ReselectColumns, ReselectFailure, Selection};
use crate::source::PostgresSource;

/// The classes that there are.
pub(super) const CLASSES: &[&str] =
    &["io.debezium.processors.reselect.ReselectColumnsPostProcessor"];

const INCLUDE: &str = "reselect.columns.include.list";
const EXCLUDE: &str = "reselect.columns.exclude.list";

/// Reads the options of `ReselectColumnsPostProcessor`, with its names and defaults.
pub(super) fn reselect_columns(
    source: &PostgresSource,
    options: &Properties,
) -> Result<ReselectColumns> {
    let list = |name: &str| {
        let list = text(options, name).map(|value| JavaPattern::list(name, value)).transpose();
        list.map(|list| list.map(Names::Expressions))
    };
    let selection = match (list(INCLUDE)?, list(EXCLUDE)?) {
        (None, None) => Selection::All,
        (Some(names), None) => Selection::Only(names),
        (None, Some(names)) => Selection::Except(names),
        (Some(_), Some(_)) => {
            return Err(Error::configuration(format!("{INCLUDE} and {EXCLUDE} are both set"))
                .remedy("leave one of them out"));
        }
    };
    let why = "columns are read once for a batch, and never from a copy";
    options.accept_only("reselect.cache.enabled", &["false"], why)?;
    let mode = options.one_of("reselect.error.handling.mode", &["warn", "fail"], "warn")?;
    let unavailable = options.bool("reselect.unavailable.values", true)?;
    let null = options.bool("reselect.null.values", true)?;
    if !unavailable && !null {
        return Err(Error::configuration(
            "reselect.unavailable.values and reselect.null.values are both false: nothing is left to read again",
        )
        .remedy("set one of them to true, or leave the post processor out"));
    }
    source
        .reselect_columns()
        .selection(selection)
        .unavailable_values(unavailable)
        .null_values(null)
        .by_event_key(options.bool("reselect.use.event.key", false)?)
        .on_failure(match mode {
            "fail" => ReselectFailure::Fail,
            _ => ReselectFailure::Warn,
        })
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &str) -> Result<ReselectColumns> {
        let source = PostgresSource::builder("postgres://app@db/shop").build()?;
        let options: Properties = options.parse()?;
        let stage = reselect_columns(&source, &options)?;
        options.finish().map(|()| stage)
    }

    #[test]
    fn the_defaults_are_debeziums() {
        let stage = format!("{:?}", read("{}").unwrap());
        let says = "selection: All, unavailable: true, null: true";
        assert!(stage.contains(says) && stage.contains("failure: Warn"), "{stage}");
        let all = r#"{"reselect.columns.include.list": "public.orders:(note|more)",
            "reselect.unavailable.values": "true", "reselect.null.values": "false",
            "reselect.use.event.key": "true", "reselect.error.handling.mode": "FAIL", "reselect.cache.enabled": "false"}"#;
        let stage = format!("{:?}", read(all).unwrap());
        assert!(stage.contains("Only(Expressions") && stage.contains("null: false"), "{stage}");
        assert!(stage.contains("by_event_key: true") && stage.contains("failure: Fail"), "{stage}");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (options, says) in [
            (
                r#"{"reselect.columns.include.list": "a", "reselect.columns.exclude.list": "b"}"#,
                "are both set; leave one of them out",
            ),
            (r#"{"reselect.columns.include.list": "("}"#, "reselect.columns.include.list: Invalid"),
            (
                r#"{"reselect.cache.enabled": "true"}"#,
                "\"reselect.cache.enabled\" is not supported",
            ),
            (r#"{"reselect.error.handling.mode": "skip"}"#, "reselect.error.handling.mode"),
            (r#"{"reselect.nulls": "true"}"#, "reselect.nulls"),
            (
                r#"{"reselect.unavailable.values": "false", "reselect.null.values": "false"}"#,
                "nothing is left to read again",
            ),
        ] {
            let error = read(options).map(drop).unwrap_err().to_string();
            assert!(error.contains(says), "{options}: {error}");
        }
    }
}
