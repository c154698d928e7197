//! Two processes on this machine that train together, as a launcher starts them, and what happens if one is killed.

use std::net::TcpListener;
use std::process::{Child, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::program::Program;
use crate::train::RECIPE;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn program() -> Program {
    let program = Program::new().with_shapes();
    std::fs::write(program.path("recipe.toml"), RECIPE).unwrap();
    program
}

/// Starts two processes with the variables of a launcher.
fn start(program: &Program, args: &[&str]) -> [Child; 2] {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    ["0", "1"].map(|rank| {
        let mut command = program.command(args);
        command.envs([("RANK", rank), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1")]);
        command.env("MASTER_PORT", port.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    })
}

/// The status and stderr of a process that ends in time.
fn end(mut child: Child) -> (Option<i32>, String) {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        sleep(Duration::from_millis(20));
    }
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

/// Waits until a run has taken so many steps.
fn wait_for_steps(program: &Program, steps: usize) {
    let begun = Instant::now();
    let taken = || std::fs::read_to_string(program.path("run/events.jsonl")).unwrap_or_default();
    // Events reach the file with the checkpoints, of which there is one per epoch.
    while taken().matches("\"event\":\"step\"").count() < steps {
        assert!(begun.elapsed() < PATIENCE, "no steps: {}", taken());
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn two_processes_train_one_run() {
    let program = program();
    let [first, second] = start(&program, &["train", "recipe.toml", "--out", "run"]).map(end);
    assert_eq!((first.0, second.0), (Some(0), Some(0)), "{}\n{}", first.1, second.1);
    assert!(first.1.contains("next: mutualnet tabulate run"), "{}", first.1);
    assert_eq!(second.1, "");
    let [first, second] = start(&program, &["tabulate", "run"]).map(end);
    assert_eq!((first.0, second.0), (Some(0), Some(0)), "{}\n{}", first.1, second.1);
    assert!(first.1.contains("4 rows, "), "{}", first.1);
    assert_eq!(second.1, "");
}

#[test]
fn a_run_outlives_each_of_its_processes() {
    let program = program();
    let args = ["train", "recipe.toml", "--out", "run", "--resume", "train.epochs=200"];
    for (round, killed) in [1, 0, 1].into_iter().enumerate() {
        let mut processes = start(&program, &args);
        wait_for_steps(&program, 6 * (round + 1));
        processes[killed].kill().unwrap();
        let [first, second] = processes.map(end);
        let (killed_one, (status, told)) = if killed == 0 { (first, second) } else { (second, first) };
        assert_eq!(killed_one.0, None, "{}", killed_one.1);
        assert_eq!(status, Some(1), "{told}");
        assert!(told.contains(&format!("process {killed} is gone or does not answer")), "{told}");
        assert!(told.contains("hint: see what that process said last"), "{told}");
    }
    let kept = std::fs::read_dir(program.path("run/checkpoints")).unwrap().count();
    assert!(kept > 0);
}
