//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Writes the records of a Debezium PostgreSQL connector as JSON lines.

usage: debezium_json CONFIG.json [name=value ...] [--until SCHEMA.TABLE] [--state PATH [--offsets FILE]]
       [--letters PATH]

  CONFIG.json           the connector's configuration: a flat JSON object, or Connect's {\"name\", \"config\"}
  name=value            sets a property in its place
  --until SCHEMA.TABLE  end when a row was inserted into this table of the source while streaming
  --state PATH          where the position is kept, so that a later start goes on; without it each start is a first one
  --letters PATH        where events go on which a transform or a converter fails (errors.tolerance=all)
  --offsets FILE        begin where a Debezium connector was stopped: what Connect's GET /connectors/NAME/offsets shows

Each line is {\"topic\", \"headers\", \"key\", \"value\"}: headers as [name, value] pairs, key and value as the converter wrote
them, null where there is none. Converters other than JSON give their text as a JSON string. A line `streaming` on
standard error says that the snapshot is over.

Ends with 0 when the event of --until and all before it are written, 1 after an error, 2 for a wrong command line,
130 when it was stopped by SIGINT or SIGTERM.";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) config: PathBuf,
    pub(crate) set: Vec<(String, String)>,
    pub(crate) until: Option<String>,
    pub(crate) state: Option<PathBuf>,
    pub(crate) offsets: Option<PathBuf>,
    pub(crate) letters: Option<PathBuf>,
}

impl Arguments {
    /// Reads the command line; `None` when help was asked for.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut config, mut set, mut until) = (None, Vec::new(), None);
        let (mut state, mut offsets, mut letters) = (None, None, None);
        while let Some(word) = words.next() {
            let (option, inline) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => (option, Some(value)),
                _ => (word.as_str(), None),
            };
            let mut value = || {
                let value = inline.map(str::to_owned).or_else(|| words.next());
                value.filter(|value| !value.is_empty()).ok_or(format!("{option} needs a value"))
            };
            match option {
                "--help" | "-h" => return Ok(None),
                "--until" => until = Some(value()?),
                "--state" => state = Some(PathBuf::from(value()?)),
                "--letters" => letters = Some(PathBuf::from(value()?)),
                "--offsets" => offsets = Some(PathBuf::from(value()?)),
                unknown if unknown.starts_with('-') => {
                    return Err(format!("unknown option {unknown}"));
                }
                _ if config.is_none() => config = Some(PathBuf::from(&word)),
                _ => match word.split_once('=') {
                    Some((name, value)) => set.push((name.to_owned(), value.to_owned())),
                    None => return Err(format!("{word} is not of the form name=value")),
                },
            }
        }
        let config = config.ok_or("CONFIG.json is missing")?;
        if until.as_ref().is_some_and(|table| !table.contains('.')) {
            return Err("--until takes SCHEMA.TABLE".to_owned());
        }
        if offsets.is_some() && state.is_none() {
            return Err("--offsets needs --state, where they are kept".to_owned());
        }
        Ok(Some(Arguments { config, set, until, state, offsets, letters }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn properties_and_options_come_in_any_order_behind_the_file() {
        let line = "c.json a=b=c --until public.t slot.name=x --state=st";
        let arguments = parse(line).unwrap().unwrap();
        assert_eq!(arguments.config.as_os_str(), "c.json");
        let set = [("a", "b=c"), ("slot.name", "x")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(arguments.set, set);
        assert_eq!(arguments.until.as_deref(), Some("public.t"));
        assert_eq!(arguments.state.unwrap().as_os_str(), "st");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(parse("").unwrap_err().contains("CONFIG.json"));
        assert!(parse("c.json x").unwrap_err().contains("name=value"));
        assert!(parse("c.json --until").unwrap_err().contains("--until"));
        assert!(parse("c.json --until t").unwrap_err().contains("SCHEMA.TABLE"));
        assert!(parse("c.json --unti t").unwrap_err().contains("--unti"));
        assert!(parse("c.json --offsets o.json").unwrap_err().contains("--state"));
        assert_eq!(parse("--help").unwrap(), None);
    }
}
