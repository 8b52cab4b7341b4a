//! What to measure, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use crate::AnyError;

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// JSON instead of a table.
    pub json: bool,
    /// How often each load is measured.
    pub rounds: usize,
    /// How long a load is measured for.
    pub time: Duration,
    /// How long it runs before that.
    pub warm_up: Duration,
    /// Only loads whose name has this in it.
    pub only: Option<String>,
    /// So many finished jobs lie in the table that claims are measured beside.
    pub finished: u64,
    /// The folder of what is written of the run: a table and a plot.
    pub out: Option<PathBuf>,
    /// Where the databases lie: on a disk, or durable commits cost nothing.
    pub dir: PathBuf,
}

impl Options {
    /// Reads the command line; databases lie in `dir` if it says nothing else. Without `--bench`, which `cargo bench` gives, all is run once and briefly: then it is a test.
    ///
    /// # Errors
    /// An option is unknown or has no value.
    pub fn read(arguments: impl Iterator<Item = String>, dir: &str) -> Result<Self, AnyError> {
        // Cargo gives it last, and what else is given counts more.
        let (bench, arguments): (Vec<_>, Vec<_>) = arguments.partition(|argument| argument == "--bench");
        let bench = !bench.is_empty();
        let mut options = Self {
            json: false,
            rounds: if bench { 3 } else { 1 },
            time: Duration::from_millis(if bench { 3_000 } else { 300 }),
            warm_up: Duration::from_millis(if bench { 500 } else { 0 }),
            only: None,
            finished: if bench { 10_000_000 } else { 1_000 },
            out: None,
            dir: PathBuf::from(dir),
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--json" => options.json = true,
                "--rounds" => options.rounds = value()?.parse::<usize>()?.max(1),
                "--seconds" => options.time = Duration::try_from_secs_f64(value()?.parse()?)?,
                "--only" => options.only = Some(value()?),
                "--finished" => options.finished = value()?.parse()?,
                "--out" => options.out = Some(PathBuf::from(value()?)),
                "--dir" => options.dir = PathBuf::from(value()?),
                other => return Err(format!("there is no option {other}").into()),
            }
        }
        Ok(options)
    }

    /// Whether this load is wanted.
    #[must_use]
    pub fn wants(&self, load: &str) -> bool {
        self.only.as_deref().is_none_or(|only| load.contains(only))
    }
}
