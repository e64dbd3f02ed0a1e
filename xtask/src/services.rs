//! `cargo xtask services`: test servers that live until they are stopped.

use cdc_testservers::{MATRIX, services, services::Service};

use crate::{Result, arguments::Arguments};

pub(crate) const HELP: &str = "
usage: cargo xtask services up|down|status|env [--matrix | --version N]

PostgreSQL servers for a developer, apart for each checkout and each user. They live until `down`.

  up       start what does not run yet (PostgreSQL is found or fetched)
  status   show what is kept, with its port and its folder
  env      print `export` lines for a shell: eval \"$(cargo xtask services env)\"
  down     stop and delete all of them

  --version N   PostgreSQL N (12 to 18) instead of the usual one
  --matrix      all of 12 to 18

Integration tests use the first that `status` shows, unless CDC_TEST_POSTGRES_URL is set.

  CDC_TEST_POSTGRES_BIN     folder of the PostgreSQL programs to use
  CDC_TEST_POSTGRES_FETCH   1: fetch PostgreSQL even where one is installed
  CDC_CACHE_DIR             where all of this lies (~/.cache/cdc-rs; root: /var/cache/cdc-rs)
";

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let matrix = arguments.flag("--matrix");
    let version: Option<u32> = arguments.value("--version")?;
    let names = arguments.names();
    let wrong = arguments.wrong("one of up, down, status, env is needed");
    if matrix && version.is_some() {
        return Err(arguments.wrong("--matrix and --version exclude each other"));
    }
    let versions = match version {
        Some(version) => vec![Some(version)],
        None if matrix => MATRIX.map(Some).to_vec(),
        None => vec![None],
    };
    let everything = !matrix && version.is_none();
    let selects_nothing = || {
        if everything { Ok(()) } else { Err(arguments.wrong("this takes all of them, no version")) }
    };
    match names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["up"] => {
            arguments.end()?;
            for version in versions {
                show(&services::up(version)?);
            }
            Ok(())
        }
        ["down"] => {
            selects_nothing()?;
            arguments.end()?;
            match services::down()? {
                0 => println!("no servers were kept"),
                1 => println!("1 server stopped and deleted"),
                count => println!("{count} servers stopped and deleted"),
            }
            Ok(())
        }
        ["status"] => {
            selects_nothing()?;
            arguments.end()?;
            let services = services::all()?;
            if services.is_empty() {
                println!("no servers are kept: start one with `cargo xtask services up`");
            }
            services.iter().for_each(show);
            Ok(())
        }
        ["env"] => {
            arguments.end()?;
            env(if everything { None } else { Some(versions) })
        }
        _ => Err(wrong),
    }
}

fn show(service: &Service) {
    let server = &service.server;
    let asked = service.version.map_or_else(|| "usual".to_owned(), |version| version.to_string());
    let state = if server.is_running() { "up" } else { "down" };
    println!(
        "PostgreSQL {:<8} {:<6} {:<5} {}  log {}",
        server.version(),
        asked,
        state,
        server.url("postgres"),
        server.log_file().display()
    );
}

/// Prints the variables of the first server, and with several also those of each by its version.
fn env(versions: Option<Vec<Option<u32>>>) -> Result<()> {
    let mut services = services::running()?;
    if let Some(versions) = versions {
        services.retain(|service| versions.contains(&service.version));
    }
    let Some(first) = services.first() else {
        return Err(crate::Failure::new(
            "no such server runs: start it with `cargo xtask services up`",
        ));
    };
    for (name, value) in first.server.variables() {
        println!("export {name}={}", quoted(&value));
    }
    for service in services.iter().filter(|_| services.len() > 1) {
        let url = service.server.url("postgres");
        println!("export CDC_TEST_POSTGRES_URL_{}={}", service.server.major(), quoted(&url));
    }
    Ok(())
}

/// A word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_the_shell() {
        assert_eq!(quoted("postgres://a?b&c"), "'postgres://a?b&c'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
