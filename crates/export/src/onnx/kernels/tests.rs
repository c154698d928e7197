//! The operators by hand, and the convolution against its definition.

use super::*;

fn tensor(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor { shape: shape.to_vec(), data: data.to_vec() }
}

/// Small whole numbers, so that sums are exact in any order.
fn whole(shape: &[usize], seed: usize) -> Tensor {
    let n = shape.iter().product();
    let data = (0..n).map(|i| ((i * 7 + seed * 13) % 11) as f32 - 5.0).collect();
    Tensor { shape: shape.to_vec(), data }
}

/// Every output from its definition, with indices that may leave the map.
fn by_definition(x: &Tensor, weight: &Tensor, bias: &[f32], (window, groups): (Window, usize)) -> Tensor {
    let [n, channels, height, width] = x.shape[..] else { panic!() };
    let [out, per_group, kh, kw] = weight.shape[..] else { panic!() };
    let Window { strides, pads, dilations, .. } = window;
    let side = |size: usize, k: usize, axis: usize| {
        (size + 2 * pads[axis] - dilations[axis] * (k - 1) - 1) / strides[axis] + 1
    };
    let [h_out, w_out] = [side(height, kh, 0), side(width, kw, 1)];
    let mut data = Vec::new();
    for (image, channel) in (0..n).flat_map(|i| (0..out).map(move |c| (i, c))) {
        let group = channel / (out / groups);
        for (row, column) in (0..h_out).flat_map(|y| (0..w_out).map(move |x| (y, x))) {
            let mut sum = bias[channel];
            for c in 0..per_group {
                for (dy, dx) in (0..kh).flat_map(|y| (0..kw).map(move |x| (y, x))) {
                    let y = (row * strides[0] + dy * dilations[0]) as isize - pads[0] as isize;
                    let z = (column * strides[1] + dx * dilations[1]) as isize - pads[1] as isize;
                    if (0..height as isize).contains(&y) && (0..width as isize).contains(&z) {
                        let place =
                            ((image * channels + group * per_group + c) * height + y as usize) * width;
                        let tap = ((channel * per_group + c) * kh + dy) * kw + dx;
                        sum += x.data[place + z as usize] * weight.data[tap];
                    }
                }
            }
            data.push(sum);
        }
    }
    Tensor { shape: vec![n, out, h_out, w_out], data }
}

#[test]
fn a_convolution_is_its_definition() {
    let dense = [1, 1];
    for (x, weight, strides, pads, dilations, groups) in [
        ([2, 3, 7, 9], [5, 3, 3, 3], [2, 2], [1, 1], dense, 1),
        ([1, 6, 5, 4], [7, 6, 1, 1], dense, [0, 0], dense, 1),
        ([2, 4, 8, 5], [4, 1, 5, 3], [1, 2], [2, 1], dense, 4),
        ([1, 2, 11, 10], [3, 2, 3, 3], dense, [4, 4], [4, 4], 1),
        ([1, 4, 3, 17], [6, 2, 3, 3], dense, [1, 1], dense, 2),
        ([1, 2, 1, 1], [9, 2, 1, 1], dense, [0, 0], dense, 1),
    ] {
        let window = Window { kernel: [weight[2], weight[3]], strides, pads, dilations };
        let (x, weight) = (whole(&x, 1), whole(&weight, 2));
        let bias: Vec<_> = (0..weight.shape[0]).map(|channel| channel as f32).collect();
        let expected = by_definition(&x, &weight, &bias, (window, groups));
        assert_eq!(conv(&x, &weight, &bias, (window, groups)), expected);
    }
}

#[test]
fn pools() {
    let x = tensor(&[1, 1, 3, 3], &[-1., -2., -3., -4., -5., -6., -7., -8., -9.]);
    let window = Window { kernel: [3, 3], strides: [2, 2], pads: [1, 1], dilations: [1, 1] };
    // Padding is no zero for the largest value, and is one for the mean.
    assert_eq!(max_pool(&x, window), tensor(&[1, 1, 2, 2], &[-1., -2., -4., -5.]));
    let means = [-12. / 9., -16. / 9., -24. / 9., -28. / 9.];
    assert_eq!(avg_pool(&x, window), tensor(&[1, 1, 2, 2], &means));
    assert_eq!(global_average_pool(&x), tensor(&[1, 1, 1, 1], &[-5.]));
}

#[test]
fn resizing() {
    let x = tensor(&[1, 1, 1, 2], &[0., 4.]);
    assert_eq!(bilinear(&x, [1, 4]), tensor(&[1, 1, 1, 4], &[0., 1., 3., 4.]));
    assert_eq!(bilinear(&x, [2, 1]), tensor(&[1, 1, 2, 1], &[2., 2.]));
    assert_eq!(nearest(&x, [1, 5]), tensor(&[1, 1, 1, 5], &[0., 0., 0., 4., 4.]));
}

#[test]
fn broadcasting() {
    let x = tensor(&[1, 2, 1, 2], &[1., 2., 3., 4.]);
    let times = |b: Tensor| broadcast(&x, &b, |a, b| a * b);
    assert_eq!(times(tensor(&[1, 2, 1, 1], &[10., 100.])).unwrap().data, [10., 20., 300., 400.]);
    assert_eq!(times(tensor(&[2, 1, 1], &[10., 100.])).unwrap().data, [10., 20., 300., 400.]);
    assert_eq!(times(tensor(&[], &[2.])).unwrap().data, [2., 4., 6., 8.]);
    assert_eq!(times(tensor(&[3], &[0.; 3])), None);
    let joined = concat_channels(&[&x, &tensor(&[1, 1, 1, 2], &[5., 6.])]).unwrap();
    assert_eq!(joined, tensor(&[1, 3, 1, 2], &[1., 2., 3., 4., 5., 6.]));
    assert_eq!(concat_channels(&[&x, &tensor(&[1, 1, 2, 1], &[5., 6.])]), None);
}
