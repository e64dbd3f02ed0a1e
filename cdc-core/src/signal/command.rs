//! What signals ask for.

use serde::Deserialize;

use super::Signal;
use crate::error::{Error, Result};
use crate::java_pattern::JavaPattern;
use crate::request::{Request, SnapshotOf};
use crate::schema::TableId;

/// What a signal asks for.
#[derive(Debug, Clone)]
pub enum Command {
    /// `execute-snapshot`: reads tables. Rows are merged into the stream, whether the type is `incremental` or `blocking`.
    Snapshot {
        /// Names of tables.
        tables: Vec<JavaPattern>,
        /// Which rows of them, where not all.
        conditions: Vec<Condition>,
    },
    /// `stop-snapshot`: gives up what is being read.
    StopSnapshot {
        /// Names of tables; none means all.
        tables: Vec<JavaPattern>,
    },
    /// `pause-snapshot`.
    PauseSnapshot,
    /// `resume-snapshot`.
    ResumeSnapshot,
    /// `log`: writes a line into the log.
    Log {
        /// The line; the first `{}` in it stands for the source's offset.
        message: String,
    },
    /// The original's own marks around its chunks, which mean nothing here.
    Watermark,
}

/// Which rows of tables are wanted (`additional-conditions`).
#[derive(Debug, Clone)]
pub struct Condition {
    /// Names of tables.
    pub tables: JavaPattern,
    /// An SQL condition; for a blocking snapshot a SELECT that gives the rows, as in the original.
    pub filter: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SnapshotData {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    data_collections: Option<Vec<String>>,
    #[serde(default)]
    additional_conditions: Option<Vec<ConditionData>>,
    /// The form before Debezium 2.5: for all tables.
    #[serde(default)]
    additional_condition: Option<String>,
    #[serde(default)]
    surrogate_key: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ConditionData {
    data_collection: String,
    filter: String,
}

#[derive(Deserialize)]
struct LogData {
    message: String,
}

impl Signal {
    /// What it asks for.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) for a type that is not known, data that it cannot have, and what is
    /// not supported (`surrogate-key`).
    pub fn command(&self) -> Result<Command> {
        match self.kind.as_str() {
            "execute-snapshot" => self.snapshot(),
            "stop-snapshot" => {
                let data: SnapshotData = self.data()?;
                self.check_type(data.kind.as_deref(), &["incremental"])?;
                let tables = self.patterns(data.data_collections.unwrap_or_default())?;
                Ok(Command::StopSnapshot { tables })
            }
            "pause-snapshot" => Ok(Command::PauseSnapshot),
            "resume-snapshot" => Ok(Command::ResumeSnapshot),
            "log" => Ok(Command::Log { message: self.data::<LogData>()?.message }),
            "snapshot-window-open" | "snapshot-window-close" => Ok(Command::Watermark),
            other => Err(self.wrong(format!(
                "the type {other:?} is not known; use execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot or log"
            ))),
        }
    }

    fn snapshot(&self) -> Result<Command> {
        let data: SnapshotData = self.data()?;
        self.check_type(data.kind.as_deref(), &["incremental", "blocking"])?;
        if data.surrogate_key.is_some_and(|key| !key.trim().is_empty()) {
            let what = "surrogate-key is not supported; leave it out: a table without a key is read as a whole";
            return Err(self.wrong(what));
        }
        let tables = self.patterns(data.data_collections.unwrap_or_default())?;
        if tables.is_empty() {
            return Err(self.wrong("data-collections names no table"));
        }
        let for_all = data.additional_condition.filter(|filter| !filter.trim().is_empty());
        let for_all = for_all.map(|filter| ConditionData { data_collection: ".*".into(), filter });
        let conditions = match for_all {
            Some(condition) => vec![condition],
            None => data.additional_conditions.unwrap_or_default(),
        };
        let conditions = conditions
            .into_iter()
            .map(|condition| {
                let tables = self.pattern(&condition.data_collection)?;
                Ok(Condition { tables, filter: condition.filter })
            })
            .collect::<Result<_>>()?;
        Ok(Command::Snapshot { tables, conditions })
    }

    fn check_type(&self, found: Option<&str>, known: &[&str]) -> Result<()> {
        let found = found.unwrap_or("incremental");
        match known.iter().any(|known| known.eq_ignore_ascii_case(found)) {
            true => Ok(()),
            false => Err(self.wrong(format!(
                "a snapshot of type {found:?} is not known; use {}",
                known.join(" or ")
            ))),
        }
    }

    fn data<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        let data = if self.data.trim().is_empty() { "{}" } else { self.data.as_str() };
        serde_json::from_str(data).map_err(|error| self.wrong(error))
    }

    fn patterns(&self, texts: Vec<String>) -> Result<Vec<JavaPattern>> {
        texts.iter().map(|text| self.pattern(text)).collect()
    }

    fn pattern(&self, text: &str) -> Result<JavaPattern> {
        JavaPattern::ignoring_case("data-collections", text.trim())
    }

    fn wrong(&self, why: impl std::fmt::Display) -> Error {
        Error::configuration(format!("the signal {:?} of type {:?}: {why}", self.id, self.kind))
    }
}

impl Command {
    /// The request for these tables; nothing for what no source has to do.
    ///
    /// A table that several conditions name has the first.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) where a name has no table, for an expression that needs too many
    /// attempts.
    pub fn request<'a>(
        &self,
        tables: impl IntoIterator<Item = &'a TableId>,
    ) -> Result<Option<Request>> {
        let all: Vec<&TableId> = tables.into_iter().collect();
        Ok(Some(match self {
            Command::Snapshot { tables, conditions } => {
                let mut wanted = Vec::new();
                for table in named(tables, &all)? {
                    let name = table.to_string();
                    let mut condition = None;
                    for of in conditions {
                        if condition.is_none() && of.tables.matches(&name)? {
                            condition = Some(of.filter.clone());
                        }
                    }
                    wanted.push(SnapshotOf { condition, ..SnapshotOf::from(table.clone()) });
                }
                Request::Snapshot { tables: wanted }
            }
            Command::StopSnapshot { tables } if tables.is_empty() => {
                Request::StopSnapshot { tables: Vec::new() }
            }
            Command::StopSnapshot { tables } => Request::StopSnapshot {
                tables: named(tables, &all)?.into_iter().cloned().collect(),
            },
            Command::PauseSnapshot => Request::PauseSnapshot,
            Command::ResumeSnapshot => Request::ResumeSnapshot,
            Command::Log { .. } | Command::Watermark => return Ok(None),
        }))
    }
}

