//! Runs one target for a while on mutated inputs, and tells what broke it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;

use crate::{Target, mutate::mutate};

/// An input that takes longer than this is a failure, as a panic is.
const SLOWEST: Duration = Duration::from_secs(5);

/// How many inputs that went another way than those before them are kept to go on from.
const POOL: usize = 4_096;

/// One run of a target.
pub(crate) struct Run<'a> {
    pub(crate) target: &'a Target,
    pub(crate) corpus: &'a Path,
    pub(crate) failures: &'a Path,
    pub(crate) time: Duration,
    pub(crate) seed: u64,
}

impl Run<'_> {
    /// Runs the corpus as it is, then mutations of it until the time is over.
    ///
    /// # Errors
    /// One line with the file of the input that made the target panic.
    pub(crate) fn go(&self) -> Result<(), String> {
        let mut pool = read_corpus(self.corpus)?;
        let seeds = pool.len();
        fs::create_dir_all(self.failures)
            .map_err(|error| format!("making {}: {error}", self.failures.display()))?;
        let mut current = Current::create(&self.failures.join(self.target.name))?;
        println!("{}: {seeds} inputs in the corpus, seed {}", self.target.name, self.seed);

        let start = Instant::now();
        let watch = Watch::start(current.file.clone());
        let quiet = panic::take_hook();
        panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
        let outcome = self.inputs(&mut pool, seeds, start, &mut current, &watch);
        panic::set_hook(quiet);
        let runs = outcome?;
        current.remove();
        let seconds = start.elapsed().as_secs_f64();
        println!("{}: {runs} inputs in {seconds:.1} s, no failure", self.target.name);
        Ok(())
    }

    fn inputs(
        &self,
        pool: &mut Vec<Vec<u8>>,
        seeds: usize,
        start: Instant,
        current: &mut Current,
        watch: &Watch,
    ) -> Result<u64, String> {
        for input in pool.iter() {
            self.one(input, current, watch)?;
        }
        if pool.is_empty() {
            pool.push(Vec::new());
        }
        let mut random = Rng::with_seed(self.seed);
        let mut runs = 0;
        let mut input = Vec::new();
        while start.elapsed() < self.time {
            // The clock is asked once for many inputs: it costs as much as a short one.
            for _ in 0..64 {
                let base = &pool[random.usize(..pool.len())];
                let other = &pool[random.usize(..pool.len())];
                input.clone_from(base);
                mutate(&mut input, other, &mut random);
                self.one(&input, current, watch)?;
                runs += 1;
                // Mutations of mutations reach further; which are kept is left to chance, because
                // a stable compiler does not tell which code an input has reached.
                if random.u16(..) < 64 {
                    if pool.len() < POOL.max(seeds * 2) {
                        pool.push(input.clone());
                    } else {
                        let place = random.usize(seeds..pool.len());
                        pool[place].clone_from(&input);
                    }
                }
            }
        }
        Ok(runs)
    }

    fn one(&self, input: &[u8], current: &mut Current, watch: &Watch) -> Result<(), String> {
        current.write(input)?;
        watch.step();
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| (self.target.run)(input)));
        watch.step();
        outcome.map_err(|_| {
            let (name, seed) = (self.target.name, self.seed);
            let kept = current.file.with_file_name(format!("{name}-{seed}.hex"));
            // Under a name of its own, so that the next run does not overwrite it.
            let file =
                if fs::rename(&current.file, &kept).is_ok() { kept } else { current.file.clone() };
            format!("{name} panicked (seed {seed}): run it again with --replay {}", file.display())
        })
    }
}

/// Runs the target once, on the input that a failed run has left.
pub(crate) fn replay(target: &Target, file: &Path) -> Result<(), String> {
    let text =
        fs::read_to_string(file).map_err(|error| format!("reading {}: {error}", file.display()))?;
    let input = from_hex(&text).ok_or_else(|| {
        format!("{} is not the input of a failed run: it must be hexadecimal", file.display())
    })?;
    println!("{}: {} bytes", target.name, input.len());
    (target.run)(&input);
    println!("{}: no failure", target.name);
    Ok(())
}

