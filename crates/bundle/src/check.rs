//! Checks that the parts of a bundle fit together; no other place decides this.

use mutualnet_core::network::{AvgPool, Conv, List, MaxPool, NodeId, Op, Rank, TransposedConv};
use mutualnet_core::{ClipSampling, InputSize, Network, Subnet, Weights, Width};

use crate::parts::{norm_paths, stats_names};
use crate::{BundleParts, Error, Result, Row};

/// Most MACs of a row: above this, the sum over all nodes could overflow.
const MAX_MACS: f64 = (1_u64 << 60) as f64;

/// Checks everything; this is cheap compared with reading the numbers.
pub(crate) fn parts(parts: &BundleParts) -> Result<()> {
    parts.task.check(&parts.network)?;
    let metric = parts.task.metric();
    if parts.table.metric() != metric {
        return Err(Error::Metric { task: parts.task, expected: metric, got: parts.table.metric() });
    }
    let expected = parts.network.classes();
    if parts.classes.len() != expected {
        return Err(Error::Classes { expected, got: parts.classes.len() });
    }
    preprocess(parts)?;
    weights(&parts.network, &parts.weights)?;
    for row in parts.table.rows() {
        fits(parts, row)?;
        stats(parts, row.subnet)?;
    }
    match parts.stats.keys().find(|subnet| parts.table.row(**subnet).is_none()) {
        Some(&subnet) => Err(Error::Stats { subnet, expected: 0, got: Some(parts.stats[&subnet].len()) }),
        None => Ok(()),
    }
}

fn preprocess(parts: &BundleParts) -> Result<()> {
    let fails = |source| Err(Error::Preprocess { source });
    if let Err(source) = parts.preprocess.check() {
        return fails(source);
    }
    let reason = match (parts.network.rank(), parts.preprocess.clip) {
        (Rank::Clip, None) => Some("is missing, and the network reads clips".to_owned()),
        (Rank::Image, Some(_)) => Some("is there, but the network reads images".to_owned()),
        (_, Some(clip)) => unlike_whole(parts, clip),
        _ => None,
    };
    match reason {
        Some(reason) => fails(mutualnet_core::Error::Preprocess { key: "clip", reason, hint: None }),
        None => Ok(()),
    }
}

/// How a clip differs from that which the network reads whole, if it reads one.
fn unlike_whole(parts: &BundleParts, clip: ClipSampling) -> Option<String> {
    let [frames, side] = [clip.frames.get(), parts.preprocess.crop.get()];
    let [t, h, w] = parts.network.whole_clip().filter(|&whole| whole != [frames, side, side])?;
    Some(format!("has {frames} frames of {side}×{side} pixels, and the network reads {t} of {h}×{w}"))
}

fn weights(network: &Network, weights: &Weights) -> Result<()> {
    let parameters = network.parameters();
    let shapes = network.parameter_shapes(network.widths().full())?;
    for (parameter, expected) in parameters.iter().zip(shapes) {
        let name = &parameter.name;
        let tensor = weights.get(name).ok_or_else(|| Error::Missing { name: name.clone() })?;
        if tensor.shape != expected || tensor.data.len() != expected.iter().product::<usize>() {
            return Err(Error::Shape { name: name.clone(), expected, got: tensor.shape.clone() });
        }
        numbers(name, &tensor.data, f32::NEG_INFINITY)?;
    }
    if weights.len() > parameters.len() {
        let known: std::collections::BTreeSet<_> = parameters.iter().map(|p| p.name.as_str()).collect();
        let extra = weights.keys().find(|name| !known.contains(name.as_str()));
        let name = extra.expect("there are more weights than parameters").clone();
        return Err(Error::Unexpected { name });
    }
    Ok(())
}

fn numbers(name: &str, numbers: &[f32], lowest: f32) -> Result<()> {
    match numbers.iter().position(|number| !number.is_finite() || *number < lowest) {
        None => Ok(()),
        Some(index) => {
            let allowed =
                if lowest == 0.0 { "it must be finite and not negative" } else { "it must be finite" };
            Err(Error::Number { name: name.to_owned(), index, value: numbers[index], allowed })
        }
    }
}

fn fits(parts: &BundleParts, row: &Row) -> Result<()> {
    let wrong = |reason: String| Err(Error::Row { name: row.name(), reason });
    if row.subnet.input.resolution > parts.preprocess.crop {
        return wrong(format!("its resolution is above the crop of {} pixels", parts.preprocess.crop));
    }
    let InputSize { frames, .. } = row.subnet.input;
    if let Some(clip) = parts.preprocess.clip.filter(|clip| frames > clip.frames) {
        return wrong(format!("it has more frames than a clip, which has {}", clip.frames));
    }
    if most_macs(&parts.network, row.subnet)? > MAX_MACS {
        return wrong("the network is too large to compute with".to_owned());
    }
    let macs = parts.network.macs(row.subnet)?;
    if macs != row.macs {
        return wrong(format!("the table says {} MACs, but the network needs {}", row.macs.0, macs.0));
    }
    Ok(())
}

