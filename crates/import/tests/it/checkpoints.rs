//! Every format and shape of checkpoint that PyTorch wrote into `golden`.

use mutualnet_bundle::safetensors;
use mutualnet_core::{Network, Width, WidthRange};
use mutualnet_import::{Error, Extra, Format, Head, Matching, Rules, Source, StateDict, classes, import};

use crate::{AUTHORS, AUTHORS_LEGACY, PLAIN, VIEWS, expected, imported, network};

#[test]
fn the_authors_checkpoints_in_both_formats() {
    for (bytes, format) in [(AUTHORS, Format::TorchZip), (AUTHORS_LEGACY, Format::TorchLegacy)] {
        let imported = imported(bytes).unwrap();
        assert!(imported.weights == expected(), "{format:?}");
        let report = imported.report;
        assert_eq!((report.format, report.entry.as_deref()), (format, Some("model")));
        assert_eq!((report.prefix.as_str(), report.source), ("module.", Some(Source::Authors)));
        assert_eq!((report.matched.len(), report.classes), (14, Some(5)));
        // Three slimmable norms with two listed widths, and a plain one.
        assert_eq!((report.n_statistics, report.n_counters), (21, 0));
        assert!(report.unused.is_empty() && report.without_effect.is_empty());
        assert_eq!(report.params, expected().values().map(|tensor| tensor.data.len() as u64).sum::<u64>());
    }
}

#[test]
fn views_types_and_a_second_state_dict() {
    let imported = imported(VIEWS).unwrap();
    assert!(imported.weights == expected());
    let report = imported.report;
    assert_eq!(report.entry.as_deref(), Some("state_dict"));
    assert_eq!(report.other_entries, ["state_dict_ema"]);
    let dtypes: Vec<_> = report.matched.iter().map(|matched| matched.dtype).collect();
    assert_eq!(dtypes.iter().filter(|dtype| **dtype == "f16").count(), 1);
    assert_eq!(dtypes.iter().filter(|dtype| **dtype == "f64").count(), 1);

    let average = StateDict::read(VIEWS, Some("state_dict_ema")).unwrap();
    let error = import(&average, &network(), Rules::default()).unwrap_err();
    assert!(matches!(&error, Error::Missing { missing, .. } if missing.len() == 14), "{error}");
    let error = StateDict::read(VIEWS, Some("ema")).unwrap_err().to_string();
    assert!(error.contains("none under `ema`, only under: ") && error.contains("state_dict_ema"), "{error}");
}

#[test]
fn safetensors_and_what_is_written() {
    let read = imported(PLAIN).unwrap();
    assert!(read.weights == expected());
    assert!(read.report.matched.iter().all(|matched| matched.dtype == "bf16"));
    let written = safetensors::to_bytes(&read.weights);
    assert_eq!(written, safetensors::to_bytes(&read.weights));
    assert!(imported(&written).unwrap().weights == read.weights);
}

#[test]
fn by_position() {
    let rules = Rules { matching: Matching::Position, ..Rules::default() };
    for bytes in [AUTHORS, AUTHORS_LEGACY] {
        let state = StateDict::read(bytes, None).unwrap();
        let imported = import(&state, &network(), rules).unwrap();
        assert!(imported.weights == expected());
        assert_eq!((imported.report.source, imported.report.matching), (None, Matching::Position));
        assert_eq!(classes(&state, &network(), rules).unwrap(), 5);
    }
    let state = StateDict::read(PLAIN, None).unwrap();
    let error = import(&state, &network(), rules).unwrap_err().to_string();
    assert!(error.contains("have no order"), "{error}");
    let state = StateDict::read(AUTHORS, None).unwrap();
    let error = import(&state, &zoo("mobilenet_v1", 1.0), rules).unwrap_err().to_string();
    assert!(error.contains("has 14 learned tensors, the network has 83"), "{error}");
    let error = import(&state, &small(2.0), rules).unwrap_err().to_string();
    assert!(error.contains("tensor 0, `features.0.0.weight`, has shape [32, 3, 3, 3], but"), "{error}");
}

fn zoo(name: &str, full: f64) -> Network {
    let full = Width::new(full).unwrap();
    let widths = WidthRange::new(full, full).unwrap();
    let config = mutualnet_zoo::NetworkConfig { classes: 5, widths, output_stride: None };
    mutualnet_zoo::build(name, &config).unwrap()
}

/// The small network with another full width.
fn small(full: f64) -> Network {
    let text = serde_json::to_string(&network()).unwrap();
    let wider = text.replacen("\"widths\":[0.25,1.0]", &format!("\"widths\":[0.25,{full:?}]"), 1);
    assert_ne!(wider, text);
    serde_json::from_str(&wider).unwrap()
}

#[test]
fn another_width_is_told_and_not_sliced() {
    let state = StateDict::read(AUTHORS, None).unwrap();
    for full in [0.5, 2.0] {
        let error = import(&state, &small(full), Rules::default()).unwrap_err();
        assert!(matches!(&error, Error::Shape { from, .. } if from == "features.0.0.weight"), "{error}");
        assert!(error.hint().unwrap().contains("--widths"));
    }
}

