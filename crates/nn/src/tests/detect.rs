//! SSDlite at full size against torchvision: `golden/detect/make.py`.

use mutualnet_zoo::Head;
use mutualnet_zoo::ssdlite::{NAME, ssdlite};

use super::segment::Golden;
use super::*;

const IMAGES: [usize; 4] = [4, 3, 160, 192];

fn network() -> Network {
    let widths = WidthRange::new(width(0.25), Width::ONE).unwrap();
    ssdlite(&NetworkConfig { classes: 21, widths, output_stride: None }, Head::Whole).unwrap()
}

#[test]
fn names_shapes_macs_scores_and_boxes_are_torchvisions() {
    let golden = Golden::read("detect", NAME);
    golden.assert_names_shapes_and_macs(&network());
    golden.assert_outputs(network(), IMAGES);
}

#[test]
fn every_width_gives_the_same_maps() {
    let net = Net::new(network());
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    for fraction in [0.25, 0.6, 1.0] {
        let slice = net.slice(&parameters, width(fraction)).unwrap();
        let maps = net.run_all(&slice, &[&batch(2, 96)], Norm::Batch, None).unwrap();
        let shapes = [6, 3, 2, 1, 1, 1].map(|side| [2, 126, side, side]);
        let boxes = [6, 3, 2, 1, 1, 1].map(|side| [2, 24, side, side]);
        let ours: Vec<_> = maps.iter().map(Tensor::shape).collect();
        assert_eq!(ours, [shapes, boxes].concat());
    }
}
