//! Writes a bundle of any network with made-up weights, for benchmarks of the run side, which need no trained ones.
//!
//! usage: `made_up_bundle NETWORK FILE ROW...`, for example `made_up_bundle mobilenet_v2 v2.mnb 1.0-224 0.25-128`
//!
//! A network that classifies gets 1000 classes, one that segments 21, and a detector 91, as those of torchvision have.

use std::error::Error;
use std::path::Path;

use mutualnet_bundle::{Bundle, BundleParts};
use mutualnet_core::network::{Op, Output};
use mutualnet_core::{Subnet, Task, Width, WidthRange};
use mutualnet_zoo::{NetworkConfig, Purpose};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [name, file, rows @ ..] = &args[..] else {
        return Err("usage: made_up_bundle NETWORK FILE ROW...".into());
    };
    let rows = rows.iter().map(|row| row.parse()).collect::<Result<Vec<Subnet>, _>>()?;
    let smallest = rows.iter().map(|row| row.width).min().ok_or("name at least one row")?;
    let widths = WidthRange::new(smallest, Width::ONE)?;
    let build = |classes| {
        let config = NetworkConfig { classes, widths, output_stride: None };
        mutualnet_zoo::build_for(Purpose::Inference, name, &config)
    };
    let classifier = build(1000)?;
    let task = Task::ALL.into_iter().find(|task| task.check(&classifier).is_ok());
    let task = task.ok_or("the network has no known task")?;
    let network = match task {
        Task::Segment => build(21)?,
        Task::Detect => build(91)?,
        _ => classifier,
    };
    let mut parts = mutualnet_testkit::parts(network, &rows);
    (parts.task, parts.table) = (task, parts.table.measuring(task.metric()));
    shrink_branches(&mut parts);
    shrink_answers(&mut parts);
    Bundle::new(parts)?.write(Path::new(file))?;
    Ok(())
}

/// Makes the batch norms in front of sums small, as training does. The numbers would otherwise grow from block to block, and
/// a swish of large negative ones is denormal, with which processors compute slowly.
fn shrink_branches(parts: &mut BundleParts) {
    let nodes = parts.network.nodes();
    let sums = nodes.iter().filter(|node| node.op == Op::Add);
    let branches = sums.filter_map(|sum| {
        let mut inputs = sum.inputs.iter().map(|input| &nodes[input.0]);
        inputs.find(|input| matches!(input.op, Op::BatchNorm(_)))
    });
    let paths: Vec<_> = branches.map(|branch| branch.path.clone()).collect();
    shrink(parts, &paths, 0.2);
}

/// Makes the codes of boxes and their scores small, as training does, so that a detector's boxes look like those of objects, and
/// one is surer than the other: which of equally sure ones come first differs between programs.
fn shrink_answers(parts: &mut BundleParts) {
    let outputs = parts.network.outputs().iter();
    let kinds = [Output::CODES, Output::BOXES, Output::SCORES, Output::OBJECTS];
    let answers = outputs.filter(|output| kinds.iter().any(|kind| output.name.starts_with(kind)));
    let mut paths: Vec<_> = answers.map(|output| parts.network.node(output.node).path.clone()).collect();
    // The maps of all levels may share their weights.
    paths.dedup();
    shrink(parts, &paths, 0.1);
}

fn shrink(parts: &mut BundleParts, paths: &[String], factor: f32) {
    for path in paths {
        for name in ["weight", "bias"].map(|of| format!("{path}.{of}")) {
            if let Some(tensor) = parts.weights.get_mut(&name) {
                tensor.data.iter_mut().for_each(|number| *number *= factor);
            }
        }
    }
}
