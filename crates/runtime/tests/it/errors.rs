//! Mistakes of users, and what the errors say about them.

use std::sync::Arc;

use mutualnet_core::Budget;
use mutualnet_core::network::{ChannelRule, Conv, Groups, NetworkBuilder, Rank};
use mutualnet_runtime::{Error, Model};

use crate::fixture::{bundle, session, subnet, widths, zoo};

const ROWS: [&str; 3] = ["1.0-32", "0.5-32", "0.25-16"];

#[test]
fn a_sub_network_that_is_no_row_names_the_nearest() {
    let model = Arc::new(Model::new(&bundle(&zoo("mobilenet_v2"), &ROWS)).unwrap());
    let mut session = session(&model, 1);
    let error = session.switch(subnet("0.55-32")).unwrap_err();
    assert_eq!(error.to_string(), "sub-network 0.55-32 is not a row of the query table");
    assert_eq!(error.hint().unwrap(), "the nearest rows are 0.5-32, 1.0-32, 0.25-16");
    assert_eq!(session.subnet(), subnet("1.0-32"));
}

#[test]
fn an_input_of_another_length_says_both() {
    let model = Arc::new(Model::new(&bundle(&zoo("mobilenet_v2"), &ROWS)).unwrap());
    let mut session = session(&model, 1);
    session.switch(subnet("0.25-16")).unwrap();
    let error = session.run(&[0.0; 100], 2).unwrap_err();
    assert!(
        matches!(error, Error::InputLength { n: 2, expected: 1536, largest: 6144, got: 100, .. }),
        "{error}"
    );
    assert!(session.run(&[], 0).unwrap().is_empty());
}

#[test]
fn a_budget_below_the_cheapest_row_names_it() {
    let model = Arc::new(Model::new(&bundle(&zoo("mobilenet_v2"), &ROWS)).unwrap());
    let mut session = session(&model, 1);
    let error = session.switch_to_budget("10k".parse().unwrap()).unwrap_err();
    assert!(error.to_string().contains("0.25-16"), "{error}");
    let most_expensive = model.table().rows().last().unwrap().macs;
    let chosen = session.switch_to_budget(Budget::Macs(most_expensive)).unwrap();
    assert_eq!(session.subnet(), chosen);
}

#[test]
fn a_kernel_along_time_is_refused() {
    let mut net = NetworkBuilder::new("time", Rank::Image, widths(1.0));
    let x = net.input(3);
    let conv = Conv {
        out: ChannelRule::whole(8),
        kernel: [3, 1, 1],
        stride: [1; 3],
        padding: [1, 0, 0],
        dilation: Conv::NO_DILATION,
        groups: Groups::Dense,
        bias: false,
    };
    let x = net.conv("conv", x, conv);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 2);
    let error = Model::new(&bundle(&net.finish().unwrap(), &["1.0-4"])).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { path, .. } if path == "conv"), "{error}");
}

#[test]
fn clip_networks_are_refused() {
    let mut net = NetworkBuilder::new("clip", Rank::Clip, widths(1.0));
    let x = net.input(3);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 2);
    let error = Model::new(&bundle(&net.finish().unwrap(), &["1.0-8-4"])).unwrap_err();
    assert_eq!(error.to_string(), "networks for video clips are not supported yet");
}
