//! The command line.

use std::path::PathBuf;

use crate::Outcome;
use crate::contenders::NAMES;

const USAGE: &str = "cargo bench --bench end_to_end -- [OPTIONS]

  --rows N          rows of the backlog (default 1000000)
  --tx N[,N...]     rows a transaction (default 1,100,100000)
  --only NAME,...   these contenders alone
  --rounds N        how often each is run; medians are reported (default 3)
  --work-mem SIZE   logical_decoding_work_mem (default 64MB, PostgreSQL's own)
  --version N       the major version of PostgreSQL (default: what is installed)
  --json FILE       also write the figures there (absolute path)";

/// What is to be compared.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) rows: u64,
    pub(crate) tx: Vec<u64>,
    pub(crate) only: Option<Vec<String>>,
    pub(crate) rounds: usize,
    pub(crate) work_mem: String,
    pub(crate) version: Option<u32>,
    pub(crate) json: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut arguments = Arguments {
            rows: 1_000_000,
            tx: vec![1, 100, 100_000],
            only: None,
            rounds: 3,
            work_mem: "64MB".to_owned(),
            version: None,
            json: None,
        };
        while let Some(name) = given.next() {
            // Cargo's own.
            if name == "--bench" {
                continue;
            }
            if name == "--help" {
                println!("{USAGE}\n\ncontenders: {}", NAMES.join(", "));
                std::process::exit(0);
            }
            let value = given.next().ok_or_else(|| format!("{name} needs a value\n\n{USAGE}"))?;
            match name.as_str() {
                "--rows" => arguments.rows = value.parse::<u64>()?.max(1),
                "--tx" => {
                    let sizes = value.split(',').map(|size| Ok(size.parse::<u64>()?.max(1)));
                    arguments.tx = sizes.collect::<Outcome<_>>()?;
                }
                "--only" => {
                    let names: Vec<String> = value.split(',').map(str::to_owned).collect();
                    if let Some(unknown) = names.iter().find(|name| !NAMES.contains(&name.as_str()))
                    {
                        return Err(format!(
                            "no contender is called {unknown}: there are {}",
                            NAMES.join(", ")
                        )
                        .into());
                    }
                    arguments.only = Some(names);
                }
                "--rounds" => arguments.rounds = value.parse::<usize>()?.max(1),
                "--work-mem" => arguments.work_mem = value,
                "--version" => arguments.version = Some(value.parse()?),
                "--json" => arguments.json = Some(value.into()),
                _ => return Err(format!("unknown option {name}\n\n{USAGE}").into()),
            }
        }
        Ok(arguments)
    }

    pub(crate) fn wants(&self, name: &str) -> bool {
        match &self.only {
            Some(only) => only.iter().any(|wanted| wanted == name),
            None => !crate::contenders::ON_REQUEST.contains(&name),
        }
    }
}
