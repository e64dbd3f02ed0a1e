//! Whole pipelines on a real server, each contender in a process of its own, all interleaved in one run.
//!
//! The parent loads a backlog behind replication slots that exist already, one for each contender and round, then
//! starts itself once for each of them. What a child measures it prints as one line of JSON.

mod arguments;
mod backlog;
mod child;
mod contenders;
mod measure;
mod report;
mod rows;
mod servers;

use std::process::ExitCode;

use arguments::Arguments;

type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

fn main() -> ExitCode {
    let outcome = match child::Task::from_arguments() {
        Some(task) => task.and_then(contenders::run),
        None => Arguments::parse(std::env::args().skip(1)).and_then(compare),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let reasons =
                std::iter::successors(Some(&*error as &dyn std::error::Error), |e| e.source());
            let text: Vec<String> = reasons.map(ToString::to_string).collect();
            eprintln!("error: {}", text.join(": "));
            ExitCode::FAILURE
        }
    }
}

/// The parent: runs every contender in every round and reports the medians.
fn compare(arguments: Arguments) -> Outcome<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let report = runtime.block_on(servers::compare(&arguments))?;
    report.print();
    if let Some(file) = &arguments.json {
        std::fs::write(file, report.json())?;
    }
    Ok(())
}
