//! `bench runtime`: rows of networks in our runtime and in other programs.
//!
//! Invariant: all programs run the same network with the same weights on the same images, and nothing is timed before their
//! outputs agree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;

use super::interleave::{self, Program};
use super::{Report, peers};
use crate::{process, product};

mod detectors;
mod report;
use report::{Measured, report};

/// Detectors are measured in another way: see [`detectors`].
const NETWORKS: [&str; 11] = [
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "efficientnet_b0",
    "resnet18",
    "resnet50",
    "lraspp_mobilenet_v3_large",
    "deeplabv3_resnet50",
    "ssdlite320_mobilenet_v3_large",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "maskrcnn_resnet50_fpn",
];

/// Width and resolution of the rows.
const ROWS: [[&str; 2]; 3] = [["1.0", "224"], ["0.5", "160"], ["0.25", "128"]];
const BATCHES: [usize; 2] = [1, 16];

/// What a point is computed in, and whom ours is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arithmetic {
    F32,
    /// On processors that multiply bf16.
    Bf16,
}

/// Our own direct kernels in single precision, which those in bf16 are compared with.
const OURS_F32: &str = "ours-f32";

impl Arithmetic {
    /// The name in JSON, on our command line and on that of `run_row.py`.
    fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
        }
    }

    /// The other programs, as `run_row.py` knows them; onnxruntime has no bf16 on the CPU.
    fn peers(self) -> &'static [&'static str] {
        match self {
            Self::F32 => &["onnxruntime", "openvino", "ncnn", "torch"],
            Self::Bf16 => &["openvino", "ncnn", "torch"],
        }
    }

    /// The largest difference of an output from ours, as a share of our largest one.
    fn tolerance(self) -> f32 {
        match self {
            Self::F32 => 1e-3,
            Self::Bf16 => 5e-2,
        }
    }
}

/// What they need from PyPI besides PyTorch.
const PACKAGES: [&str; 6] = ["onnx", "onnxruntime", "openvino", "ncnn", "pnnx", "safetensors"];

const N_WARM_UP: usize = 2;
const N_ROUNDS: usize = 15;

/// The seconds that a program runs before it is the next one's turn.
const TURN: f64 = 0.05;

/// Which networks are measured, and at how many points.
struct Selection {
    networks: Vec<&'static str>,
    /// Only the first row, one image and one thread.
    quick: bool,
}

/// What is measured in one comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Point {
    network: &'static str,
    row: [&'static str; 2],
    batch: usize,
    threads: usize,
    arithmetic: Arithmetic,
}

impl Point {
    /// Whether its ratios stand at the top of the JSON: full width, one image, one thread.
    fn is_main(&self) -> bool {
        (self.row[0], self.batch, self.threads) == ("1.0", 1, 1)
    }

    fn detects(&self) -> bool {
        detectors::row(self.network).is_some()
    }
}

impl Selection {
    fn parse(args: &[&str]) -> Result<Self> {
        let (flags, names): (Vec<&str>, Vec<&str>) = args.iter().partition(|arg| arg.starts_with("--"));
        if let Some(unknown) = flags.iter().find(|flag| **flag != "--quick") {
            bail!("unknown option `{unknown}` of bench runtime");
        }
        let known = |name: &&str| {
            let known = NETWORKS.iter().find(|known| *known == name);
            known
                .copied()
                .with_context(|| format!("bench runtime has no `{name}`, only {}", NETWORKS.join(", ")))
        };
        let networks =
            if names.is_empty() { Ok(NETWORKS.to_vec()) } else { names.iter().map(known).collect() };
        Ok(Self { networks: networks?, quick: !flags.is_empty() })
    }

    fn points(&self, all_threads: usize, arithmetics: &[Arithmetic]) -> Vec<Point> {
        let [rows, batches] = if self.quick { [1, 1] } else { [ROWS.len(), BATCHES.len()] };
        let threads = if self.quick || all_threads == 1 { vec![1] } else { vec![1, all_threads] };
        let mut points = Vec::new();
        for &arithmetic in arithmetics {
            for &network in &self.networks {
                let (rows, batches) = match detectors::row(network) {
                    Some(row) if arithmetic == Arithmetic::F32 => (&[row][..], &[1][..]),
                    Some(_) => continue,
                    None => (&ROWS[..rows], &BATCHES[..batches]),
                };
                for &row in rows {
                    for &batch in batches {
                        let point = |&threads| Point { network, row, batch, threads, arithmetic };
                        points.extend(threads.iter().map(point));
                    }
                }
            }
        }
        points
    }
}

/// Runs all programs in turn at every selected point.
pub(super) fn run(root: &Path, args: &[&str]) -> Result<Report> {
    let selection = Selection::parse(args)?;
    let bench = Bench::prepare(root, &selection)?;
    let arithmetics = arithmetics(&instruction_sets());
    if !arithmetics.contains(&Arithmetic::Bf16) {
        eprintln!("this processor does not multiply bf16, so only f32 is measured");
    }
    let points = selection.points(available_parallelism()?.get(), arithmetics);
    let mut measured = Vec::new();
    for (idx, point) in points.into_iter().enumerate() {
        eprintln!("point {}: {point:?}", idx + 1);
        measured.push(bench.measure(point)?);
    }
    report(&measured, bench.conditions()?)
}

