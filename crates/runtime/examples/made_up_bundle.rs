//! Writes a bundle of any network with made-up weights, for benchmarks of the run side, which need no trained ones.
//!
//! usage: `made_up_bundle NETWORK FILE ROW...`, for example `made_up_bundle mobilenet_v2 v2.mnb 1.0-224 0.25-128`
//!
//! A network that classifies gets 1000 classes, and one that segments 21, as those of torchvision have.

use std::error::Error;
use std::path::Path;

use mutualnet_bundle::Bundle;
use mutualnet_core::{Subnet, Task, Width, WidthRange};
use mutualnet_zoo::NetworkConfig;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [name, file, rows @ ..] = &args[..] else {
        return Err("usage: made_up_bundle NETWORK FILE ROW...".into());
    };
    let rows = rows.iter().map(|row| row.parse()).collect::<Result<Vec<Subnet>, _>>()?;
    let smallest = rows.iter().map(|row| row.width).min().ok_or("name at least one row")?;
    let widths = WidthRange::new(smallest, Width::ONE)?;
    let build = |classes| mutualnet_zoo::build(name, &NetworkConfig { classes, widths, output_stride: None });
    let classifier = build(1000)?;
    let task = Task::ALL.into_iter().find(|task| task.check(&classifier).is_ok());
    let task = task.ok_or("the network has no known task")?;
    let network = if task == Task::Segment { build(21)? } else { classifier };
    let mut parts = mutualnet_testkit::parts(network, &rows);
    (parts.task, parts.table) = (task, parts.table.measuring(task.metric()));
    Bundle::new(parts)?.write(Path::new(file))?;
    Ok(())
}
