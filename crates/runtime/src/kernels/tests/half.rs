//! Kernels whose feature maps and weights hold bf16.

use super::*;

const HALF: Case = Case { precision: Precision::Bf16, ..BASE };

/// Every window and odd channels, with outputs in bf16 and in f32.
#[test]
fn layers_with_weights() {
    for (channels, size) in [([3, 8], [9, 14]), ([8, 40], [5, 5]), ([58, 17], [4, 27]), ([115, 230], [3, 2])]
    {
        for is_wide in [false, true] {
            for (kernel, stride, padding) in [(1, 1, 0), (3, 1, 1), (3, 2, 1), (2, 2, 1)] {
                let window = window(kernel, stride, padding);
                let residual = stride == 1;
                let case = Case { channels, size, window, residual, is_wide, spare: 7, n: 2, ..HALF };
                case.check();
                Case { kind: Kind::Depthwise, channels: [channels[1]; 2], ..case }.check();
            }
        }
    }
}

#[test]
fn curves() {
    for (curve, is_wide) in CURVES.into_iter().flat_map(|curve| [(curve, false), (curve, true)]) {
        let case = Case { channels: [6, 24], size: [13, 11], curve: Some(curve), is_wide, ..HALF };
        let expected = case.expected();
        for isa in Isa::available() {
            for (got, expected) in case.run(isa, 1).into_iter().zip(&expected) {
                // Of an output in bf16 the curve bends what was rounded, and is rounded again.
                let limit = if is_wide { 2e-4 } else { 2e-4 + expected.abs() / 64.0 };
                assert!((f64::from(got) - expected).abs() < limit, "{isa} {curve:?}: {got}, not {expected}");
            }
        }
    }
}

/// Products are exact and the order of sums is fixed, so that nothing is left to round differently.
#[test]
fn sums_are_the_same_on_every_instruction_set() {
    let case = Case { channels: [231, 40], size: [4, 5], window: window(3, 1, 1), is_wide: true, ..HALF };
    let sums = |kind, isa| {
        let case = Case { kind, channels: if kind == Kind::Dense { [231, 40] } else { [40; 2] }, ..case };
        let mut program = case.program();
        let call = &mut program.calls[0];
        call.pre = [f32::NEG_INFINITY, f32::INFINITY];
        let mut coefficients = Buffer::zeroed(2 * call.output.stride_c).unwrap();
        coefficients[..40].fill(1.0);
        program.coefficients = Arc::new(Coefficients::of(coefficients));
        bits(&run(prepared(program, Some(case.packed()), isa), 1, 1, &case.input(), None))
    };
    for kind in [Kind::Dense, Kind::Depthwise] {
        let portable = sums(kind, Isa::Portable);
        for isa in Isa::available() {
            assert_eq!(sums(kind, isa), portable, "{isa} {kind:?}");
        }
    }
}

#[test]
fn rounding_is_to_the_nearest_and_ties_to_even() {
    let above = |number: f32, steps: u32| f32::from_bits(number.to_bits() + steps);
    let cases = [
        (1.0, 0x3f80),
        (above(1.0, 0x7fff), 0x3f80),
        (above(1.0, 0x8000), 0x3f80),
        (above(1.0, 0x8001), 0x3f81),
        (above(1.0, 0x1_8000), 0x3f82),
        (-2.5, 0xc020),
        (f32::MAX, 0x7f80),
        (f32::INFINITY, 0x7f80),
        (0.0, 0),
        (f32::NAN, 0x7fc0),
    ];
    for (number, half) in cases {
        assert_eq!(rounded(number), half, "{number}");
    }
    // A sum of 0 that is shifted.
    let case = Case { channels: [1, 1], size: [1, 1], ..HALF };
    for isa in Isa::available() {
        for (number, half) in cases {
            let mut program = case.program();
            let call = &mut program.calls[0];
            call.pre = [f32::NEG_INFINITY, f32::INFINITY];
            let mut coefficients = Buffer::zeroed(2 * call.output.stride_c).unwrap();
            coefficients[call.output.stride_c] = number;
            program.coefficients = Arc::new(Coefficients::of(coefficients));
            let got = run(prepared(program, Some(case.packed()), isa), 1, 1, &[0.0], None);
            assert_eq!(rounded(got[0]), half, "{isa} {number}");
        }
    }
}
