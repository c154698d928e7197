//! Detectors with regions at full size against torchvision: `golden/regions/make.py`.

use mutualnet_core::network::List;
use mutualnet_zoo::golden::Folder;

use super::segment::{Golden, network};
use super::*;

const IMAGES: [usize; 4] = [4, 3, 160, 192];
/// The script's have 256 channels and 7 × 7 positions.
const REGIONS: [usize; 4] = [6, 256 * 7 * 7, 1, 1];
const MASK_REGIONS: [usize; 4] = [6, 256, 14, 14];

#[test]
fn names_shapes_macs_maps_answers_and_masks_are_torchvisions() {
    for name in Folder::Regions.networks() {
        let golden = Golden::read(Folder::Regions, name);
        let network = network(name);
        golden.assert_names_shapes_and_macs(&network);
        let inputs = [(List::MAIN, 7, IMAGES), (List::BOX, 8, REGIONS), (List::MASK, 9, MASK_REGIONS)];
        let n_lists = network.lists().len();
        golden.assert_outputs_of_lists(network, &inputs[..n_lists]);
    }
}

/// As in torchvision; a larger first answer is a box that is far off.
#[test]
fn layers_that_give_results_start_with_small_weights() {
    let network = network("maskrcnn_mobilenet_v3_large_fpn");
    let parameters = Parameters::init(&network, 1, Device::Cpu).unwrap();
    let deviation = |name: &str| {
        let idx = parameters.list().iter().position(|parameter| parameter.name == name).unwrap();
        let values = parameters.tensors()[idx].to_vec_f32().unwrap();
        (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt()
    };
    for layer in ["rpn.head.cls_logits", "rpn.head.bbox_pred", "roi_heads.mask_predictor.mask_fcn_logits"] {
        let found = deviation(&format!("{layer}.weight"));
        assert!((found / 0.01 - 1.0).abs() < 0.1, "{layer}: {found}");
    }
    // Features that regions are cut out of are no results: √(2 / (3 · 3 · 256)).
    let features = deviation("backbone.fpn.layer_blocks.0.0.weight");
    assert!((features / 0.0295 - 1.0).abs() < 0.1, "{features}");
}

#[test]
fn every_width_gives_the_same_maps() {
    let net = Net::new(network("maskrcnn_mobilenet_v3_large_fpn"));
    let parameters = Parameters::init(net.network(), 1, Device::Cpu).unwrap();
    let [of_regions, of_masks] = [List::BOX, List::MASK].map(|list| net.network().list(list).unwrap());
    for fraction in [0.25, 0.6, 1.0] {
        let slice = net.slice(&parameters, width(fraction)).unwrap();
        let maps = net.run_all(&slice, &[&batch(2, 96)], Norm::Batch, None).unwrap();
        let ours: Vec<_> = maps.iter().map(Tensor::shape).collect();
        let sides = [3, 3, 2];
        let of = |channels| sides.map(|side| [2, channels, side, side]);
        assert_eq!(ours, [&of(256)[..2], &of(15), &of(60)].concat());
        let regions = Tensor::zeros(&[5, 256 * 7 * 7, 1, 1], Device::Cpu).unwrap();
        let answers = net.run_list(&slice, (of_regions, &[&regions]), Norm::Batch, None).unwrap();
        assert_eq!([answers[0].shape(), answers[1].shape()], [[5, 21], [5, 84]]);
        let regions = Tensor::zeros(&[5, 256, 14, 14], Device::Cpu).unwrap();
        let masks = net.run_list(&slice, (of_masks, &[&regions]), Norm::Batch, None).unwrap();
        assert_eq!(masks[0].shape(), [5, 21, 28, 28]);
    }
}