#[test]
fn what_has_no_place_is_an_error_unless_allowed() {
    let mut weights = expected();
    weights.insert("aux.fc.weight".to_owned(), weights["classifier.0.weight"].clone());
    let bytes = safetensors::to_bytes(&weights);
    let error = imported(&bytes).unwrap_err();
    assert!(error.to_string().contains("for 1 of") && error.to_string().contains("aux.fc.weight"), "{error}");
    let rules = Rules { extra: Extra::LeaveOut, ..Rules::default() };
    let imported = import(&StateDict::read(&bytes, None).unwrap(), &network(), rules).unwrap();
    assert_eq!(imported.report.unused, ["aux.fc.weight"]);
    assert!(imported.weights == expected());
}

#[test]
fn the_classifier_can_be_left_out() {
    let without = {
        let mut weights = expected();
        weights.retain(|name, _| !name.starts_with("classifier"));
        weights
    };
    for matching in [Matching::Name, Matching::Position] {
        let rules = Rules { head: Head::LeftOut, matching, ..Rules::default() };
        let imported = import(&StateDict::read(AUTHORS, None).unwrap(), &network(), rules).unwrap();
        assert!(imported.weights == without);
        assert_eq!(imported.report.classes, None);
        assert_eq!(imported.report.head_left_out, ["classifier.0.weight", "classifier.0.bias"]);
    }
    // A backbone that has none.
    let bytes = safetensors::to_bytes(&without);
    let state = StateDict::read(&bytes, None).unwrap();
    let error = import(&state, &network(), Rules::default()).unwrap_err();
    assert!(error.hint().unwrap().contains("--new-head"), "{error}");
    let rules = Rules { head: Head::LeftOut, ..Rules::default() };
    assert!(import(&state, &network(), rules).unwrap().weights == without);
}

#[test]
fn a_bias_before_a_norm_has_no_effect() {
    let mut weights = expected();
    weights.insert("features.0.0.bias".to_owned(), weights["features.0.1.bias"].clone());
    let report = imported(&safetensors::to_bytes(&weights)).unwrap().report;
    assert_eq!(report.without_effect, ["features.0.0.bias"]);
}

#[test]
fn numbers_that_are_none_are_refused() {
    let mut weights = expected();
    weights.get_mut("features.2.1.bias").unwrap().data[7] = f32::NAN;
    let error = imported(&safetensors::to_bytes(&weights)).unwrap_err().to_string();
    assert!(error.contains("`features.2.1.bias`") && error.contains("it holds NaN"), "{error}");
}

#[test]
fn classes_are_those_of_the_checkpoint() {
    let state = StateDict::read(AUTHORS, None).unwrap();
    assert_eq!(classes(&state, &network(), Rules::default()).unwrap(), 5);
    let mut weights = expected();
    weights.remove("classifier.0.weight");
    let bytes = safetensors::to_bytes(&weights);
    let state = StateDict::read(&bytes, None).unwrap();
    let error = classes(&state, &network(), Rules::default()).unwrap_err();
    assert_eq!(error.to_string(), "the checkpoint has no classifier `classifier.0`");
    assert!(error.hint().unwrap().contains("--new-head"));
}

/// Only a checkpoint with frozen batch norms, of a network that torchvision publishes with an eps of 0, has something to tell.
#[test]
fn an_eps_of_0_is_told() {
    let widths = WidthRange::new(Width::ONE, Width::ONE).unwrap();
    let config = mutualnet_zoo::NetworkConfig { classes: 2, widths, output_stride: None };
    for (name, is_told) in
        [("maskrcnn_resnet50_fpn", [true, false]), ("maskrcnn_mobilenet_v3_large_fpn", [false, false])]
    {
        let network = mutualnet_zoo::build(name, &config).unwrap();
        let shapes = network.parameter_shapes(Width::ONE).unwrap();
        let zeros =
            |shape: Vec<usize>| mutualnet_core::Tensor { data: vec![0.0; shape.iter().product()], shape };
        let names = network.parameters().into_iter().map(|parameter| parameter.name);
        let mut weights: mutualnet_core::Weights = names.zip(shapes.into_iter().map(zeros)).collect();
        let norm = network.node(network.batch_norms().next().unwrap()).path.clone();
        for (statistic, is_told) in ["running_mean", "num_batches_tracked"].into_iter().zip(is_told) {
            weights.insert(format!("{norm}.{statistic}"), zeros(vec![1]));
            let bytes = safetensors::to_bytes(&weights);
            let state = StateDict::read(&bytes, None).unwrap();
            let notice = import(&state, &network, Rules::default()).unwrap().report.notice();
            assert_eq!(
                notice.is_some_and(|notice| notice.contains("eps of 0")),
                is_told,
                "{name} {statistic}"
            );
        }
    }
}
