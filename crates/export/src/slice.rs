//! Exports a row as a separate bundle: the narrow network with its part of every weight.

use std::collections::BTreeMap;
use std::ops::Range;

use mutualnet_bundle::{Bundle, BundleParts, QueryTable};
use mutualnet_core::network::ParameterSlice;
use mutualnet_core::{Subnet, Tensor, Weights};

use crate::{Error, Result};

/// The bundle that contains only this sub-network, at only its width, in every precision that the table has it in.
///
/// # Errors
/// Fails if `subnet` is not a row of the table.
pub fn slice(bundle: &Bundle, subnet: Subnet) -> Result<Bundle> {
    let rows: Vec<_> = bundle.table().rows().iter().filter(|row| row.subnet == subnet).cloned().collect();
    let Some(stats) = bundle.stats(subnet).filter(|_| !rows.is_empty()) else {
        let rows = bundle.table().subnets().collect();
        return Err(Error::NotARow { subnet, rows });
    };
    let mut table = QueryTable::new(rows)?.measuring(bundle.table().metric());
    if let Some(host) = bundle.table().host() {
        table = table.measured_on(host.clone());
    }
    let parts = BundleParts {
        task: bundle.task(),
        network: bundle.network().narrowed(subnet.width)?,
        classes: bundle.classes().to_vec(),
        preprocess: *bundle.preprocess(),
        table,
        weights: weights(bundle, subnet)?,
        stats: BTreeMap::from([(subnet, stats.clone())]),
        provenance: bundle.provenance().clone(),
    };
    Ok(Bundle::new(parts)?)
}

fn weights(bundle: &Bundle, subnet: Subnet) -> Result<Weights> {
    let slices = bundle.network().parameter_slices(subnet.width)?;
    let parameters = bundle.network().parameters().into_iter().zip(slices);
    let sliced = parameters.map(|(parameter, slice)| {
        let full = &bundle.weights()[&parameter.name];
        (parameter.name, part(full, slice))
    });
    Ok(sliced.collect())
}

/// The part of a tensor that a width uses.
fn part(full: &Tensor, ParameterSlice { shape, blocks }: ParameterSlice) -> Tensor {
    if blocks.is_empty() {
        return prefix(full, shape);
    }
    let channel: usize = full.shape[2..].iter().product();
    let output = full.shape[1] * channel;
    let outputs = full.data.chunks_exact(output).take(shape[0]);
    let block =
        |output: &[f32], block: &Range<usize>| output[block.start * channel..block.end * channel].to_vec();
    let data = outputs.flat_map(|output| blocks.iter().flat_map(move |range| block(output, range)));
    Tensor { data: data.collect(), shape }
}

/// The first `shape[i]` entries along every axis `i`.
fn prefix(full: &Tensor, shape: Vec<usize>) -> Tensor {
    let mut data = Vec::with_capacity(shape.iter().product());
    copy_prefix(&full.data, &full.shape, &shape, &mut data);
    Tensor { shape, data }
}

fn copy_prefix(full: &[f32], full_shape: &[usize], shape: &[usize], into: &mut Vec<f32>) {
    if full_shape[1..] == shape[1..] {
        let stride: usize = shape[1..].iter().product();
        into.extend_from_slice(&full[..shape[0] * stride]);
        return;
    }
    let stride = full.len() / full_shape[0];
    for part in full.chunks_exact(stride).take(shape[0]) {
        copy_prefix(part, &full_shape[1..], &shape[1..], into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_along_every_axis() {
        let full = Tensor { shape: vec![3, 4, 2], data: (0..24).map(|n| n as f32).collect() };
        for (shape, data) in [
            (vec![2, 3, 2], vec![0., 1., 2., 3., 4., 5., 8., 9., 10., 11., 12., 13.]),
            (vec![1, 4, 2], vec![0., 1., 2., 3., 4., 5., 6., 7.]),
            (vec![3, 1, 1], vec![0., 8., 16.]),
        ] {
            assert_eq!(prefix(&full, shape.clone()), Tensor { shape, data });
        }
        let blocks = ParameterSlice { shape: vec![2, 3, 2], blocks: vec![0..1, 2..4] };
        let data = vec![0., 1., 4., 5., 6., 7., 8., 9., 12., 13., 14., 15.];
        assert_eq!(part(&full, blocks), Tensor { shape: vec![2, 3, 2], data });
        let line = Tensor { shape: vec![4], data: vec![1., 2., 3., 4.] };
        assert_eq!(prefix(&line, vec![2]).data, [1., 2.]);
        assert_eq!(prefix(&line, vec![4]), line);
    }
}
