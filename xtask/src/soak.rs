//! `soak`: kills trainings at random instants, resumes them, and compares how they end with runs that were left alone.
//!
//! Separate from the tests because it goes on for as long as one likes, and uses the product as a user would.
//! Invariants that it checks: a run ends in the same bits however often it was killed and however many workers its loader
//! has and whatever the time of day is; it continues from its newest checkpoint that is whole; a process whose partner is
//! killed ends by itself; a run whose files cannot be written to their end says so, and loses no more than what could not be
//! written.

mod cases;

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::product::Mode;
use crate::{process, product};
use cases::{CASES, Case};

const USAGE: &str = "usage: cargo xtask soak [--minutes N] [--seed N] [--debug] [CASE...]";
/// Seconds that a process waits for others.
const TIMEOUT: u64 = 10;
/// How long a process may take to end, once another one was killed.
const PATIENCE: Duration = Duration::from_secs(6 * TIMEOUT);
const POLL: Duration = Duration::from_millis(2);
/// Steps between two checkpoints in all recipes.
const INTERVAL: u64 = 3;
const LEFT_ALONE: &str = "left-alone";
/// What a process takes for the time of day, where it jumps.
const JUMPING_CLOCK: &str = include_str!("soak/jumping_clock.cpp");

/// Trains until the time is up.
pub(crate) fn run(root: &Path, args: &[&str]) -> Result<()> {
    let (mut minutes, mut seed, mut mode, mut chosen) = (10.0, 1, Mode::Release, Vec::new());
    let mut args = args.iter();
    while let Some(&arg) = args.next() {
        match arg {
            "--minutes" => minutes = args.next().context(USAGE)?.parse().context(USAGE)?,
            "--seed" => seed = args.next().context(USAGE)?.parse().context(USAGE)?,
            "--debug" => mode = Mode::Debug,
            name => chosen.extend(CASES.iter().find(|case| case.name == name).with_context(|| {
                let names: Vec<_> = CASES.iter().map(|case| case.name).collect();
                format!("unknown case `{name}`, known are {}\n{USAGE}", names.join(", "))
            })),
        }
    }
    if chosen.is_empty() {
        chosen.extend(&CASES);
    }
    let dir = std::env::temp_dir().join(format!("mutualnet-soak-{}", std::process::id()));
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let soak = Soak { binary: product::build_in(root, mode)?, clock: jumping_clock(&dir)?, dir };
    let outcome = soak.until(Duration::from_secs_f64(60.0 * minutes), &chosen, &mut Random(seed));
    match &outcome {
        Ok(()) => fs::remove_dir_all(&soak.dir)?,
        Err(_) => {
            eprintln!("soak: what was found is in {}; `--seed {seed}` begins alike", soak.dir.display())
        }
    }
    outcome
}

struct Soak {
    binary: PathBuf,
    /// A library that makes the time of day jump, on Linux.
    clock: Option<PathBuf>,
    /// Where data, recipes and runs are.
    dir: PathBuf,
}

/// What befell the runs of a case so far.
#[derive(Default, Clone, Copy)]
struct Tally {
    runs: usize,
    kills: usize,
    hangs: usize,
    full: usize,
    damaged: usize,
    wrong_clocks: usize,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, kills, hangs, full, damaged, wrong_clocks } = self;
        write!(
            f,
            "{runs} runs ended in the right bits after {kills} kills, {hangs} hangs, {full} full disks, {damaged} damaged \
             checkpoints and {wrong_clocks} starts with a clock that jumps"
        )
    }
}

/// How an attempt to finish a run ended.
enum Attempt {
    Finished,
    Killed,
    Hung,
    Full,
}

/// How the processes of a run are started.
#[derive(Default, Clone, Copy)]
struct Conditions {
    /// Loader workers of each process.
    workers: u64,
    /// No file can grow above so many bytes.
    limit: Option<u64>,
    /// Whether the time of day jumps.
    clock_jumps: bool,
}

/// The processes of a run; none of them outlives this.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // One that has ended is no error; nothing can be done about others.
            let _ = process.kill().and_then(|()| process.wait());
        }
    }
}

