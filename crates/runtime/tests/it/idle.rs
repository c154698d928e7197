//! What the threads of a session cost while nothing runs.
#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use mutualnet_runtime::{Convolution, Isa};

use crate::fixture::{bundle, images, model_of, session, subnet, zoo};

/// The threads of sessions in this process.
fn workers() -> BTreeSet<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().path());
    let is_ours = |name: String| "mutualnet-runtime".starts_with(name.trim());
    let ours = threads.filter(|thread| fs::read_to_string(thread.join("comm")).is_ok_and(is_ours));
    ours.map(|thread| thread.display().to_string()).collect()
}

/// The processor time of a thread.
fn time_of(thread: &str) -> Duration {
    let times = fs::read_to_string(format!("{thread}/schedstat")).unwrap();
    Duration::from_nanos(times.split_whitespace().next().unwrap().parse().unwrap())
}

#[test]
fn idle_threads_sleep() {
    let bundle = bundle(&zoo("mobilenet_v2"), &["1.0-32"]);
    let model = model_of(&bundle, Isa::choose().unwrap(), Convolution::Fast);
    let before = workers();
    let mut session = session(&model, 2);
    let input = images(8, subnet("1.0-32").input.resolution);
    session.run(&input, 8).unwrap();
    let new: Vec<_> = workers().difference(&before).cloned().collect();
    // Where tests share a process, some of these threads may be those of other tests.
    let sleeps = |thread: &String| {
        let before = time_of(thread);
        std::thread::sleep(Duration::from_millis(50));
        time_of(thread) == before
    };
    // On a busy machine a thread may be late to begin with the pass, and so to end it.
    assert!((0..100).any(|_| new.iter().any(sleeps)), "no thread sleeps after 5 seconds");
    session.run(&input, 8).unwrap();
}
