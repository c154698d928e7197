//! What the fuzz targets share: what counts as a finding, reading a data set from one file, and a small network.

use std::path::Path;
use std::sync::LazyLock;
use std::{env, fs, panic};

use mutualnet_core::network::{Activation, ChannelRule, Conv, Groups, Network, NetworkBuilder, Rank};
use mutualnet_core::{Width, WidthRange};
use mutualnet_data::check::check;
use mutualnet_data::{Dataset, Split};

static DIR: LazyLock<tempfile::TempDir> =
    LazyLock::new(|| tempfile::tempdir().expect("a directory can be made"));

/// Decides about panics that are caught and become errors: a search reports them, a test lets them pass.
///
/// To be called when a target begins. A panic that nobody catches is a finding either way.
pub fn init() {
    if env::var("FUZZ_CAUGHT_PANICS").is_ok_and(|value| value == "allow") {
        allow_caught_panics();
    }
}

/// In place of [`init`] for what is known to panic, and caught.
pub fn allow_caught_panics() {
    // In place of the hook that ends the process.
    panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
}

/// Reads and checks a data set that is one file of a given name and content; any answer will do.
pub fn read_and_check(name: &str, bytes: &[u8]) {
    let path = DIR.path().join(name);
    fs::write(&path, bytes).expect("a file can be written");
    read(DIR.path(), Split::Train);
    let _ = check(DIR.path());
    fs::remove_file(&path).expect("it was written");
}

/// Decodes all images of a split, if there is one; any answer will do.
pub fn read(path: &Path, split: Split) {
    if let Ok(dataset) = Dataset::open_split(path, split) {
        for i in 0..dataset.samples().len() {
            let _ = dataset.image(i);
        }
    }
}

/// A convolution of 4 channels, a batch norm and a classifier of 2 classes: the seeds of checkpoints and bundles.
pub fn network() -> Network {
    let half = Width::new(0.5).expect("a half is a width");
    let widths = WidthRange::new(half, Width::ONE).expect("a half is below one");
    let out = ChannelRule::slim_by(4, 0.5);
    let (stride, padding) = ([1, 2, 2], [0, 1, 1]);
    let dilation = Conv::NO_DILATION;
    let conv = Conv { out, kernel: [1, 3, 3], stride, padding, dilation, groups: Groups::Dense, bias: false };
    let mut net = NetworkBuilder::new("small", Rank::Image, widths);
    let x = net.input(3);
    let x = net.conv("conv1", x, conv);
    let x = net.batch_norm("bn1", x);
    let x = net.activation("relu", x, Activation::Relu);
    let x = net.global_pool("pool", x);
    net.linear("fc", x, 2);
    net.finish().expect("the network is whole")
}