impl Soak {
    fn until(&self, time: Duration, cases: &[&Case], random: &mut Random) -> Result<()> {
        let lengths = cases.iter().map(|case| self.prepare(case)).collect::<Result<Vec<_>>>()?;
        let (begun, mut tallies) = (Instant::now(), vec![Tally::default(); cases.len()]);
        while tallies[0].runs == 0 || begun.elapsed() < time {
            for ((case, &length), tally) in cases.iter().zip(&lengths).zip(&mut tallies) {
                let name = case.name;
                self.torment(case, length, random, tally)
                    .with_context(|| format!("run {} of {name}", tally.runs + 1))?;
                tally.runs += 1;
                eprintln!("soak: {name}: {tally}");
            }
        }
        for (case, tally) in cases.iter().zip(&tallies) {
            println!("{:<10} {tally}", case.name);
        }
        Ok(())
    }

    /// Makes the data and the run that is left alone, and returns how long the latter takes.
    fn prepare(&self, case: &Case) -> Result<Duration> {
        eprintln!("soak: training {} without a kill", case.name);
        let home = self.home(case);
        fs::create_dir_all(&home)?;
        fs::write(home.join("recipe.toml"), case.recipe)?;
        let make = [&["data", "make", case.data[0], case.data[0]], &case.data[1..]].concat();
        process::run_quietly(process::command(&self.binary, &home).args(make))?;
        let begun = Instant::now();
        for process in
            &mut self.start(case, LEFT_ALONE, Conditions { workers: 1, ..Conditions::default() })?.0
        {
            let status = end(process)?;
            ensure!(status.success(), "training ended with {status}: see {}", home.display());
        }
        Ok(begun.elapsed())
    }

    /// Kills a run until it is finished, and compares it with the one that was left alone.
    fn torment(&self, case: &Case, length: Duration, random: &mut Random, tally: &mut Tally) -> Result<()> {
        let run = self.home(case).join("killed");
        if run.exists() {
            fs::remove_dir_all(&run)?;
        }
        let mut damaged: Vec<Damage> = Vec::new();
        let mut was_full = false;
        loop {
            let mut whole = checkpoints(&run)?;
            whole.retain(|step| !damaged.iter().any(|damage| damage.step == *step && damage.is_there()));
            // Not the only one: the run would have to begin again.
            if whole.len() > 1 && random.below(4) == 0 {
                damaged.push(Damage::to(&run, whole.remove(0), random)?);
                tally.damaged += 1;
            }
            let (workers, clock_jumps) = (1 + random.below(3), self.clock.is_some() && random.below(3) == 0);
            tally.wrong_clocks += usize::from(clock_jumps);
            let conditions = Conditions { workers, limit: None, clock_jumps };
            let attempt = match random.below(5) {
                0 => self.fill(case, conditions, random)?,
                _ => self.attempt(case, length, conditions, random)?,
            };
            let log = fs::read_to_string(self.home(case).join("killed-0.log"))?;
            check_start(&log, whole.first().copied())?;
            match attempt {
                Attempt::Killed => tally.kills += 1,
                Attempt::Hung => tally.hangs += 1,
                Attempt::Full => (tally.full, was_full) = (tally.full + 1, true),
                Attempt::Finished => break,
            }
        }
        // A checkpoint that cannot be written is noticed when the next one is due.
        let most_again = if was_full { 2 * INTERVAL } else { INTERVAL };
        same_end(&self.home(case).join(LEFT_ALONE), &run, most_again)
    }

    /// Starts the run where no file can grow above a random size, as if the disk were full then.
    fn fill(&self, case: &Case, conditions: Conditions, random: &mut Random) -> Result<Attempt> {
        let largest = largest_file(&self.home(case).join(LEFT_ALONE))?;
        let limit = random.below(2 * largest);
        let mut running = self.start(case, "killed", Conditions { limit: Some(limit), ..conditions })?;
        let ends = running.0.iter_mut().map(end).collect::<Result<Vec<_>>>()?;
        if ends.iter().all(ExitStatus::success) {
            return Ok(Attempt::Finished);
        }
        let log = fs::read_to_string(self.home(case).join("killed-0.log"))?;
        ensure!(
            ends[0].code() == Some(1) && log.contains("error: cannot write "),
            "where files end at {limit} bytes, training ended with {}:\n{log}",
            ends[0]
        );
        Ok(Attempt::Full)
    }

