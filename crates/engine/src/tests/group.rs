//! Groups of two and three ranks, which are threads here.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use super::*;
use crate::{Activation, Affine, ConvGeometry, Group, NormStatistics, Rendezvous};

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn at(port: u16, rank: usize, size: usize) -> Rendezvous {
    let timeout = Duration::from_secs(20);
    Rendezvous { host: "127.0.0.1".to_owned(), port, is_host: rank == 0, rank, size, timeout }
}

/// What `work` returns on every rank.
fn on_ranks<T: Send>(size: usize, work: impl Fn(&Group) -> T + Sync) -> Vec<T> {
    let port = free_port();
    let work = &work;
    thread::scope(|scope| {
        let ranks =
            (0..size).map(|rank| scope.spawn(move || work(&Group::join(&at(port, rank, size)).unwrap())));
        let ranks: Vec<_> = ranks.collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[test]
fn tensors_are_averaged_and_numbers_summed() {
    let found = on_ranks(3, |group| {
        let scale = 10.0_f32.powi(group.rank() as i32);
        let own = [1.0, 2.0, 3.0, 4.0].map(|value| value * scale);
        let rows = Tensor::from_slice(&own, &[2, 2]).unwrap();
        // The channels are next to each other in memory.
        let image = Tensor::from_slice(&own, &[1, 2, 2, 1]).unwrap().channels_last().unwrap();
        let averaging = group.begin_average(vec![rows, image]).unwrap();
        let mut numbers = [group.rank() as f64, 0.5];
        // Another exchange may come before its end.
        group.sum_numbers(&mut numbers).unwrap();
        let tensors = averaging.finish().unwrap();
        let values = |tensor: &Tensor| tensor.contiguous().unwrap().to_vec_f32().unwrap();
        (tensors.iter().map(values).collect::<Vec<_>>(), numbers)
    });
    for (tensors, numbers) in found {
        assert_eq!(tensors, [(); 2].map(|()| vec![37.0, 74.0, 111.0, 148.0]));
        assert_eq!(numbers, [3.0, 1.5]);
    }
}

#[test]
fn bytes_are_those_of_one_rank() {
    let bytes = on_ranks(2, |group| {
        let mut bytes = [group.rank() as u8 + 7; 5];
        group.broadcast(1, &mut bytes).unwrap();
        bytes
    });
    assert_eq!(bytes, [[8; 5]; 2]);
}

/// The output of three batch norms, the middle one fused with a depthwise convolution, and the gradients of the input and
/// of all weights.
fn normalized(images: &Tensor, slope: &Tensor) -> [Tensor; 5] {
    let x = images.detach().unwrap().require_grad().unwrap();
    let vector = |values: [f32; 2]| Tensor::from_slice(&values, &[2]).unwrap().require_grad().unwrap();
    let (weight, bias) = (vector([1.5, -0.5]), vector([0.1, 0.2]));
    let kernel = random(&[2, 1, 3, 3], 7).require_grad().unwrap();
    let (affine, batch) = (Affine { weight: &weight, bias: &bias, eps: EPS }, || NormStatistics::Batch);
    let geometry = ConvGeometry { stride: &[1; 2], padding: &[1; 2], dilation: &[1; 2], groups: 2 };
    let y = x.batch_norm_activation(affine, batch(), Activation::Swish).unwrap();
    let y =
        y.batch_norm_activation_convolution(affine, batch(), Activation::Relu, &kernel, &geometry).unwrap();
    let y = y.batch_norm_activation(affine, batch(), Activation::HardSwish).unwrap();
    y.multiply(slope).unwrap().sum().unwrap().backward().unwrap();
    let gradient = |leaf: &Tensor| leaf.grad().unwrap().unwrap();
    [y.detach().unwrap(), gradient(&x), gradient(&weight), gradient(&bias), gradient(&kernel)]
}

#[test]
fn shared_norms_of_two_parts_are_those_of_the_whole_batch() {
    // Far from zero, and with parts of unlike means and sizes.
    let batch = || {
        let far = Tensor::ones(&[5, 2, 6, 4], CPU).unwrap().scale(30.0).unwrap();
        (random(&[5, 2, 6, 4], 1).add(&far).unwrap(), random(&[5, 2, 6, 4], 2))
    };
    let (images, slope) = batch();
    let whole = normalized(&images, &slope);
    let parts = on_ranks(2, |group| {
        let (images, slope) = batch();
        let (begin, n) = [(0, 2), (2, 3)][group.rank()];
        let part = |whole: &Tensor| whole.narrow(0, begin, n).unwrap();
        let alone = normalized(&part(&images), &part(&slope));
        let [y, dx, sums @ ..] = group.sharing_norms(|| normalized(&part(&images), &part(&slope)));
        let means = group.average(sums.into()).unwrap();
        let sums: Vec<_> = means.iter().map(|mean| values(&mean.scale(2.0).unwrap())).collect();
        assert_eq!(values(&normalized(&part(&images), &part(&slope))[0]), values(&alone[0]), "it ends");
        assert!(!group.has_lost_norms());
        (values(&y), values(&dx), sums, values(&alone[0]))
    });
    let [first, second] = &parts[..] else { unreachable!() };
    assert_close(&[&first.0[..], &second.0].concat(), &values(&whole[0]), 1e-4);
    assert_close(&[&first.1[..], &second.1].concat(), &values(&whole[1]), 1e-4);
    for (sum, whole) in first.2.iter().zip(&whole[2..]) {
        assert_close(sum, &values(whole), 1e-3);
    }
    let alone = [&first.3[..], &second.3].concat();
    let differs = alone.iter().zip(values(&whole[0])).any(|(alone, whole)| (alone - whole).abs() > 0.1);
    assert!(differs, "without sharing the parts must differ, or the test shows nothing");
}

#[test]
fn a_rank_that_is_gone_fails_a_shared_norm() {
    let found = on_ranks(2, |group| {
        group.sum_numbers(&mut [1.0]).unwrap();
        if group.rank() == 1 {
            return None;
        }
        let (one, images) = (Tensor::ones(&[2], CPU).unwrap(), random(&[2, 2, 3, 3], 1));
        let affine = Affine { weight: &one, bias: &one, eps: EPS };
        let norm = || images.batch_norm(affine, NormStatistics::Batch);
        assert!(group.sharing_norms(norm).is_err());
        Some((group.has_lost_norms(), norm().is_ok()))
    });
    assert_eq!(found, [Some((true, true)), None]);
}

#[test]
fn a_rank_that_is_gone_is_found() {
    let found = on_ranks(3, |group| {
        group.sum_numbers(&mut [1.0]).unwrap();
        if group.rank() == 1 {
            return None;
        }
        let error = group.sum_numbers(&mut [1.0]).unwrap_err();
        assert!(error.to_string().starts_with("sum over the ranks: "), "{error}");
        Some(group.end(Duration::from_secs(2)).unwrap())
    });
    assert_eq!(found, [Some(vec![1]), None, Some(vec![1])]);
}

#[test]
fn a_rank_that_does_not_come_is_named() {
    let timeout = Duration::from_millis(300);
    let error = Group::join(&Rendezvous { timeout, ..at(free_port(), 0, 2) }).unwrap_err();
    assert_eq!(error.to_string(), "join the group: rank 1 did not join in time");
}
