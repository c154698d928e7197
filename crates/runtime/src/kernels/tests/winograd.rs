//! Convolutions in tiles, against sums in f64 and against the portable kernels, at shapes that no network has.

use super::*;

/// Outputs are sums of up to `9 × 230` products below 1, which come to 170 at most.
const OFF: f64 = 2e-3;

fn check(case: Case) {
    let case = Case { kind: Kind::Winograd, ..case };
    let expected = case.expected();
    let portable = case.run(Isa::Portable, 1);
    for isa in Isa::available() {
        let got = case.run(isa, 1);
        assert_eq!(got.len(), expected.len());
        for (i, ((&got, expected), &portable)) in got.iter().zip(&expected).zip(&portable).enumerate() {
            let off = (f64::from(got) - expected).abs();
            assert!(off < OFF, "{isa} {case:?}: number {i} is {got}, not {expected}");
            let off = f64::from((got - portable).abs());
            assert!(off < OFF, "{isa} {case:?}: number {i} is {got}, and {portable} by the portable kernels");
        }
        for threads in [2, 3, 7] {
            assert_eq!(bits(&got), bits(&case.run(isa, threads)), "{isa} {case:?} on {threads} threads");
        }
    }
}

#[test]
fn odd_channels_and_sizes_with_remainders() {
    let mut state = 5_u32;
    let mut random = |n: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % n
    };
    let channels = [1, 3, 16, 17, 40, 58, 64, 65, 116, 230];
    for turn in 0..80 {
        let dilation = [1 + random(6) / 3 * random(5), 1 + random(6) / 3 * random(5)];
        let padding = random(3 + dilation[0]);
        let side = |at: usize, dilation: usize| (1 + at).max((2 * dilation + 1).saturating_sub(2 * padding));
        check(Case {
            channels: [channels[random(10)], channels[random(10)]],
            size: dilation.map(|dilation| side(random(13), dilation)),
            window: Window { dilation, ..window(3, 1, padding) },
            spare: random(2) * 21,
            n: 1 + random(3),
            residual: random(2) == 0,
            curve: (turn % 5 == 0).then_some(CURVES[turn / 5 % 4]),
            ..BASE
        });
    }
}

/// More tiles than one chunk takes.
#[test]
fn many_tiles() {
    for (channels, size) in [([20, 24], [61, 30]), ([150, 12], [29, 29])] {
        check(Case { channels, size, window: window(3, 1, 1), ..BASE });
    }
}

/// The sums of an image do not depend on the images beside it, which share its chunks.
#[test]
fn batch_or_singles() {
    let case =
        Case { kind: Kind::Winograd, channels: [70, 33], size: [9, 6], window: window(3, 1, 1), ..BASE };
    let (three, one) = (Case { n: 3, ..case }, case.program());
    for isa in Isa::available() {
        let all = three.run(isa, 1);
        let images = three.input();
        let singles = images.chunks_exact(images.len() / 3).flat_map(|image| {
            let program = case.program();
            run(prepared(program, Some(case.packed()), isa), 1, 1, image, None)
        });
        assert_eq!(bits(&all), bits(&singles.collect::<Vec<_>>()), "{isa}");
    }
    assert_eq!(one.calls.len(), 1);
}

fn is_fast(window: Window, channels: Pair, size: Pair) -> bool {
    let case = Case { window, channels, size, ..BASE };
    pays(window, feature(0, size, channels[0]), feature(0, case.out_size(), channels[1]))
}

#[test]
fn the_choice_is_by_arithmetic() {
    for (channels, side) in [(64, 56), (128, 28), (256, 14), (512, 7)] {
        assert!(is_fast(window(3, 1, 1), [channels; 2], [side; 2]), "{channels} {side}");
    }
    assert!(!is_fast(window(3, 2, 1), [64; 2], [56; 2]), "stride 2");
    assert!(!is_fast(window(5, 1, 2), [64; 2], [56; 2]), "5×5");
    assert!(!is_fast(window(1, 1, 0), [64; 2], [56; 2]), "1×1");
    assert!(!is_fast(window(3, 1, 1), [64; 2], [1; 2]), "a single pixel");
    let dilated = |dilation: usize| Window { dilation: [dilation; 2], ..window(3, 1, dilation) };
    assert!(is_fast(dilated(4), [512; 2], [28; 2]), "grids of 7×7");
    assert!(
        !is_fast(dilated(12), [512; 2], [28; 2]),
        "grids of 2×2 and 3×3, and half of the taps on padding"
    );
    let input = Feature { stride_c: 3, ..feature(0, [224; 2], 3) };
    assert!(!pays(window(3, 1, 1), input, feature(0, [224; 2], 64)), "an input without a tail");
}