/// The input under test, on disk as hexadecimal text before it runs: so it is there after an
/// abort (stack or memory used up) too.
struct Current {
    file: PathBuf,
    handle: File,
    text: Vec<u8>,
}

impl Current {
    fn create(stem: &Path) -> Result<Self, String> {
        let file = stem.with_extension("hex");
        let handle =
            File::create(&file).map_err(|error| format!("making {}: {error}", file.display()))?;
        Ok(Self { file, handle, text: Vec::new() })
    }

    fn write(&mut self, input: &[u8]) -> Result<(), String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        self.text.clear();
        for byte in input {
            self.text.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        // What follows the line is left of longer inputs before: one call instead of two.
        self.text.push(b'\n');
        self.handle
            .write_all_at(&self.text, 0)
            .map_err(|error| format!("writing {}: {error}", self.file.display()))
    }

    fn remove(self) {
        fs::remove_file(self.file).ok();
    }
}

/// Bytes from the first line of hexadecimal text.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let line = text.lines().next().unwrap_or_default();
    let digits = line.chars().map(|c| c.to_digit(16)).collect::<Option<Vec<_>>>()?;
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    });
    pairs.collect()
}

/// Ends the process when one input takes too long.
struct Watch {
    /// Grows by one when an input begins and when it ends: odd while one runs.
    steps: Arc<AtomicU64>,
}

impl Watch {
    fn start(file: PathBuf) -> Self {
        let steps = Arc::new(AtomicU64::new(0));
        let watched = Arc::downgrade(&steps);
        thread::spawn(move || {
            let (mut before, mut since) = (0, Instant::now());
            while let Some(steps) = watched.upgrade() {
                let now = steps.load(Ordering::Relaxed);
                if now != before {
                    (before, since) = (now, Instant::now());
                } else if now % 2 == 1 && since.elapsed() > SLOWEST {
                    eprintln!(
                        "an input takes longer than {} s: run it again with --replay {}",
                        SLOWEST.as_secs(),
                        file.display()
                    );
                    std::process::exit(1);
                }
                drop(steps);
                thread::sleep(Duration::from_millis(100));
            }
        });
        Self { steps }
    }

    fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every file of the corpus, in the order of their names; a target may start without one.
fn read_corpus(folder: &Path) -> Result<Vec<Vec<u8>>, String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    let read = |file: &PathBuf| {
        fs::read(file).map_err(|error| format!("reading {}: {error}", file.display()))
    };
    files.iter().filter(|file| file.is_file()).map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(run: fn(&[u8]), seed: u64) -> (Result<(), String>, PathBuf) {
        let target = Target { name: "planted", run };
        let failures =
            std::env::temp_dir().join(format!("cdc-fuzz-test-{}-{seed}", std::process::id()));
        let time = Duration::from_secs(5);
        let corpus = Path::new("no such folder");
        let outcome = Run { target: &target, corpus, failures: &failures, time, seed }.go();
        (outcome, failures)
    }

    #[test]
    fn a_planted_panic_is_found_and_its_input_is_kept() {
        let planted = |input: &[u8]| assert!(!input.starts_with(&[0x7f]), "planted");
        let (outcome, failures) = run(planted, 11);
        let message = outcome.unwrap_err();
        assert!(message.starts_with("planted panicked (seed 11)"), "{message}");
        let text = fs::read_to_string(failures.join("planted-11.hex")).unwrap();
        assert!(from_hex(&text).unwrap().starts_with(&[0x7f]));
        fs::remove_dir_all(failures).unwrap();
    }

    #[test]
    fn hexadecimal_text_is_read_up_to_the_end_of_its_line() {
        assert_eq!(from_hex("00ff\n1234"), Some(vec![0, 255]));
        assert_eq!(from_hex("\n1234"), Some(vec![]));
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("zz"), None);
    }
}
