//! Debezium's signals: rows of a table, or lines of a file, that ask a running source for something.
//!
//! A [`Signal`] has an id, a type and data in JSON; [`Signal::command`] says what it asks for. Tables are named by Java's
//! regular expressions for whole names (`schema.table`), whatever the case, so that [`Command::request`] is told which tables there are.
//!
//! ```
//! use cdc_core::{Request, TableId, signal::Signal};
//!
//! let line = r#"{"id":"7","type":"execute-snapshot","data":{"data-collections":["public\\.o.*"]}}"#;
//! let command = Signal::from_line(line)?.command()?;
//! let tables = [TableId::new("public", "orders"), TableId::new("public", "users")];
//! let request = command.request(&tables)?;
//! assert_eq!(request, Some(Request::snapshot([TableId::new("public", "orders")])));
//! # Ok::<(), cdc_core::Error>(())
//! ```
//!
//! A signal that cannot be carried out is told in the log and left out, as in the original: it never ends a pipeline.

mod command;
mod file;

pub use command::{Command, Condition};
pub use file::SignalFile;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::error::{Error, Result};
use crate::row::Row;
use crate::value::ValueRef;

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    /// Whatever its sender calls it.
    pub id: String,
    /// Its type, such as `execute-snapshot`.
    pub kind: String,
    /// What belongs to the type, as JSON; may be empty.
    pub data: String,
}

impl Signal {
    /// From a row of a table for signals (`signal.data.collection`): id, type and data are its first three columns,
    /// whatever they are called.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) where the row is another.
    pub fn from_row(row: &Row) -> Result<Signal> {
        let text = |index| match row.get(index) {
            Some(ValueRef::Text(text)) => Some(text.to_owned()),
            Some(ValueRef::Null) => Some(String::new()),
            _ => None,
        };
        match (text(0), text(1), text(2)) {
            (Some(id), Some(kind), Some(data)) => Ok(Signal { id, kind, data }),
            _ => Err(Error::data("a row for signals has three columns of text: id, type and data")),
        }
    }

    /// From a line of a file for signals (`signal.file`): `{"id":"..","type":"..","data":{..}}`, with data that may be left out.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) where it is something else.
    pub fn from_line(line: &str) -> Result<Signal> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(default)]
            id: Json,
            #[serde(rename = "type")]
            kind: String,
            #[serde(default)]
            data: Json,
        }
        let Line { id, kind, data } = serde_json::from_str(line)
            .map_err(|error| Error::data(format!("the line {line:?} is no signal: {error}")))?;
        let text = |json: Json| match json {
            Json::Null => String::new(),
            Json::String(text) => text,
            other => other.to_string(),
        };
        Ok(Signal { id: text(id), kind, data: text(data) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_type::DataType;
    use crate::schema::{Field, Schema};
    use crate::value::Value;

    fn row(values: Vec<Value>) -> Row {
        let fields = (0..values.len())
            .map(|index| Field::optional(format!("c{index}").as_str(), DataType::TEXT));
        Row::new(Schema::builder().fields(fields).build().unwrap(), values).unwrap()
    }

    #[test]
    fn rows_and_lines_say_the_same() {
        let of_row = Signal::from_row(&row(vec!["7".into(), "log".into(), "{}".into()])).unwrap();
        assert_eq!(of_row, Signal { id: "7".into(), kind: "log".into(), data: "{}".into() });
        for line in [
            r#"{"id":"7","type":"log","data":{}}"#,
            r#"{"type":"log","data":"{}","id":7,"channelOffset":3}"#,
        ] {
            assert_eq!(Signal::from_line(line).unwrap(), of_row, "{line}");
        }
        let without = Signal::from_row(&row(vec!["7".into(), "log".into(), Value::Null])).unwrap();
        assert_eq!(without, Signal::from_line(r#"{"id":"7","type":"log"}"#).unwrap());
    }

    #[test]
    fn what_is_no_signal_is_an_error() {
        for line in ["", "x", "{}", "[]", r#"{"type":7}"#] {
            assert!(Signal::from_line(line).is_err(), "{line}");
        }
        assert!(Signal::from_row(&row(vec!["7".into(), "log".into()])).is_err());
        let unavailable = row(vec!["7".into(), "log".into(), Value::Unavailable]);
        assert!(Signal::from_row(&unavailable).is_err());
    }
}