    /// Starts the run, and kills one of its processes at a random instant if it has not ended by then.
    fn attempt(
        &self,
        case: &Case,
        length: Duration,
        conditions: Conditions,
        random: &mut Random,
    ) -> Result<Attempt> {
        let mut running = self.start(case, "killed", conditions)?;
        let processes = &mut running.0;
        let instant = Instant::now() + length.mul_f64(random.below(1000) as f64 / 1000.0);
        let victim = random.below(case.processes as u64) as usize;
        while Instant::now() < instant && processes[victim].try_wait()?.is_none() {
            sleep(POLL);
        }
        let halts = case.processes > 1 && random.below(3) == 0;
        if halts && processes[victim].try_wait()?.is_none() {
            self.halt(case, processes, victim)?;
        }
        // What has ended by itself is not killed by this.
        processes[victim].kill()?;
        let ends = processes.iter_mut().map(end).collect::<Result<Vec<_>>>()?;
        if ends.iter().all(ExitStatus::success) {
            return Ok(Attempt::Finished);
        }
        ensure!(
            ends[victim].code().is_none(),
            "process {victim} ended with {} before its time",
            ends[victim]
        );
        Ok(if halts { Attempt::Hung } else { Attempt::Killed })
    }

    /// Halts a process, as a machine that hangs does, until the others have ended with an error that names it.
    fn halt(&self, case: &Case, processes: &mut [Child], victim: usize) -> Result<()> {
        let id = processes[victim].id().to_string();
        process::run_quietly(Command::new("kill").args(["-STOP", &id]))?;
        for (rank, process) in processes.iter_mut().enumerate().filter(|(rank, _)| *rank != victim) {
            let status = end(process)?;
            let log = fs::read_to_string(self.home(case).join(format!("killed-{rank}.log")))?;
            // It may have finished before the other one was halted, or still wait for it to join.
            let named = [
                format!("process {victim} is gone or does not answer"),
                "did not meet the others".to_owned(),
            ];
            let is_named = named.iter().any(|sentence| log.contains(sentence));
            ensure!(
                status.success() || is_named,
                "process {rank} does not name {victim}, which hangs:\n{log}"
            );
        }
        Ok(())
    }

    /// Starts the processes of a run; what each prints goes to a file beside it.
    fn start(&self, case: &Case, run: &str, conditions: Conditions) -> Result<Running> {
        let Conditions { workers, limit, clock_jumps } = conditions;
        let home = self.home(case);
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
        let start = |rank: usize| {
            let log = File::create(home.join(format!("{run}-{rank}.log")))?;
            let mut command = match limit {
                None => process::command(&self.binary, &home),
                Some(bytes) => {
                    let mut shell = process::command(Path::new("sh"), &home);
                    // In blocks of 512 bytes. The product reports a write above the limit as it does a full disk.
                    let script = format!("ulimit -f {}; exec \"$@\"", bytes / 512);
                    shell.args(["-c", &script, "sh"]).arg(&self.binary);
                    shell
                }
            };
            command.args(["train", "recipe.toml", "--out", run, "--resume", "train.threads=1"]);
            command.arg(format!("data.workers={workers}"));
            if let Some(clock) = self.clock.as_ref().filter(|_| clock_jumps) {
                command.env("LD_PRELOAD", clock);
            }
            if case.processes > 1 {
                command.args(["--timeout", &TIMEOUT.to_string()]);
                command.envs([("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", port.as_str())]);
                command.env("RANK", rank.to_string()).env("WORLD_SIZE", case.processes.to_string());
            }
            command.stdout(log.try_clone()?).stderr(log);
            command.spawn().context("cannot start mutualnet")
        };
        Ok(Running((0..case.processes).map(start).collect::<Result<_>>()?))
    }

    fn home(&self, case: &Case) -> PathBuf {
        self.dir.join(case.name)
    }
}

/// Compiles the library that makes the time of day jump; there is none but for Linux.
fn jumping_clock(dir: &Path) -> Result<Option<PathBuf>> {
    if !cfg!(target_os = "linux") {
        return Ok(None);
    }
    let [source, library] = ["jumping_clock.cpp", "jumping_clock.so"].map(|name| dir.join(name));
    fs::write(&source, JUMPING_CLOCK)?;
    let compiler = env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let mut command = Command::new(compiler);
    process::run_quietly(
        command.args(["-std=c++20", "-O1", "-shared", "-fPIC"]).arg(&source).arg("-o").arg(&library),
    )?;
    Ok(Some(library))
}

