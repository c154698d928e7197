//! Compares convolution, pooling, resizing, linear and elementwise operations with plain loops.

use super::{CPU, assert_close, noise, random, values};
use crate::{Activation, ConvGeometry, Filter, PoolGeometry, Tensor, TransposedGeometry};

/// Convolution by its definition, for square strides and paddings.
fn naive_convolution(
    input: &Tensor,
    weight: &Tensor,
    stride: usize,
    padding: usize,
    groups: usize,
) -> Vec<f32> {
    let [n, c, h, w]: [usize; 4] = input.shape().try_into().unwrap();
    let [c_out, c_group, kh, kw]: [usize; 4] = weight.shape().try_into().unwrap();
    let (x, k) = (values(input), values(weight));
    let (oh, ow) = ((h + 2 * padding - kh) / stride + 1, (w + 2 * padding - kw) / stride + 1);
    let mut out = vec![0.0; n * c_out * oh * ow];
    for (at, sum) in out.iter_mut().enumerate() {
        let (ox, oy, o, b) = (at % ow, at / ow % oh, at / (ow * oh) % c_out, at / (ow * oh * c_out));
        for tap in 0..c_group * kh * kw {
            let (kx, ky, i) = (tap % kw, tap / kw % kh, tap / (kw * kh));
            let channel = o / (c_out / groups) * c_group + i;
            let (y, col) = (oy * stride + ky, ox * stride + kx);
            let inside = (padding..padding + h).contains(&y) && (padding..padding + w).contains(&col);
            if inside {
                *sum += x[((b * c + channel) * h + y - padding) * w + col - padding]
                    * k[o * c_group * kh * kw + tap];
            }
        }
    }
    out
}

#[test]
fn convolutions_equal_the_definition() {
    for (c_in, c_out, kernel, stride, padding, groups) in
        [(3, 8, 3, 2, 1, 1), (8, 16, 1, 1, 0, 1), (8, 8, 3, 1, 1, 8), (8, 8, 3, 2, 1, 8), (6, 9, 3, 1, 1, 3)]
    {
        let input = random(&[2, c_in, 9, 7], 1);
        let weight = random(&[c_out, c_in / groups, kernel, kernel], 2);
        let (stride2, padding2) = ([stride; 2], [padding; 2]);
        let geometry = ConvGeometry { stride: &stride2, padding: &padding2, dilation: &[1, 1], groups };
        let output = input.convolution(&weight, None, &geometry).unwrap();
        assert!(output.is_channels_last());
        assert_close(&values(&output), &naive_convolution(&input, &weight, stride, padding, groups), 1e-5);
    }
}

/// They are computed from the positions that they see; see `is_faulty`, whose test says which layers these are.
///
/// What oneDNN's own gradient writes beyond its memory cannot be tested: most often nothing comes of it.
#[test]
fn strided_points_of_few_channels_have_the_gradient_of_the_definition() {
    const SIDE: usize = 8;
    let input = random(&[2, 8, SIDE, SIDE], 1).require_grad().unwrap();
    let weight = random(&[8, 8, 1, 1], 2);
    let geometry = ConvGeometry { stride: &[2, 2], padding: &[0, 0], dilation: &[1, 1], groups: 1 };
    let output = input.convolution(&weight, None, &geometry).unwrap();
    assert!(output.is_channels_last());
    output.sum().unwrap().backward().unwrap();
    // Every position that is seen passes on the sum of the weights that read its channel.
    let weight = values(&weight);
    let sums: Vec<f32> = (0..8).map(|c| (0..8).map(|out| weight[out * 8 + c]).sum()).collect();
    let is_seen = |at: usize| (at / SIDE).is_multiple_of(2) && (at % SIDE).is_multiple_of(2);
    let gradient = values(&input.grad().unwrap().unwrap());
    for (plane, values) in gradient.chunks_exact(SIDE * SIDE).enumerate() {
        let expected = |at| if is_seen(at) { sums[plane % 8] } else { 0.0 };
        assert!(values.iter().enumerate().all(|(at, value)| (value - expected(at)).abs() < 1e-4));
    }
}