struct Bench {
    root: PathBuf,
    mutualnet: PathBuf,
    python: PathBuf,
    /// Made-up bundles, and what the other programs' converters make of their rows.
    rows: PathBuf,
}

impl Bench {
    /// Builds, makes the bundles and converts their rows for the other programs.
    fn prepare(root: &Path, selection: &Selection) -> Result<Self> {
        let bench = Self {
            root: root.to_owned(),
            python: peers::python_with(&PACKAGES)?,
            mutualnet: product::build_to_deploy(root)?,
            rows: peers::cache()?.join("rows"),
        };
        let make = product::build_example(root, "mutualnet-runtime", "made_up_bundle")?;
        fs::create_dir_all(&bench.rows)?;
        for network in &selection.networks {
            let rows = detectors::row(network).map_or(ROWS.to_vec(), |row| vec![row]);
            let rows = rows.iter().map(|row| row.join("-"));
            process::run(Command::new(&make).args([*network]).arg(bench.bundle(network)).args(rows))?;
        }
        let points = selection.points(1, &[Arithmetic::F32]);
        let converted = points.iter().filter(|point| point.batch == 1 && !point.detects());
        for Point { network, row, .. } in converted {
            bench.convert(network, *row)?;
        }
        Ok(bench)
    }

    fn bundle(&self, network: &str) -> PathBuf {
        self.rows.join(format!("{network}.mnb"))
    }

    fn directory(&self, network: &str, row: [&str; 2]) -> PathBuf {
        self.rows.join(format!("{network}-{}", row.join("-")))
    }

    /// Exports a row and converts it, unless it was converted before.
    fn convert(&self, network: &str, row: [&str; 2]) -> Result<()> {
        let directory = self.directory(network, row);
        fs::create_dir_all(&directory)?;
        let narrow = directory.join("row.mnb");
        let mut export = Command::new(&self.mutualnet);
        export.arg("export").arg(self.bundle(network)).args(["--width", row[0], "--resolution", row[1]]);
        process::run(export.arg("-o").arg(&narrow))?;
        let mut convert = self.script("row_convert.py");
        process::run(convert.arg(&narrow).current_dir(&directory).stdout(process::to_stderr()))
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONWARNINGS", "ignore");
        command.arg(self.root.join("bench/peers").join(name));
        command
    }

    fn measure(&self, point: Point) -> Result<Measured> {
        if point.detects() {
            return self.measure_detector(point);
        }
        let directory = self.directory(point.network, point.row);
        let arithmetic = point.arithmetic;
        let mut programs =
            vec![Program::start("ours", self.ours(&point).args(["--precision", arithmetic.name()]))?];
        if arithmetic == Arithmetic::Bf16 {
            let mut ours = self.ours(&point);
            programs.push(Program::start(OURS_F32, ours.args(["--precision", "f32", "--no-winograd"]))?);
        }
        for peer in arithmetic.peers() {
            let mut script = self.script("run_row.py");
            let numbers = [point.batch, point.threads].map(|n| n.to_string());
            script.args([*peer, arithmetic.name()]).args(numbers).arg(&directory);
            programs.push(Program::start(peer, &mut script)?);
        }
        let images = self.images(&point)?;
        let mut outputs = Vec::new();
        for program in &mut programs {
            let to = directory.join(program.name);
            program.step(&format!("outputs {} {}", images.display(), to.display()))?;
            outputs.push(read(&to)?);
        }
        let mut differences = Vec::new();
        for (program, output) in programs.iter().zip(&outputs).skip(1) {
            let difference = difference(&outputs[0], output)?;
            ensure!(
                difference <= arithmetic.tolerance(),
                "{} differs from ours by {difference:e} of the largest output: {point:?}",
                program.name
            );
            differences.push((program.name, difference));
        }
        interleave(&mut programs, N_WARM_UP + N_ROUNDS)?;
        Ok(Measured::new(point, &programs, differences))
    }

    fn ours(&self, point: &Point) -> Command {
        let mut ours = Command::new(&self.mutualnet);
        ours.args(["bench", "runtime"]).arg(self.bundle(point.network));
        ours.args(["--width", point.row[0], "--resolution", point.row[1], "--lockstep"]);
        ours.args(["--batch", &point.batch.to_string(), "--threads", &point.threads.to_string()]);
        ours
    }

    /// A file with the images of a point.
    fn images(&self, point: &Point) -> Result<PathBuf> {
        let side: usize = point.row[1].parse()?;
        let path = self.rows.join("images");
        let numbers = (0..point.batch * side * side * 3).map(made_up);
        fs::write(&path, numbers.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())?;
        Ok(path)
    }