/// Waits for a process, which must end in time.
fn end(process: &mut Child) -> Result<ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > PATIENCE {
            bail!("a process did not end by itself within {} s", PATIENCE.as_secs());
        }
        sleep(POLL);
    }
}

/// The steps of the checkpoints of a run, the newest first.
fn checkpoints(run: &Path) -> Result<Vec<u64>> {
    let Ok(entries) = fs::read_dir(run.join("checkpoints")) else { return Ok(Vec::new()) };
    let mut steps = Vec::new();
    for entry in entries {
        steps.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    steps.sort_unstable();
    steps.reverse();
    Ok(steps)
}

/// Bytes of the largest file of the newest checkpoint of a run.
fn largest_file(run: &Path) -> Result<u64> {
    let newest = checkpoints(run)?.first().context("the run has no checkpoint")?.to_string();
    let files = fs::read_dir(run.join("checkpoints").join(newest))?;
    let sizes = files.map(|file| Ok(file?.metadata()?.len())).collect::<Result<Vec<_>>>()?;
    Ok(sizes.into_iter().max().unwrap_or_default())
}

/// A file of a checkpoint that was damaged.
struct Damage {
    step: u64,
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Damage {
    /// Changes one byte of one file of a checkpoint, or cuts the file off there.
    fn to(run: &Path, step: u64, random: &mut Random) -> Result<Self> {
        let files = fs::read_dir(run.join("checkpoints").join(step.to_string()))?;
        let mut files = files.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        files.sort();
        let file = files.swap_remove(random.below(files.len() as u64) as usize);
        let mut bytes = fs::read(&file)?;
        let at = random.below(bytes.len() as u64) as usize;
        if random.below(2) == 0 {
            bytes.truncate(at)
        } else {
            bytes[at] ^= 1 << random.below(8)
        }
        fs::write(&file, &bytes).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { step, file, bytes })
    }

    /// Whether the checkpoint was not written again since.
    fn is_there(&self) -> bool {
        fs::read(&self.file).is_ok_and(|bytes| bytes == self.bytes)
    }
}

/// Whether a run says that it continues from the step that it should; it says nothing if it was killed before.
fn check_start(log: &str, expected: Option<u64>) -> Result<()> {
    let told = log.lines().find_map(|line| line.strip_prefix("continuing from step ")?.split(' ').next());
    if let Some(told) = told {
        ensure!(Some(told.parse()?) == expected, "it continued from step {told} instead of {expected:?}");
    }
    Ok(())
}

/// Whether two finished runs have the same state, and the second one took every step, at most so many again at a time.
fn same_end(left_alone: &Path, killed: &Path, most_again: u64) -> Result<()> {
    let last = checkpoints(left_alone)?[0].to_string();
    let [theirs, ours] = [left_alone, killed].map(|run| run.join("checkpoints").join(&last));
    for entry in fs::read_dir(&theirs)? {
        let name = entry?.file_name();
        let same = fs::read(theirs.join(&name))? == fs::read(ours.join(&name))?;
        ensure!(same, "{} differs from that of the run that was left alone", ours.join(&name).display());
    }
    check_steps(&fs::read_to_string(killed.join("events.jsonl"))?, last.parse()?, most_again)
}

/// Whether the events of a run have every step in order, and at most so many again at a time, unless a checkpoint was damaged.
fn check_steps(events: &str, n_steps: u64, most_again: u64) -> Result<()> {
    let (mut next, mut is_damaged) = (0_u64, false);
    for line in events.lines() {
        let event: Value =
            serde_json::from_str(line).with_context(|| format!("an event is cut off: {line}"))?;
        let step = event["step"].as_u64();
        match (event["event"].as_str(), step) {
            (Some("damaged_checkpoint"), _) => is_damaged = true,
            (Some("start"), Some(step)) => {
                let again = next.checked_sub(step).with_context(|| format!("step {next} is left out"))?;
                ensure!(is_damaged || again <= most_again, "{again} steps before {next} were taken again");
                (next, is_damaged) = (step, false);
            }
            (Some("step"), Some(step)) => {
                ensure!(step == next, "step {step} follows where {next} should");
                next += 1;
            }
            _ => {}
        }
    }
    ensure!(next == n_steps, "the events end at step {next} of {n_steps}");
    Ok(())
}

/// Numbers that a seed decides (SplitMix64).
struct Random(u64);

impl Random {
    /// A number below `n`.
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}