/// A clip kernel with taps along some of the axes, widened with zeros so that it has three along each of them.
fn widened(weight: &Tensor) -> Tensor {
    let [c_out, c_group, kernel @ ..]: [usize; 5] = weight.shape().try_into().unwrap();
    let offset = kernel.map(|taps| usize::from(taps == 1));
    let from = values(weight);
    let mut to = vec![0.0; c_out * c_group * 27];
    for (at, value) in from.iter().enumerate() {
        let (x, y) = (at % kernel[2], at / kernel[2] % kernel[1]);
        let (t, channel) = (at / (kernel[2] * kernel[1]) % kernel[0], at / kernel.iter().product::<usize>());
        to[channel * 27 + (t + offset[0]) * 9 + (y + offset[1]) * 3 + x + offset[2]] = *value;
    }
    Tensor::from_slice(&to, &[c_out, c_group, 3, 3, 3]).unwrap()
}

#[test]
fn kernels_along_some_axes_of_clips_equal_wider_ones() {
    for (kernel, stride, groups) in [
        ([1, 3, 3], [1, 2, 2], 1),
        ([1, 3, 3], [1, 1, 1], 8),
        ([1, 1, 1], [1, 2, 2], 1),
        ([3, 1, 1], [1, 1, 1], 1),
        ([3, 1, 1], [2, 1, 1], 8),
        ([3, 3, 3], [2, 1, 1], 1),
    ] {
        let weight = random(&[&[16, 8 / groups][..], &kernel].concat(), 2);
        let padding = kernel.map(|taps| taps / 2);
        let of = |weight: &Tensor, padding: &[usize]| {
            let input = random(&[2, 8, 5, 6, 7], 1).require_grad().unwrap();
            let geometry = ConvGeometry { stride: &stride, padding, dilation: &[1; 3], groups };
            let output = input.convolution(weight, None, &geometry).unwrap();
            assert!(output.is_channels_last());
            output.multiply(&random(&output.shape(), 3)).unwrap().sum().unwrap().backward().unwrap();
            [values(&output), values(&input.grad().unwrap().unwrap())]
        };
        let (narrow, wide) = (of(&weight, &padding), of(&widened(&weight), &[1; 3]));
        for (narrow, wide) in narrow.iter().zip(&wide) {
            assert_close(narrow, wide, 1e-5);
        }
    }
}

/// `⟨conv(x), y⟩ = ⟨x, transposed(y)⟩` for every y, which defines it.
#[test]
fn a_transposed_convolution_is_the_transpose() {
    for (kernel, stride, padding) in [(2, 2, 0), (3, 2, 1), (3, 1, 1), (4, 3, 1)] {
        let x = random(&[2, 3, 11, 8], 1);
        let weight = random(&[5, 3, kernel, kernel], 2);
        let (stride2, padding2) = ([stride; 2], [padding; 2]);
        let geometry = ConvGeometry { stride: &stride2, padding: &padding2, dilation: &[1, 1], groups: 1 };
        let convolved = x.convolution(&weight, None, &geometry).unwrap();
        let y = random(&convolved.shape(), 3);
        // What the convolution did not reach at the end of each axis.
        let rest = [11, 8].map(|side| (side + 2 * padding - kernel) % stride);
        let geometry = TransposedGeometry { stride: &stride2, padding: &padding2, output_padding: &rest };
        let back = y.transposed_convolution(&weight, None, &geometry).unwrap();
        assert_eq!(back.shape(), x.shape());
        assert!(back.is_channels_last());
        let dot = |a: &Tensor, b: &Tensor| a.multiply(b).unwrap().sum().unwrap().scalar().unwrap();
        assert_close(&[dot(&convolved, &y) as f32], &[dot(&x, &back) as f32], 1e-4);
    }
}

#[test]
fn a_bias_is_added_per_channel() {
    let (input, weight) = (random(&[1, 2, 3, 3], 1), random(&[2, 2, 1, 1], 2));
    let bias = Tensor::from_slice(&[10.0, 20.0], &[2]).unwrap();
    let geometry = ConvGeometry { stride: &[1, 1], padding: &[0, 0], dilation: &[1, 1], groups: 1 };
    let with = values(&input.convolution(&weight, Some(&bias), &geometry).unwrap());
    let mut without = values(&input.convolution(&weight, None, &geometry).unwrap());
    without.iter_mut().enumerate().for_each(|(i, v)| *v += if i < 9 { 10.0 } else { 20.0 });
    assert_close(&with, &without, 1e-6);
}

