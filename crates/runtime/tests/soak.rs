//! A hundred thousand runs: the memory of the process stays what it was. It is alone in its process, which is measured.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![cfg(target_os = "linux")]

use std::num::NonZeroUsize;
use std::sync::Arc;

use mutualnet_core::Subnet;
use mutualnet_runtime::{Model, Session};

const ROWS: [&str; 4] = ["1.0-16", "0.75-12", "0.5-16", "0.25-8"];
const RUNS: usize = 100_000;
const LARGEST_BATCH: usize = 8;

/// Resident memory of this process in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn memory_is_flat_over_random_rows_and_batches() {
    let rows: Vec<Subnet> = ROWS.map(|row| row.parse().unwrap()).to_vec();
    let bundle = mutualnet_testkit::bundle(mutualnet_testkit::small_network(), &rows);
    let model = Arc::new(Model::new(&bundle).unwrap());
    let mut session = Session::new(model, NonZeroUsize::new(2).unwrap()).unwrap();
    let image = vec![0.5; LARGEST_BATCH * 16 * 16 * 3];
    let mut state = 1_u64;
    let mut draw = |n: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let mut after_warm_up = 0;
    for run in 0..RUNS {
        // By then every row has had its largest batch.
        if run == RUNS / 10 {
            after_warm_up = resident();
        }
        session.switch(rows[draw(rows.len())]).unwrap();
        let n = 1 + draw(LARGEST_BATCH);
        if draw(10) == 0 {
            // Sizes that no row has: layouts are made for them and forgotten again.
            let size = [8 + draw(9), 8 + draw(9)];
            session.run_at(&image[..n * size[0] * size[1] * 3], n, size).unwrap();
        } else {
            let len = n * session.input_len();
            session.run(&image[..len], n).unwrap();
        }
    }
    let grown = resident().saturating_sub(after_warm_up);
    assert!(grown <= 256 << 10, "{grown} bytes more after {RUNS} runs");
}
