//! Regions of feature maps, and what is learned from them, against torchvision.

use mutualnet_detect::{Corners, Extent, RoiAlign};
use mutualnet_engine::{Device, Tensor};
use mutualnet_train::regions::cut;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::detect::fill;

const CHANNELS: usize = 5;

/// Reads what `golden/regions/make.py` wrote.
fn golden<T: DeserializeOwned>(file: &str) -> T {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/regions/").to_owned() + file;
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Cut {
    image: [u32; 2],
    side: usize,
    regions: Vec<Vec<Corners>>,
    maps: Vec<[u32; 2]>,
    squares: Vec<f32>,
    gradients: Vec<Vec<f32>>,
}

fn extent([height, width]: [u32; 2]) -> Extent {
    Extent { height, width }
}

/// Compares the numbers that the script keeps: at most 256 at equal distances, row-major.
fn assert_every(what: &str, tensor: &Tensor, expected: &[f32]) {
    let numbers = tensor.contiguous().unwrap().to_vec_f32().unwrap();
    let some = numbers.iter().step_by((numbers.len() / 256).max(1)).take(256);
    assert_eq!(some.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    for (i, (ours, theirs)) in some.zip(expected).enumerate() {
        assert!((ours - theirs).abs() <= 1e-5 * largest, "{what} {i}: {ours} and {theirs}");
    }
}

#[test]
fn regions_and_their_gradients_are_torchvisions() {
    let golden: Cut = golden("cut.json");
    let extents: Vec<_> = golden.maps.iter().copied().map(extent).collect();
    let map = |(seed, size): (u32, &[u32; 2])| {
        let shape = [2, CHANNELS, size[0] as usize, size[1] as usize];
        let map = Tensor::from_slice(&fill(seed, shape.iter().product()), &shape).unwrap();
        map.channels_last().unwrap().require_grad().unwrap()
    };
    let maps: Vec<_> = (70..).zip(&golden.maps).map(map).collect();
    let align = RoiAlign::new(&extents, extent(golden.image), golden.side).unwrap();
    let squares = cut(&align, &maps, &golden.regions).unwrap();
    assert_eq!(squares.shape(), [8, CHANNELS, golden.side, golden.side]);
    assert!(squares.is_channels_last());
    assert_every("squares", &squares, &golden.squares);
    let upstream = Tensor::from_slice(&fill(80, squares.elements()), &squares.shape()).unwrap();
    squares.multiply(&upstream).unwrap().sum().unwrap().backward().unwrap();
    for (level, (map, expected)) in maps.iter().zip(&golden.gradients).enumerate() {
        assert_every(&format!("gradient {level}"), &map.grad().unwrap().unwrap(), expected);
    }

    // The run side cuts the same.
    let of_image = |image: usize| {
        let maps = maps.iter().map(|map| {
            let one = map.detach().unwrap().narrow(0, image, 1).unwrap();
            one.by_pixel().unwrap().to_vec_f32().unwrap()
        });
        let maps: Vec<_> = maps.collect();
        let maps: Vec<_> = maps.iter().map(Vec::as_slice).collect();
        align.cut(&maps, CHANNELS, &golden.regions[image])
    };
    let on_run_side = [of_image(0), of_image(1)].concat();
    let on_run_side = Tensor::from_nhwc(&on_run_side, [8, golden.side, golden.side, CHANNELS], Device::Cpu);
    assert_every("on the run side", &on_run_side.unwrap(), &golden.squares);
}

#[test]
fn there_may_be_no_regions() {
    let map = Tensor::zeros(&[2, 3, 4, 4], Device::Cpu).unwrap();
    let align = RoiAlign::new(&[extent([4, 4])], extent([64, 64]), 7).unwrap();
    assert_eq!(cut(&align, &[map], &[vec![], vec![]]).unwrap().shape(), [0, 3, 7, 7]);
}