#[test]
fn a_clip_of_one_frame_is_an_image() {
    let (input, weight) = (random(&[2, 3, 6, 5], 1), random(&[4, 3, 3, 3], 2));
    let image = ConvGeometry { stride: &[1, 1], padding: &[1, 1], dilation: &[1, 1], groups: 1 };
    let clip = ConvGeometry { stride: &[1; 3], padding: &[0, 1, 1], dilation: &[1; 3], groups: 1 };
    let flat = input.convolution(&weight, None, &image).unwrap();
    let deep = input.reshape(&[2, 3, 1, 6, 5]).unwrap().channels_last().unwrap();
    let deep = deep.convolution(&weight.reshape(&[4, 3, 1, 3, 3]).unwrap(), None, &clip).unwrap();
    assert_eq!(deep.shape(), [2, 4, 1, 6, 5]);
    assert_close(&values(&deep), &values(&flat), 1e-5);
}

#[test]
fn pooling_averages_every_position() {
    let pooled = Tensor::from_slice(&[1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 0.0, 8.0], &[1, 2, 2, 2]).unwrap();
    let pooled = pooled.channels_last().unwrap().global_average().unwrap();
    assert_eq!(pooled.shape(), [1, 2, 1, 1]);
    assert_eq!(values(&pooled), [3.0, 2.0]);
}

#[test]
fn linear_is_a_matrix_product() {
    let x = Tensor::from_slice(&[1.0, 2.0], &[1, 2]).unwrap();
    let w = Tensor::from_slice(&[3.0, 4.0, 5.0, 6.0], &[2, 2]).unwrap();
    let b = Tensor::from_slice(&[0.5, -0.5], &[2]).unwrap();
    assert_eq!(values(&x.linear(&w, Some(&b)).unwrap()), [11.5, 16.5]);
    assert_eq!(values(&x.linear(&w, None).unwrap()), [11.0, 17.0]);
}

#[test]
fn activations_clip() {
    let x = Tensor::from_slice(&[-1.0, 0.5, 7.0], &[3]).unwrap();
    assert_eq!(values(&x.relu().unwrap()), [0.0, 0.5, 7.0]);
    assert_eq!(values(&x.relu6().unwrap()), [0.0, 0.5, 6.0]);
    assert_eq!(values(&x.add(&x).unwrap()), [-2.0, 1.0, 14.0]);
    assert_eq!(values(&x.multiply(&x).unwrap()), [1.0, 0.25, 49.0]);
    assert_eq!(values(&x.scale(2.0).unwrap()), [-2.0, 1.0, 14.0]);
    assert_eq!(x.sum().unwrap().scalar().unwrap(), 6.5);
}

#[test]
fn resizing_interpolates_between_aligned_corners() {
    let row = Tensor::from_slice(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &[1, 1, 2, 3]).unwrap();
    let resized = row.channels_last().unwrap().resize_bilinear(3).unwrap();
    assert_close(&values(&resized), &[0.0, 1.0, 2.0, 1.5, 2.5, 3.5, 3.0, 4.0, 5.0], 1e-6);
    let photo = random(&[2, 3, 8, 8], 1);
    assert!(photo.resize_bilinear(5).unwrap().is_channels_last());
    assert_eq!(values(&photo.resize_bilinear(8).unwrap()), values(&photo));
}

/// Three channels use our own kernel, and a single one uses libtorch's.
#[test]
fn three_channels_are_resized_as_single_ones() {
    let (n, from) = (2, [33, 21]);
    let photos = random(&[n, 3, from[0], from[1]], 1);
    let planes = Tensor::from_slice(&values(&photos), &[3 * n, 1, from[0], from[1]]).unwrap();
    let sides = [1, 2, 20, 21, 32, 33, 70];
    for (&side, resized) in
        sides.iter().zip(photos.resize_bilinear_all(&sides.map(|side| [side; 2])).unwrap())
    {
        assert_eq!(resized.shape(), [n, 3, side, side]);
        assert!(resized.is_channels_last());
        assert_close(&values(&resized), &values(&planes.resize_bilinear(side).unwrap()), 1e-5);
    }
    let square = random(&[1, 3, 9, 9], 2);
    let [small, same] = &square.resize_bilinear_all(&[[4, 4], [9, 9]]).unwrap()[..] else {
        panic!("two sizes")
    };
    assert_eq!((small.shape(), values(same)), (vec![1, 3, 4, 4], values(&square)));
}