    fn conditions(&self) -> Result<serde_json::Value> {
        let modules = PACKAGES.join("', '");
        let script = format!(
            "import importlib.metadata as m, json; \
             print(json.dumps({{n: m.version(n) for n in ['torch', '{modules}']}}))"
        );
        let versions = process::output(Command::new(&self.python).args(["-c", &script]))?;
        Ok(json!({
            "processor": super::processor(),
            "instruction_sets": instruction_sets(),
            "rounds": N_ROUNDS,
            "rounds_of_detectors": detectors::N_ROUNDS,
            "versions": serde_json::from_str::<serde_json::Value>(&versions)?,
        }))
    }
}

/// Lets programs that have an image take turns for so many rounds.
fn interleave(programs: &mut [Program], n_rounds: usize) -> Result<()> {
    let once = programs[0].step("step 3")?;
    let request = format!("step {}", (TURN / once).clamp(1.0, 1000.0) as usize);
    interleave::run(programs, &vec![request; n_rounds], N_WARM_UP)
}

/// What is worth measuring on a processor with these instruction sets.
fn arithmetics(instruction_sets: &[String]) -> &'static [Arithmetic] {
    match instruction_sets.iter().any(|name| name.ends_with("bf16")) {
        true => &[Arithmetic::F32, Arithmetic::Bf16],
        false => &[Arithmetic::F32],
    }
}

/// The vector instruction sets of the processor, according to the system.
fn instruction_sets() -> Vec<String> {
    const KNOWN: [&str; 8] =
        ["avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16"];
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    let flags: Vec<_> = flags.unwrap_or_default().split_whitespace().collect();
    KNOWN.iter().filter(|known| flags.contains(known)).map(|known| (*known).to_owned()).collect()
}

/// Numbers in [-2, 2), as those of normalized images, which look random.
fn made_up(idx: usize) -> f32 {
    let mixed = (idx as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as f32 / (1 << 22) as f32 - 2.0
}

fn read(path: &Path) -> Result<Vec<f32>> {
    let bytes = fs::read(path)?;
    Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
}

/// The largest difference between two outputs, as a share of the largest number of the first.
fn difference(ours: &[f32], theirs: &[f32]) -> Result<f32> {
    ensure!(ours.len() == theirs.len(), "{} outputs where ours has {}", theirs.len(), ours.len());
    let largest = ours.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let pairs = ours.iter().zip(theirs);
    let difference = pairs.fold(0.0_f32, |largest, (a, b)| {
        let difference = (a - b).abs();
        if difference.is_nan() { f32::INFINITY } else { largest.max(difference) }
    });
    ensure!(largest > 0.0, "all our outputs are 0");
    Ok(difference / largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_of_networks_and_points() {
        let both = arithmetics(&["avx512f".to_owned(), "avx512_bf16".to_owned()]);
        let points = |args: &[&str], threads| Selection::parse(args).map(|s| s.points(threads, both));
        let n_detectors = NETWORKS.iter().filter(|network| detectors::row(network).is_some()).count();
        let n_others = NETWORKS.len() - n_detectors;
        assert_eq!(points(&[], 4).unwrap().len(), n_others * 3 * 2 * 2 * 2 + n_detectors * 2);
        assert_eq!(points(&[], 1).unwrap().len(), n_others * 3 * 2 * 2 + n_detectors);
        let of =
            |arithmetic| Point { network: "resnet18", row: ["1.0", "224"], batch: 1, threads: 1, arithmetic };
        let quick = points(&["--quick", "resnet18"], 4).unwrap();
        assert_eq!(quick, [Arithmetic::F32, Arithmetic::Bf16].map(of));
        assert!(points(&["resnet19"], 4).unwrap_err().to_string().contains("resnet18"));
        assert!(points(&["--fast"], 4).is_err());
    }

    #[test]
    fn bf16_is_measured_where_processors_multiply_it() {
        let of = |names: &[&str]| arithmetics(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>()).len();
        assert_eq!([of(&["avx2", "avx512f"]), of(&["avx512_bf16"]), of(&["asimd", "bf16"])], [1, 2, 2]);
    }

    #[test]
    fn a_difference_is_relative_and_counts_nan() {
        assert_eq!(difference(&[1.0, -4.0], &[1.0, -3.0]).unwrap(), 0.25);
        assert_eq!(difference(&[1.0, -4.0], &[f32::NAN, -4.0]).unwrap(), f32::INFINITY);
        assert!(difference(&[1.0], &[1.0, 2.0]).is_err());
        assert!(difference(&[0.0], &[0.0]).is_err());
    }

    #[test]
    fn images_look_like_normalized_ones() {
        let numbers: Vec<f32> = (0..10_000).map(made_up).collect();
        assert!(numbers.iter().all(|number| (-2.0..2.0).contains(number)));
        assert!((numbers.iter().sum::<f32>() / 10_000.0).abs() < 0.05);
    }
}
