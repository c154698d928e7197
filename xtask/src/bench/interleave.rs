//! Runs several long-lived programs in turn: A B C A B C …, one step each.
//!
//! Separate from what is measured. A machine that slows down during a run slows all programs alike, so ratios are
//! reliable where absolute times are not.
//! Invariant: only one program works at any time.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// The pause before every step, in which threads of the program before that still wait for work go to sleep.
const PAUSE: Duration = Duration::from_millis(10);

/// One program that prints `ready`, then for each line on its stdin does one step and prints its seconds.
pub(super) struct Program {
    pub(super) name: &'static str,
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
    seconds: Vec<f64>,
}

/// The spread of a program's steps, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) low: f64,
    pub(super) median: f64,
    pub(super) high: f64,
}

impl Spread {
    /// A line of a table: what was done, by which program, and how many times as long as ours it took.
    pub(super) fn row(&self, what: &str, program: &str, times: f64) -> String {
        let Self { low, median, high } = self;
        format!("{what:<18} {program:<14} {median:8.3}   {low:.3} to {high:.3} {times:13.2}\n")
    }

    pub(super) fn json(&self) -> Value {
        json!({ "median": self.median, "p25": self.low, "p75": self.high })
    }
}

impl Program {
    /// Starts the program and waits until it is ready.
    pub(super) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        eprintln!("starting {name}");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut program = Self { name, child, lines: BufReader::new(stdout).lines(), seconds: vec![] };
        let first = program.line()?;
        if first != "ready" {
            bail!("{name} printed `{first}` where `ready` was expected");
        }
        Ok(program)
    }

    fn line(&mut self) -> Result<String> {
        match self.lines.next() {
            Some(line) => Ok(line?),
            None => bail!("{} ended early with {}", self.name, self.child.wait()?),
        }
    }

    /// Sends a request and returns the seconds that the program prints.
    pub(super) fn step(&mut self, request: &str) -> Result<f64> {
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{request}").with_context(|| format!("{} accepts no more steps", self.name))?;
        let line = self.line()?;
        line.trim().parse().with_context(|| format!("{} printed `{line}` for seconds", self.name))
    }

    /// Forgets the steps so far, so that others can be measured.
    pub(super) fn forget(&mut self) {
        self.seconds.clear();
    }

    /// The most main memory that the program has taken so far, in bytes; `None` on systems without `/proc`.
    pub(super) fn peak_memory(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        Some(kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    }

    /// Quartiles of the steps after the warm-up.
    pub(super) fn spread(&self) -> Spread {
        spread(&self.seconds)
    }

    /// How many times as long as another program's steps its own take: the median over rounds.
    ///
    /// Within a round both do the same work under the same load.
    pub(super) fn times(&self, other: &Self) -> f64 {
        let rounds = self.seconds.iter().zip(&other.seconds);
        spread(&rounds.map(|(own, other)| own / other).collect::<Vec<_>>()).median
    }
}

impl Drop for Program {
    /// Closing its stdin ends the program; errors no longer matter here.
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Sends every request to every program in turn; the first `n_warm_up` rounds do not count.
pub(super) fn run(programs: &mut [Program], requests: &[String], n_warm_up: usize) -> Result<()> {
    let n_programs = programs.len();
    for (round, request) in requests.iter().enumerate() {
        // Each round starts with another program, so that none always follows the same one.
        for turn in 0..n_programs {
            let program = &mut programs[(round + turn) % n_programs];
            std::thread::sleep(PAUSE);
            let seconds = program.step(request)?;
            if round >= n_warm_up {
                program.seconds.push(seconds);
            }
        }
        eprintln!("round {} of {}", round + 1, requests.len());
    }
    Ok(())
}

pub(super) fn spread(seconds: &[f64]) -> Spread {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let position = share * (sorted.len() - 1) as f64;
        let (below, above) = (sorted[position.floor() as usize], sorted[position.ceil() as usize]);
        below + (above - below) * position.fract()
    };
    Spread { low: at(0.25), median: at(0.5), high: at(0.75) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles() {
        assert_eq!(spread(&[4.0, 1.0, 3.0, 2.0, 5.0]), Spread { low: 2.0, median: 3.0, high: 4.0 });
        assert_eq!(spread(&[1.0, 2.0]).median, 1.5);
    }

    #[test]
    fn programs_take_turns_and_warm_up_does_not_count() {
        let script = "echo ready; n=0; while read line; do n=$((n+1)); echo $n; done";
        let shell = || Program::start("shell", Command::new("sh").args(["-c", script])).unwrap();
        let mut programs = [shell(), shell()];
        let requests = vec!["step".to_owned(); 3];
        run(&mut programs, &requests, 1).unwrap();
        assert!(programs.iter().all(|program| program.seconds == [2.0, 3.0]));
        programs[0].seconds = vec![2.0, 30.0, 9.0];
        programs[1].seconds = vec![1.0, 10.0, 9.0];
        assert_eq!(programs[0].times(&programs[1]), 2.0);
        assert!(!cfg!(target_os = "linux") || programs[0].peak_memory().is_some_and(|bytes| bytes > 100_000));
    }

    #[test]
    fn a_program_that_ends_is_an_error_with_its_name() {
        let error = Program::start("gone", Command::new("sh").args(["-c", "exit 3"])).err().unwrap();
        assert!(error.to_string().contains("gone ended early"), "{error}");
    }
}