/// Output frame `i` of `n` is frame `⌊i · T ÷ n⌋`, and so along height and width.
#[test]
fn clips_are_resized_to_the_nearest_pixel_of_the_nearest_frame() {
    let from = [7, 4, 5];
    let numbers: Vec<f32> = (0..2 * 140).map(|n| n as f32).collect();
    let clip = Tensor::from_slice(&numbers, &[1, 2, 7, 4, 5]).unwrap();
    for to in [[3, 8, 2], [4, 3, 7], [7, 4, 5], [10, 2, 5]] {
        let resized = clip.channels_last().unwrap().resize_to(&to, Filter::Nearest).unwrap();
        let mut expected = Vec::new();
        for n in 0..2 * to.iter().product::<usize>() {
            let place = [n / (to[1] * to[2]) % to[0], n / to[2] % to[1], n % to[2]];
            let [t, y, x] = [0, 1, 2].map(|axis| place[axis] * from[axis] / to[axis]);
            let c = n / to.iter().product::<usize>();
            expected.push(numbers[((c * from[0] + t) * from[1] + y) * from[2] + x]);
        }
        assert_eq!((resized.shape(), values(&resized)), ([&[1, 2], &to[..]].concat(), expected));
    }
    assert!(clip.resize_to(&[7, 4], Filter::Nearest).is_err());
    assert!(clip.resize_to(&[3, 4, 5], Filter::Bilinear).is_err());
}

#[test]
fn images_of_any_aspect_are_resized() {
    let photo = random(&[1, 3, 9, 12], 2);
    let [resized, same] = &photo.resize_bilinear_all(&[[6, 8], [9, 12]]).unwrap()[..] else { panic!("two") };
    assert_eq!((resized.shape(), values(same)), (vec![1, 3, 6, 8], values(&photo)));
    // The corners are those of the image.
    let last = |tensor: &Tensor| tensor.contiguous().unwrap().to_vec_f32().unwrap().pop().unwrap();
    assert!((last(resized) - last(&photo)).abs() < 1e-6);
}

#[test]
fn pixels_become_rows() {
    let image = random(&[2, 3, 4, 5], 7);
    let rows = image.by_pixel().unwrap();
    assert_eq!(rows.shape(), [40, 3]);
    let (all, flat) = (values(&image), values(&rows));
    for (n, c, at) in [(0, 0, 0), (0, 2, 7), (1, 1, 19)] {
        assert_eq!(flat[(n * 20 + at) * 3 + c], all[(n * 3 + c) * 20 + at]);
    }
    let places = Tensor::from_slice_i64(&[39, 0], &[2]).unwrap();
    assert_eq!(values(&rows.rows(&places).unwrap()), [&flat[117..], &flat[..3]].concat());
    assert!(rows.by_pixel().is_err());
}

#[test]
fn a_prefix_is_the_leading_block() {
    let weight = Tensor::from_slice(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], &[3, 3]).unwrap();
    assert_eq!(values(&weight.prefix(&[2, 2]).unwrap()), [0.0, 1.0, 3.0, 4.0]);
    assert_eq!(values(&weight.prefix(&[1]).unwrap()), [0.0, 1.0, 2.0]);
    assert_eq!(values(&weight.narrow(1, 2, 1).unwrap()), [2.0, 5.0, 8.0]);
    assert_eq!(Tensor::zeros(&[2], CPU).unwrap().to_device(CPU).unwrap().device(), CPU);
}

#[test]
fn activations_equal_their_formulas() {
    let input = Tensor::from_slice(&[-7.0, -2.5, -0.5, 0.0, 1.0, 4.0, 7.5], &[7]).unwrap();
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    let hard_sigmoid = |x: f32| (x + 3.0).clamp(0.0, 6.0) / 6.0;
    let formulas: [(Activation, &dyn Fn(f32) -> f32); 6] = [
        (Activation::Relu, &|x| x.max(0.0)),
        (Activation::Relu6, &|x| x.clamp(0.0, 6.0)),
        (Activation::Sigmoid, &sigmoid),
        (Activation::HardSigmoid, &hard_sigmoid),
        (Activation::Swish, &|x| x * sigmoid(x)),
        (Activation::HardSwish, &|x| x * hard_sigmoid(x)),
    ];
    for (activation, formula) in formulas {
        let expected: Vec<_> = values(&input).into_iter().map(formula).collect();
        assert_close(&values(&input.activation(activation).unwrap()), &expected, 1e-6);
    }
}

