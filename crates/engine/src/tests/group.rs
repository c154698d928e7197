//! Groups of two and three ranks, which are threads here.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use super::*;
use crate::{Group, Rendezvous};

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
        let mut tensors = [rows, image];
        group.average(&mut tensors).unwrap();
        let mut numbers = [group.rank() as f64, 0.5];
        group.sum_numbers(&mut numbers).unwrap();
        (tensors.map(|tensor| tensor.contiguous().unwrap().to_vec_f32().unwrap()), numbers)
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

#[test]
fn a_rank_that_is_gone_is_found() {
    let found = on_ranks(3, |group| {
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
