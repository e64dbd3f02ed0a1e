//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Keeps copies of a PostgreSQL database in one or several targets.

usage: replicate SOURCE_URL TARGET_URL... [options]

  SOURCE_URL         postgres://user@host:port/database (the password also from PGPASSWORD or PGPASSFILE)
  TARGET_URL         postgres://user@host:port/database or sqlite:PATH; several are sinks of one pipeline

  --tables LIST      only these tables, separated by commas: public.orders,sales.* (default: all)
  --exclude LIST     not these tables, in the same form
  --state DIR        the folder of the offset file (default: cdc-state)
  --name NAME        the name of the pipeline, of which slot and publications are named (default: replicate)
  --publication NAME use this publication as it is, with its row filters and column lists; none is made or altered
  --drain            end when all that was committed before the start is in every target
  --no-wait          an error, instead of waiting, when another instance holds the slot or the offset file
  --adopt-slot       go on from a slot that was made without this program's knowledge
  --remove           drop slot and publications and forget the offsets; the copies stay

Ends with 0 when it was stopped by SIGINT or SIGTERM or has drained, 1 after an error, 2 for a wrong command line.";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) source: String,
    pub(crate) targets: Vec<String>,
    pub(crate) tables: Option<Vec<String>>,
    pub(crate) exclude: Vec<String>,
    pub(crate) state: PathBuf,
    pub(crate) name: String,
    pub(crate) publication: Option<String>,
    pub(crate) drain: bool,
    pub(crate) no_wait: bool,
    pub(crate) adopt_slot: bool,
    pub(crate) remove: bool,
}

impl Arguments {
    /// Reads the command line; `None` when help was asked for.
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut urls = Vec::new();
        let mut arguments = Arguments {
            source: String::new(),
            targets: Vec::new(),
            tables: None,
            exclude: Vec::new(),
            state: PathBuf::from("cdc-state"),
            name: "replicate".to_owned(),
            publication: None,
            drain: false,
            no_wait: false,
            adopt_slot: false,
            remove: false,
        };
        let mut words = words;
        while let Some(word) = words.next() {
            let (option, inline) = match word.split_once('=') {
                Some((option, value)) if option.starts_with("--") => {
                    (option.to_owned(), Some(value.to_owned()))
                }
                _ => (word, None),
            };
            let mut value = || {
                inline
                    .clone()
                    .or_else(|| words.next())
                    .filter(|value| !value.is_empty())
                    .ok_or_else(|| format!("{option} needs a value"))
            };
            match option.as_str() {
                "--help" | "-h" => return Ok(None),
                "--tables" => arguments.tables = Some(list(&option, &value()?)?),
                "--exclude" => arguments.exclude = list(&option, &value()?)?,
                "--state" => arguments.state = PathBuf::from(value()?),
                "--name" => arguments.name = value()?,
                "--publication" => arguments.publication = Some(value()?),
                "--drain" | "--no-wait" | "--adopt-slot" | "--remove" if inline.is_some() => {
                    return Err(format!("{option} takes no value"));
                }
                "--drain" => arguments.drain = true,
                "--no-wait" => arguments.no_wait = true,
                "--adopt-slot" => arguments.adopt_slot = true,
                "--remove" => arguments.remove = true,
                unknown if unknown.starts_with('-') => {
                    return Err(format!("unknown option {unknown}"));
                }
                _ => urls.push(option),
            }
        }
        let mut urls = urls.into_iter();
        arguments.source = urls.next().ok_or("SOURCE_URL is missing")?;
        arguments.targets = urls.collect();
        if arguments.targets.is_empty() && !arguments.remove {
            return Err("TARGET_URL is missing".to_owned());
        }
        if arguments.drain && arguments.remove {
            return Err("--drain and --remove exclude each other".to_owned());
        }
        Ok(Some(arguments))
    }
}

fn list(option: &str, text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(format!("{option} has an empty name in its list"));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn several_targets_and_options_in_any_order() {
        let arguments =
            parse("--tables=a.b,c.d postgres://s/d sqlite:x --drain postgres://t/e --state st")
                .unwrap()
                .unwrap();
        assert_eq!(arguments.source, "postgres://s/d");
        assert_eq!(arguments.targets, ["sqlite:x", "postgres://t/e"]);
        assert_eq!(arguments.tables.as_deref(), Some(&["a.b".to_owned(), "c.d".to_owned()][..]));
        assert!(arguments.drain && arguments.state.as_os_str() == "st");
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        assert!(parse("postgres://s/d").unwrap_err().contains("TARGET_URL"));
        assert!(parse("postgres://s/d sqlite:x --dry").unwrap_err().contains("--dry"));
        assert!(parse("postgres://s/d sqlite:x --state").unwrap_err().contains("--state"));
        assert!(parse("").unwrap_err().contains("SOURCE_URL"));
    }
}