/// The tables that patterns name, in the order of the tables.
fn named<'a>(patterns: &[JavaPattern], all: &[&'a TableId]) -> Result<Vec<&'a TableId>> {
    let mut wanted = Vec::new();
    for table in all {
        if JavaPattern::any(patterns, &table.to_string())? {
            wanted.push(*table);
        }
    }
    for pattern in patterns {
        let mut found = false;
        for table in &wanted {
            found |= pattern.matches(&table.to_string())?;
        }
        if !found {
            return Err(Error::configuration(format!(
                "{:?} of a signal is no table that this source follows",
                pattern.as_str()
            )));
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(kind: &str, data: &str) -> Signal {
        Signal { id: "7".into(), kind: kind.into(), data: data.into() }
    }

    fn tables() -> [TableId; 3] {
        ["orders", "orders_old", "users"].map(|name| TableId::new("public", name))
    }

    fn request(kind: &str, data: &str) -> Result<Option<Request>> {
        signal(kind, data).command()?.request(&tables())
    }

    fn snapshot(wanted: &[(&str, Option<&str>)]) -> Request {
        let of = |(name, condition): &(&str, Option<&str>)| SnapshotOf {
            condition: condition.map(str::to_owned),
            ..SnapshotOf::from(TableId::new("public", *name))
        };
        Request::Snapshot { tables: wanted.iter().map(of).collect() }
    }

    #[test]
    fn a_snapshot_is_of_the_tables_whose_whole_name_is_named_whatever_the_case() {
        for (data, wanted) in [
            (r#"{"data-collections":["PUBLIC.orders"]}"#, snapshot(&[("orders", None)])),
            (
                r#"{"type":"BLOCKING","data-collections":["public\\.u.* "," public.orders_old"]}"#,
                snapshot(&[("orders_old", None), ("users", None)]),
            ),
            (
                r#"{"data-collections":["public.orders.*"],"additional-conditions":[
                    {"data-collection":"public.orders","filter":"id > 5"},
                    {"data-collection":"public.ord.*","filter":"id > 6"}]}"#,
                snapshot(&[("orders", Some("id > 5")), ("orders_old", Some("id > 6"))]),
            ),
            (
                r#"{"data-collections":["public.users"],"additional-condition":"x"}"#,
                snapshot(&[("users", Some("x"))]),
            ),
        ] {
            assert_eq!(request("execute-snapshot", data).unwrap(), Some(wanted), "{data}");
        }
    }

    #[test]
    fn a_stop_is_of_all_tables_or_of_those_that_are_named() {
        let all = Request::StopSnapshot { tables: vec![] };
        for data in ["", "{}", r#"{"type":"incremental","data-collections":[]}"#] {
            assert_eq!(request("stop-snapshot", data).unwrap(), Some(all.clone()), "{data}");
        }
        let users = Request::StopSnapshot { tables: vec![TableId::new("public", "users")] };
        let data = r#"{"data-collections":["public.users"]}"#;
        assert_eq!(request("stop-snapshot", data).unwrap(), Some(users));
    }

    #[test]
    fn what_needs_no_data_looks_at_none() {
        assert_eq!(request("pause-snapshot", "{}").unwrap(), Some(Request::PauseSnapshot));
        assert_eq!(request("resume-snapshot", "").unwrap(), Some(Request::ResumeSnapshot));
        assert_eq!(request("snapshot-window-open", "x").unwrap(), None);
        assert_eq!(request("log", r#"{"message":"at {}"}"#).unwrap(), None);
        let command = signal("log", r#"{"message":"at {}"}"#).command().unwrap();
        assert!(matches!(command, Command::Log { message } if message == "at {}"));
    }

    #[test]
    fn what_cannot_be_done_is_told_by_name() {
        for (kind, data, told) in [
            ("execute", "{}", "\"execute\" is not known"),
            ("execute-snapshot", "{", "EOF"),
            ("execute-snapshot", "{}", "names no table"),
            ("execute-snapshot", r#"{"data-collections":"public.users"}"#, "expected a sequence"),
            ("execute-snapshot", r#"{"type":"full","data-collections":["a"]}"#, "\"full\""),
            ("execute-snapshot", r#"{"data-collections":["public.user"]}"#, "\"public.user\""),
            ("execute-snapshot", r#"{"data-collections":["("]}"#, "Invalid regular expression"),
            (
                "execute-snapshot",
                r#"{"data-collections":["public.users"],"surrogate-key":"id"}"#,
                "surrogate-key",
            ),
            ("stop-snapshot", r#"{"type":"blocking"}"#, "\"blocking\""),
            ("log", "{}", "message"),
        ] {
            let error = request(kind, data).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }
}
