//! One-stage detectors at full size against torchvision: `golden/detect/make.py`.

use mutualnet_zoo::golden::Folder;
use mutualnet_zoo::ssdlite;

use super::segment::{Golden, network};
use super::*;

const IMAGES: [usize; 4] = [4, 3, 160, 192];

#[test]
fn names_shapes_macs_scores_and_boxes_are_torchvisions() {
    for name in Folder::Detect.networks() {
        let golden = Golden::read(Folder::Detect, name);
        golden.assert_names_shapes_and_macs(&network(name));
        golden.assert_outputs(network(name), IMAGES);
    }
}

#[test]
fn every_width_gives_the_same_maps() {
    let net = Net::new(network(ssdlite::NAME));
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