/// An upper bound on MACs that cannot overflow, whatever the file says: padding may enlarge the input at every layer.
fn most_macs(network: &Network, subnet: Subnet) -> Result<f64> {
    let channels = network.channels(subnet.width)?;
    let side = subnet.input.resolution.get();
    let mut extent = [subnet.input.frames.get(), side, side].map(f64::from);
    let mut per_position = 0.0;
    let times = |idx| network.lists().iter().find(|list| list.contains(NodeId(idx))).and_then(List::regions);
    for size in network.nodes().iter().filter_map(|node| match node.op {
        Op::Input { size, .. } => size,
        _ => None,
    }) {
        extent = [0, 1, 2].map(|axis| extent[axis].max(f64::from(size[axis])));
    }
    for (idx, (node, &out)) in network.nodes().iter().zip(&channels).enumerate() {
        let mut weights = 1.0;
        if let Op::Conv(Conv { kernel, padding, .. })
        | Op::MaxPool(MaxPool { kernel, padding, .. })
        | Op::AvgPool(AvgPool { kernel, padding, .. }) = &node.op
        {
            for (extent, &padding) in extent.iter_mut().zip(padding) {
                *extent += 2.0 * f64::from(padding);
            }
            weights = kernel.iter().map(|&n| f64::from(n)).product();
        }
        if let Op::TransposedConv(TransposedConv { kernel, stride, output_padding, .. }) = &node.op {
            for (axis, extent) in extent.iter_mut().enumerate() {
                *extent = *extent * f64::from(stride[axis]) + f64::from(kernel[axis] + output_padding[axis]);
            }
            weights = kernel.iter().map(|&n| f64::from(n)).product();
        }
        let inputs: f64 = node.inputs.iter().map(|input| channels[input.0] as f64).sum();
        per_position += weights * inputs.max(1.0) * out as f64 * f64::from(times(idx).unwrap_or(1));
    }
    Ok(per_position * extent.iter().product::<f64>())
}

fn stats(parts: &BundleParts, subnet: Subnet) -> Result<()> {
    let channels = norm_channels(&parts.network, subnet.width)?;
    let row = parts.stats.get(&subnet);
    let Some(row) = row.filter(|row| row.len() == channels.len()) else {
        return Err(Error::Stats { subnet, expected: channels.len(), got: row.map(Vec::len) });
    };
    for ((path, stats), channels) in norm_paths(&parts.network).zip(row).zip(channels) {
        let names = stats_names(subnet, path);
        let lowest = [f32::NEG_INFINITY, 0.0];
        for ((name, data), lowest) in names.into_iter().zip([&stats.mean, &stats.var]).zip(lowest) {
            if data.len() != channels {
                return Err(Error::Shape { name, expected: vec![channels], got: vec![data.len()] });
            }
            numbers(&name, data, lowest)?;
        }
    }
    Ok(())
}

fn norm_channels(network: &Network, width: Width) -> Result<Vec<usize>> {
    let channels = network.channels(width)?;
    Ok(network.batch_norms().map(|id| channels[id.0]).collect())
}

#[cfg(test)]
mod tests {
    use mutualnet_core::WidthRange;
    use mutualnet_core::network::{ChannelRule, Conv, Groups, NetworkBuilder, Rank};

    use super::*;

    /// A chain of depthwise convolutions with 65536 channels.
    fn chain(n_convs: usize, kernel: u32, padding: u32) -> Network {
        let mut net =
            NetworkBuilder::new("chain", Rank::Image, WidthRange::new(Width::ONE, Width::ONE).unwrap());
        let mut x = net.input(1 << 16);
        for idx in 0..n_convs {
            let out = ChannelRule::whole(1 << 16);
            let (kernel, padding) = ([kernel; 3], [padding; 3]);
            let dilation = Conv::NO_DILATION;
            let conv = Conv {
                out,
                kernel,
                stride: [1; 3],
                padding,
                dilation,
                groups: Groups::Depthwise,
                bias: false,
            };
            x = net.conv(&idx.to_string(), x, conv);
        }
        let x = net.global_pool("pool", x);
        net.linear("fc", x, 2);
        net.finish().unwrap()
    }

    #[test]
    fn the_bound_is_above_the_macs_and_never_overflows() {
        let subnet: Subnet = "1.0-32".parse().unwrap();
        let net = chain(3, 3, 1);
        let macs = net.macs(subnet).unwrap().as_f64();
        let bound = most_macs(&net, subnet).unwrap();
        assert!(macs <= bound && bound < MAX_MACS, "{macs} {bound}");
        assert!(most_macs(&chain(9000, 64, 63), subnet).unwrap() > MAX_MACS);
    }

    /// Transposed convolutions, each of which makes its input 64 times as large.
    #[test]
    fn the_bound_counts_what_grows_and_what_has_a_size_of_its_own() {
        let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
        let enlarging = |n_convs: usize, size| {
            let mut net = NetworkBuilder::new("up", Rank::Image, widths);
            let mut x = net.stream("input", 1, size);
            for idx in 0..n_convs {
                let conv = TransposedConv {
                    out: ChannelRule::whole(1),
                    kernel: [1, 64, 64],
                    stride: [1, 64, 64],
                    padding: [0; 3],
                    output_padding: [0, 63, 63],
                    bias: false,
                };
                x = net.transposed_conv(&idx.to_string(), x, conv);
            }
            net.finish().unwrap()
        };
        let subnet: Subnet = "1.0-32".parse().unwrap();
        for net in [enlarging(2, None), enlarging(1, Some([1, 500, 700]))] {
            let macs = net.macs(subnet).unwrap().as_f64();
            let bound = most_macs(&net, subnet).unwrap();
            assert!(macs <= bound && bound < MAX_MACS, "{macs} {bound}");
        }
        assert!(most_macs(&enlarging(9000, None), subnet).unwrap() > MAX_MACS);
    }
}