#[test]
fn max_pooling_ignores_its_padding() {
    let values_of = |shape: &[usize], geometry: &PoolGeometry<'_>| {
        let n = shape.iter().product::<usize>() as i32;
        // All values are negative, so that a padding of zeros would be the maximum.
        let input: Vec<f32> = (0..n).map(|i| ((i * 5) % 7 - 9) as f32).collect();
        values(
            &Tensor::from_slice(&input, shape).unwrap().channels_last().unwrap().max_pool(geometry).unwrap(),
        )
    };
    // -9 -4 -6
    // -8 -3 -5
    // -7 -9 -4
    let plane = PoolGeometry { kernel: &[3, 3], stride: &[2, 2], padding: &[1, 1] };
    assert_eq!(values_of(&[1, 1, 3, 3], &plane), [-3.0, -3.0, -3.0, -3.0]);
    let rows = PoolGeometry { kernel: &[1, 2], stride: &[1, 1], padding: &[0, 1] };
    assert_eq!(
        values_of(&[1, 1, 3, 3], &rows),
        [-9.0, -4.0, -4.0, -6.0, -8.0, -3.0, -3.0, -5.0, -7.0, -7.0, -4.0, -4.0]
    );
    let clip = PoolGeometry { kernel: &[1, 3, 3], stride: &[1, 2, 2], padding: &[0, 1, 1] };
    assert_eq!(values_of(&[1, 1, 1, 3, 3], &clip), [-3.0; 4]);
    let flat = Tensor::from_slice(&[1.0], &[1, 1]).unwrap();
    assert!(flat.max_pool(&plane).unwrap_err().to_string().contains("max_pool"));
}

#[test]
fn changes_in_place_follow_their_formulas() {
    let (start, end) = (noise(6, 1), noise(6, 2));
    let tensor = || Tensor::from_slice(&start, &[2, 3]).unwrap();
    let norm = start.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    assert!((tensor().norm().unwrap().scalar().unwrap() - norm).abs() < 1e-6);
    let mut changed = tensor();
    changed.scale_(0.5).unwrap();
    assert_close(&values(&changed), &start.iter().map(|v| v * 0.5).collect::<Vec<_>>(), 1e-6);
    changed.clamp_(0.1).unwrap();
    assert!(values(&changed).iter().all(|v| v.abs() <= 0.1));
    let mut changed = tensor();
    changed.lerp_(&Tensor::from_slice(&end, &[2, 3]).unwrap(), 0.25).unwrap();
    let expected: Vec<_> = start.iter().zip(&end).map(|(a, b)| 0.75 * a + 0.25 * b).collect();
    assert_close(&values(&changed), &expected, 1e-6);
    assert!(changed.lerp_(&Tensor::ones(&[4], CPU).unwrap(), 0.5).is_err());
}

#[test]
fn weighted_rows_are_sums_with_gradients() {
    let rows =
        Tensor::from_slice(&[1.0, 10.0, 2.0, 20.0, 3.0, 30.0], &[3, 2]).unwrap().require_grad().unwrap();
    let places = Tensor::from_slice_i64(&[0, 2, 2, 1, 2], &[5]).unwrap();
    let weights = Tensor::from_slice(&[1.0, 0.5, 0.25, -1.0, 2.0], &[5]).unwrap();
    // The second sum has no rows.
    let starts = Tensor::from_slice_i64(&[0, 3, 3], &[3]).unwrap();
    let sums = rows.weighted_rows([&places, &starts], &weights).unwrap();
    assert_eq!(values(&sums), [3.25, 32.5, 0.0, 0.0, 4.0, 40.0]);
    let upstream = Tensor::from_slice(&[1.0, 0.0, 5.0, 5.0, 3.0, 1.0], &[3, 2]).unwrap();
    sums.multiply(&upstream).unwrap().sum().unwrap().backward().unwrap();
    let gradient = rows.grad().unwrap().unwrap();
    assert_eq!(values(&gradient), [1.0, 0.0, -3.0, -1.0, 6.75, 2.0]);

    let none = Tensor::from_slice_i64(&[], &[0]).unwrap();
    let no_weights = Tensor::from_slice(&[], &[0]).unwrap();
    assert_eq!(rows.weighted_rows([&none, &none], &no_weights).unwrap().shape(), [0, 2]);
    let outside = Tensor::from_slice_i64(&[0, 3, 2, 1, 2], &[5]).unwrap();
    assert!(rows.weighted_rows([&outside, &starts], &weights).is_err());
    assert!(rows.weighted_rows([&places, &starts], &no_weights).is_err());
}

#[test]
fn rows_become_the_pixels_that_they_were() {
    let images = random(&[2, 3, 4, 5], 1);
    let rows = images.by_pixel().unwrap();
    let again = rows.as_pixels([2, 4, 5]).unwrap();
    assert!(again.is_channels_last());
    assert_eq!((again.shape(), values(&again)), (images.shape(), values(&images)));
    assert!(rows.as_pixels([2, 4, 4]).is_err());
}
