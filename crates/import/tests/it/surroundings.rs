//! What surrounds the weights in checkpoints of training programs: prefixes, other modules, objects of any class, and
//! archives that were packed again.

use std::io::Write;

use flate2::write::DeflateEncoder;
use mutualnet_bundle::safetensors;
use mutualnet_core::{FileKind, Weights};
use mutualnet_import::{Error, Head, Matching, Rules, StateDict, classes, import};

use crate::{AUTHORS, expected, imported, network};

/// `weights` with `prefix` before every name.
fn under(prefix: &str, weights: &Weights) -> Weights {
    weights.iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.clone())).collect()
}

#[test]
fn any_prefix_is_taken_off() {
    for prefix in ["model.", "net.", "backbone.encoder_q.", "module._orig_mod.student.", "a"] {
        let dotted = if prefix == "a" { "a.b.c.d.e.f.g.h.i.j." } else { prefix };
        let imported = imported(&safetensors::to_bytes(&under(dotted, &expected()))).unwrap();
        assert!(imported.weights == expected());
        assert_eq!(imported.report.prefix, dotted);
        assert!(imported.report.other_prefixes.is_empty() && imported.report.outside.is_empty());
    }
}

#[test]
fn what_is_not_under_the_prefix_is_named() {
    let mut tensors = under("net.", &expected());
    let bias = expected()["classifier.0.bias"].clone();
    tensors.insert("criterion.weight".to_owned(), bias.clone());
    // Names of the network elsewhere are too few to be one.
    tensors.insert("metric.classifier.0.bias".to_owned(), bias.clone());
    let report = imported(&safetensors::to_bytes(&tensors)).unwrap().report;
    assert_eq!((report.prefix.as_str(), report.other_prefixes.len()), ("net.", 0));
    assert_eq!(report.outside, ["criterion.weight", "metric.classifier.0.bias"]);
    // Under the prefix it would be of another network.
    tensors.insert("net.aux.weight".to_owned(), bias);
    assert!(matches!(imported(&safetensors::to_bytes(&tensors)).unwrap_err(), Error::Unused { unused, .. }
        if unused == ["aux.weight"]));
}

#[test]
fn of_two_prefixes_one_is_taken_and_the_other_told() {
    let mut average = expected();
    average.values_mut().for_each(|tensor| tensor.data.fill(0.5));
    let mut tensors = under("model.", &expected());
    tensors.extend(under("model_ema.module.", &average));
    let bytes = safetensors::to_bytes(&tensors);
    let state = StateDict::read(&bytes, None).unwrap();
    let with = |prefix| import(&state, &network(), Rules { prefix, ..Rules::default() });
    for (asked, prefix, other, weights) in [
        (None, "model.", Some("model_ema.module."), expected()),
        (Some("model"), "model.", None, expected()),
        (Some("model_ema."), "model_ema.module.", None, average.clone()),
        (Some("model_ema.module"), "model_ema.module.", None, average),
    ] {
        let imported = with(asked).unwrap();
        assert_eq!(imported.report.prefix, prefix);
        assert_eq!(imported.report.other_prefixes, Vec::from_iter(other));
        assert!(imported.weights == weights);
    }
    let error = with(Some("ema")).unwrap_err().to_string();
    assert!(error.contains("begins with `ema.`; they begin with model., model_ema."), "{error}");
    assert!(matches!(with(Some("")).unwrap_err(), Error::Missing { .. }));
}

#[test]
fn a_classifier_that_is_missing_is_told_as_that() {
    let mut backbone = under("encoder.", &expected());
    backbone.retain(|name, _| !name.contains("classifier"));
    let bytes = safetensors::to_bytes(&backbone);
    let state = StateDict::read(&bytes, None).unwrap();
    for error in [
        classes(&state, &network(), Rules::default()).unwrap_err(),
        import(&state, &network(), Rules::default()).unwrap_err(),
    ] {
        assert_eq!(error.to_string(), "the checkpoint has no classifier `encoder.classifier.0`");
        assert!(error.hint().unwrap().contains("--new-head"));
    }
    let rules = Rules { head: Head::LeftOut, ..Rules::default() };
    let imported = import(&state, &network(), rules).unwrap();
    assert_eq!((imported.weights.len(), imported.report.prefix.as_str()), (12, "encoder."));
    // Something else than this network is not told as a classifier that is missing.
    backbone.retain(|name, _| name.contains("features.0"));
    let bytes = safetensors::to_bytes(&backbone);
    let state = StateDict::read(&bytes, None).unwrap();
    assert!(matches!(classes(&state, &network(), Rules::default()).unwrap_err(), Error::Missing { .. }));
}

