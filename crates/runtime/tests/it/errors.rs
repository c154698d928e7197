//! Mistakes of users, and what the errors say about them.

use std::sync::Arc;

use mutualnet_core::network::{
    Activation, ChannelRule, Conv, Groups, NetworkBuilder, Rank, Resize, TransposedConv,
};
use mutualnet_core::{Budget, NodeId};
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
fn a_clip_of_other_frames_says_how_many() {
    let rows = ["1.0-16-4", "0.5-8-2"];
    let model = Arc::new(Model::new(&bundle(&zoo("x3d_xs"), &rows)).unwrap());
    assert_eq!(model.largest_input_len(), 4 * 16 * 16 * 3);
    let mut session = session(&model, 1);
    session.switch(subnet("0.5-8-2")).unwrap();
    assert_eq!(session.input_len(), 2 * 8 * 8 * 3);
    let error = session.run(&[0.0; 4 * 8 * 8 * 3], 1).unwrap_err();
    let expected =
        "an input of 1 clips for row 0.5-8-2 must have 384 numbers (1536 at the largest resolution), got 768";
    assert_eq!(error.to_string(), expected);
    assert_eq!(error.hint().unwrap(), "a clip of this row has 2 frames");
    assert_eq!(session.run_at(&[0.0; 7], 1, [8, 9]).unwrap_err().hint(), error.hint());
    let error = session.switch(subnet("0.5-8-3")).unwrap_err();
    assert_eq!(error.hint().unwrap(), "the nearest rows are 0.5-8-2, 1.0-16-4");
}

#[test]
fn what_clips_cannot_do_is_refused() {
    let refused = |build: fn(&mut NetworkBuilder, NodeId) -> NodeId| {
        let mut net = NetworkBuilder::new("clip", Rank::Clip, widths(1.0));
        let x = net.input(3);
        let x = build(&mut net, x);
        let x = net.global_pool("pool", x);
        net.linear("fc", x, 2);
        Model::new(&bundle(&net.finish().unwrap(), &["1.0-8-4"])).unwrap_err().to_string()
    };
    let error = refused(|net, x| net.resize_like("op", x, x, Resize::Bilinear));
    assert_eq!(error, "`bilinear resizing of clips` is not supported on the run side, at `op`");
    let error = refused(|net, x| {
        let out = ChannelRule::whole(4);
        let (kernel, stride) = ([2; 3], [2; 3]);
        let conv =
            TransposedConv { out, kernel, stride, padding: [0; 3], output_padding: [0; 3], bias: true };
        net.transposed_conv("op", x, conv)
    });
    assert_eq!(error, "`transposed convolution along time` is not supported on the run side, at `op`");
}

/// The file may ask for any number of frames.
#[test]
fn a_row_that_needs_too_much_memory_is_refused() {
    let mut net = NetworkBuilder::new("clip", Rank::Clip, widths(1.0));
    let x = net.input(3);
    let x = net.activation("act", x, Activation::Relu);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 2);
    let error = Model::new(&bundle(&net.finish().unwrap(), &["1.0-2048-1024"])).unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error}");
}