/// Operations that leave a text.
fn text(text: &str) -> Vec<u8> {
    [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

fn int(n: usize) -> Vec<u8> {
    [b"J".as_slice(), &(n as i32).to_le_bytes()].concat()
}

/// Operations that leave a tensor: a view of a storage with a key.
fn tensor(key: usize, elements: usize, shape: &[usize], stride: &[usize]) -> Vec<u8> {
    let tuple = |sizes: &[usize]| {
        [b"(", sizes.iter().flat_map(|n| int(*n)).collect::<Vec<_>>().as_slice(), b"t"].concat()
    };
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
        &text("storage"),
        b"ctorch\nFloatStorage\n",
        &text(&key.to_string()),
        &text("cpu"),
        &int(elements),
        b"tQK\0",
        &tuple(shape),
        &tuple(stride),
        b"\x89NtR",
    ]
    .concat()
}

fn row_major(shape: &[usize]) -> Vec<usize> {
    (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect()
}

/// A checkpoint as an archive, with the operations of something beside the state dict, packed by a function.
fn checkpoint(beside: &[u8], pack: fn(&str, &[u8]) -> Packed) -> Vec<u8> {
    let weights = expected();
    let state: Vec<u8> = weights
        .iter()
        .enumerate()
        .flat_map(|(key, (name, t))| {
            [text(name), tensor(key, t.data.len(), &t.shape, &row_major(&t.shape))].concat()
        })
        .collect();
    let pickle = [
        b"\x80\x02}(",
        text("config").as_slice(),
        beside,
        &text("state_dict"),
        b"ccollections\nOrderedDict\n)R(",
        &state,
        b"uu.",
    ]
    .concat();
    let mut entries = vec![pack("best/data.pkl", &pickle), pack("best/byteorder", b"little")];
    for (key, tensor) in weights.values().enumerate() {
        let numbers: Vec<u8> = tensor.data.iter().flat_map(|number| number.to_le_bytes()).collect();
        entries.push(pack(&format!("best/data/{key}"), &numbers));
    }
    archive(&entries)
}

/// One entry of an archive.
struct Packed {
    name: String,
    method: u16,
    flags: u16,
    packed: Vec<u8>,
    length: u32,
    crc: u32,
}

fn stored(name: &str, bytes: &[u8]) -> Packed {
    let (length, crc) = (bytes.len() as u32, crc32fast::hash(bytes));
    Packed { name: name.to_owned(), method: 0, flags: 0, packed: bytes.to_vec(), length, crc }
}

fn deflated(name: &str, bytes: &[u8]) -> Packed {
    let mut encoder = DeflateEncoder::new(vec![], flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    Packed { method: 8, packed: encoder.finish().unwrap(), ..stored(name, bytes) }
}

fn archive(entries: &[Packed]) -> Vec<u8> {
    let (mut file, mut directory) = (vec![], vec![]);
    for entry in entries {
        let at = file.len() as u32;
        let mut common = [entry.flags, entry.method, 0, 0].map(u16::to_le_bytes).concat();
        let sizes = [entry.crc, entry.packed.len() as u32, entry.length];
        common.extend(sizes.map(u32::to_le_bytes).concat());
        common.extend([entry.name.len() as u16, 0].map(u16::to_le_bytes).concat());
        file.extend([b"PK\x03\x04\x14\0", common.as_slice(), entry.name.as_bytes(), &entry.packed].concat());
        let local = [&[0; 10][..], &at.to_le_bytes()].concat();
        directory
            .extend([b"PK\x01\x02\x14\0\x14\0", common.as_slice(), &local, entry.name.as_bytes()].concat());
    }
    let begin = file.len() as u32;
    let n = (entries.len() as u16).to_le_bytes();
    let end = [
        b"PK\x05\x06\0\0\0\0".as_slice(),
        &n,
        &n,
        &(directory.len() as u32).to_le_bytes(),
        &begin.to_le_bytes(),
    ];
    [file.as_slice(), &directory, &end.concat(), b"\0\0"].concat()
}

#[test]
fn objects_beside_the_weights_are_read_over_and_named() {
    for (class, operations) in [
        // As mmengine, Lightning, omegaconf and torch write them.
        (
            "mmengine.logging.history_buffer.HistoryBuffer",
            b"cmmengine.logging.history_buffer\nHistoryBuffer\n)\x81}b".as_slice(),
        ),
        (
            "pytorch_lightning.utilities.parsing.AttributeDict",
            b"cpytorch_lightning.utilities.parsing\nAttributeDict\n)\x81X\x02\0\0\0lrG\0\0\0\0\0\0\0\0s",
        ),
        ("omegaconf.dictconfig.DictConfig", b"comegaconf.dictconfig\nDictConfig\n)\x81}X\x01\0\0\0aNsb"),
        ("torch.torch_version.TorchVersion", b"ctorch.torch_version\nTorchVersion\nX\x03\0\0\x002.1\x85\x81"),
        ("datetime.datetime", b"cdatetime\ndatetime\nC\x01x\x85R"),
        // A bound method of a scheduler.
        (
            "torch.optim.lr_scheduler.OneCycleLR",
            b"c__builtin__\ngetattr\nctorch.optim.lr_scheduler\nOneCycleLR\nX\x01\0\0\0m\x86R",
        ),
    ] {
        let imported =
            imported(&checkpoint(operations, stored)).unwrap_or_else(|error| panic!("{class}: {error}"));
        assert!(imported.weights == expected());
        assert_eq!(imported.report.entry.as_deref(), Some("state_dict"));
        assert_eq!(imported.report.not_read, [class]);
    }
    // What is hostile beside the weights refuses the file, as ever.
    let error = imported(&checkpoint(b"cos\nsystem\nX\x02\0\0\0id\x85R", stored)).unwrap_err();
    assert!(matches!(&error, Error::Forbidden { name } if name == "os.system"), "{error}");
}

#[test]
fn a_whole_model_is_told_as_that() {
    let pickle = b"\x80\x02ctorchvision.models.resnet\nResNet\n)\x81}b.";
    let error = StateDict::read(&archive(&[stored("a/data.pkl", pickle)]), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the file holds an object of the class `torchvision.models.resnet.ResNet`, not a state dict"
    );
    assert!(error.hint().unwrap().contains("model.state_dict()"));
}

#[test]
fn an_archive_that_was_packed_again() {
    let read = imported(&checkpoint(b"N", deflated)).unwrap();
    assert!(read.weights == expected());
    // Two tensors of one storage, one of them between others.
    assert!(imported(AUTHORS).unwrap().weights == read.weights);
}

/// A checkpoint whose entry of a name is another one.
fn with_entry(name: &str, change: fn(&mut Packed)) -> Error {
    let weights = expected();
    let (first, t) = weights.iter().next().unwrap();
    let pickle = [
        b"\x80\x02}",
        text(first).as_slice(),
        &tensor(0, t.data.len(), &t.shape, &row_major(&t.shape)),
        b"s.",
    ]
    .concat();
    let numbers: Vec<u8> = t.data.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut entries = [deflated("a/data.pkl", &pickle), deflated("a/data/0", &numbers)];
    entries.iter_mut().filter(|entry| entry.name == name).for_each(change);
    let bytes = archive(&entries);
    let classifier = Rules { matching: Matching::Position, ..Rules::default() };
    match StateDict::read(&bytes, None) {
        Err(error) => error,
        Ok(state) => import(&state, &one_layer(), classifier).unwrap_err(),
    }
}

/// A network of one tensor, which is the first one of the checkpoint.
fn one_layer() -> mutualnet_core::Network {
    use mutualnet_core::network::{NetworkBuilder, Rank};
    use mutualnet_core::{Width, WidthRange};
    let mut net = NetworkBuilder::new("one", Rank::Image, WidthRange::new(Width::ONE, Width::ONE).unwrap());
    let x = net.input(48);
    let x = net.global_pool("pool", x);
    net.linear("classifier.0", x, 5);
    net.finish().unwrap()
}

#[test]
fn packed_entries_that_lie() {
    for (name, change, says) in [
        ("a/data.pkl", (|e| e.crc ^= 1) as fn(&mut Packed), "does not match its checksum"),
        ("a/data.pkl", |e| e.length += 1, "does not unpack to the length that the archive says"),
        ("a/data.pkl", |e| e.length -= 1, "does not unpack to the length that the archive says"),
        ("a/data.pkl", |e| e.length = u32::MAX - 1, "claims to unpack to more bytes than is possible"),
        ("a/data/0", |e| e.length = u32::MAX - 1, "claims to unpack to more bytes than is possible"),
        ("a/data.pkl", |e| e.packed.iter_mut().for_each(|byte| *byte = 0xff), "cannot be unpacked"),
        ("a/data/0", |e| e.flags = 1, "entry `a/data/0` of the archive is encrypted"),
        ("a/data/0", |e| e.method = 93, "an unsupported method (number 93)"),
    ] {
        let error = with_entry(name, change).to_string();
        assert!(error.contains(says), "{name}, {says}: {error}");
    }
}

#[test]
fn archives_that_are_something_else() {
    for (names, found) in [
        (["a/constants.pkl", "a/data.pkl"], FileKind::TorchScript),
        (["a/data.pkl", "a/constants.pkl"], FileKind::TorchScript),
        (["a/code/__torch__/net.py", "a/version"], FileKind::TorchScript),
        (["x.npy", "y.npy"], FileKind::NumpyZip),
        (["a/data/0", "b"], FileKind::Zip),
        (["1.jpg", "2.jpg"], FileKind::Zip),
    ] {
        let error = StateDict::read(&archive(&names.map(|name| deflated(name, b"N."))), None).unwrap_err();
        assert!(
            matches!(&error, Error::NotACheckpoint { found: kind } if *kind == found),
            "{names:?}: {error}"
        );
        assert!(error.hint().is_some(), "{names:?}");
    }
}
