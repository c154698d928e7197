//! The names of all keys, and which of them an unknown name was probably meant to be.
//!
//! Invariant: a key is only suggested if it exists; if none is similar, the keys of the section are listed.

use mutualnet_data::augment::RandAugment;
use mutualnet_data::{TrainCrop, TrainTransform};
use mutualnet_zoo::TwoStage;

use super::file::{DataSection, NetworkSection, RecipeFile, TabulateSection};
use super::problem::shown;
use super::read::fields_of;
use super::train_section::TrainSection;
use crate::update::Clip;

/// Every section, and every table that is the value of a key, with its keys.
fn sections() -> [(&'static str, &'static [&'static str]); 10] {
    [
        ("", fields_of::<RecipeFile>()),
        ("network", fields_of::<NetworkSection>()),
        ("network.two_stage", fields_of::<TwoStage>()),
        ("data", fields_of::<DataSection>()),
        ("data.augment", fields_of::<TrainTransform>()),
        ("data.augment.crop", fields_of::<TrainCrop>()),
        ("data.augment.rand_augment", fields_of::<RandAugment>()),
        ("train", fields_of::<TrainSection>()),
        ("train.clip", fields_of::<Clip>()),
        ("tabulate", fields_of::<TabulateSection>()),
    ]
}

/// Every dotted key, without the four sections.
pub(super) fn keys() -> Vec<String> {
    let sections = sections();
    let all = sections.iter().flat_map(|(section, keys)| keys.iter().map(|key| dotted(section, key)));
    all.filter(|key| !SECTIONS.contains(&key.as_str())).collect()
}

/// The sections at the top.
const SECTIONS: [&str; 4] = ["network", "data", "train", "tabulate"];

/// What other programs call our keys.
const ALIASES: &[(&str, &[&str])] = &[
    ("seed", &["manual_seed", "random_seed"]),
    ("network.name", &["model", "model_name", "arch", "architecture", "backbone", "net"]),
    (
        "network.widths",
        &["width", "width_mult", "width_mult_list", "width_mult_range", "multiplier", "alpha"],
    ),
    (
        "network.resolutions",
        &[
            "resolution",
            "image_size",
            "img_size",
            "imgsz",
            "input_size",
            "size",
            "crop_size",
            "resolution_list",
        ],
    ),
    (
        "network.frames",
        &["num_frames", "n_frames", "clip_len", "clip_length", "frames_per_clip", "num_segments"],
    ),
    (
        "data.frame_stride",
        &["sampling_rate", "frame_interval", "frame_step", "step_between_clips", "temporal_stride"],
    ),
    ("data.path", &["dataset", "data_dir", "dataset_dir", "data_path", "dataset_path", "root", "train_dir"]),
    ("data.train", &["train_split"]),
    ("data.test", &["val", "valid", "validation", "val_split", "test_split", "eval_split"]),
    ("data.workers", &["num_workers", "n_workers", "dataloader_num_workers", "data_loader_workers"]),
    ("data.resize", &["resize_size", "val_resize", "crop_pct"]),
    ("data.augment.flip", &["hflip", "horizontal_flip", "random_flip"]),
    ("data.augment.rand_augment", &["randaugment", "rand_aug", "randaug", "auto_augment", "aa"]),
    ("data.augment.random_erasing", &["reprob", "random_erase"]),
    ("train.lr", &["learning_rate", "base_lr", "initial_lr", "init_lr", "max_lr", "peak_lr", "lr0"]),
    ("train.batch", &["batch_size", "batchsize", "train_batch_size", "per_device_train_batch_size", "bs"]),
    ("train.epochs", &["num_epochs", "n_epochs", "max_epochs", "num_train_epochs", "nepochs"]),
    (
        "train.max_steps",
        &["steps", "num_steps", "n_steps", "total_steps", "iterations", "iters", "max_iter", "max_iters"],
    ),
    ("train.schedule", &["lr_scheduler", "scheduler", "lr_schedule", "sched", "lr_scheduler_type"]),
    (
        "train.warmup_epochs",
        &["warmup", "warmup_steps", "num_warmup_steps", "warmup_iters", "lr_warmup_epochs"],
    ),
    ("train.optimizer", &["opt", "optim"]),
    ("train.betas", &["beta", "beta1", "beta2", "adam_beta1", "adam_beta2"]),
    ("train.weight_decay", &["wd", "l2"]),
    ("train.clip", &["grad_clip", "clip_grad", "gradient_clip_val", "max_grad_norm", "clip_norm"]),
    ("train.random_subnets", &["num_sample_training", "n_random", "num_subnets", "sandwich"]),
    ("train.dropout", &["drop", "drop_rate", "dropout_rate"]),
    ("train.ema", &["ema_decay", "model_ema", "model_ema_decay"]),
    (
        "train.init",
        &["pretrained", "pretrain", "checkpoint", "finetune", "pretrained_weights", "init_weights"],
    ),
    ("train.device", &["gpu", "gpus", "cuda", "accelerator"]),
    ("train.threads", &["num_threads", "n_threads", "nthreads"]),
    ("train.checkpoint_steps", &["save_steps", "save_every", "checkpoint_every", "save_interval"]),
    (
        "train.keep_checkpoints",
        &["save_total_limit", "keep_last", "max_keep", "max_to_keep", "checkpoint_hist"],
    ),
    ("train.keep_every", &["keep_period", "keep_checkpoint_every"]),
    (
        "train.evaluate_epochs",
        &["eval_every", "eval_interval", "val_interval", "check_val_every_n_epoch", "val_every"],
    ),
    ("train.method", &["algorithm", "mode"]),
];

/// What other programs call our sections.
const SECTION_ALIASES: &[(&str, &[&str])] = &[
    ("network", &["model", "net", "arch", "architecture", "backbone"]),
    ("data", &["dataset", "datasets", "dataloader", "input"]),
    ("data.augment", &["augment", "augmentation", "augmentations", "transform", "transforms"]),
    ("train", &["training", "trainer", "optim", "optimizer", "solver", "hyperparameters", "hyp", "params"]),
    ("tabulate", &["table", "eval", "evaluation", "calibrate", "calibration", "test", "sweep"]),
];

/// Keys of other programs that have no counterpart.
const ANSWERS: &[(&str, &[&str])] = &[
    ("remove it: the classes are those of the data", &["num_classes", "n_classes", "nclasses", "classes"]),
    (
        "the run directory is an argument: mutualnet train RECIPE --out RUN",
        &["out", "output", "output_dir", "out_dir", "save_dir", "log_dir", "run_dir", "work_dir", "logdir"],
    ),
    ("--resume is an argument: mutualnet train RECIPE --out RUN --resume", &["resume"]),
    ("remove it: training computes in 32-bit floats", &["amp", "fp16", "bf16", "precision", "half"]),
];

/// What the author of an unknown key may have meant: a full sentence.
pub(super) fn hint(key: &str) -> String {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let name = normal(name);
    if let Some((answer, _)) = ANSWERS.iter().find(|(_, names)| names.contains(&name.as_str())) {
        return (*answer).to_owned();
    }
    match meant(section, &name).as_slice() {
        [] => listed(section),
        found => did_you_mean(found.iter().map(|key| format!("`{key}`"))),
    }
}

/// What the author of an unknown section may have meant.
pub(super) fn section_hint(key: &str) -> String {
    let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
    let name = normal(name);
    let alias = SECTION_ALIASES.iter().find(|(_, names)| names.contains(&name.as_str()));
    let nearest = nearest(&name, SECTIONS.iter().copied());
    match alias.map(|(section, _)| *section).or(nearest) {
        Some(section) => format!("did you mean [{section}]?"),
        None => match meant(parent, &name).as_slice() {
            [] => listed(parent),
            found => did_you_mean(found.iter().map(|key| format!("`{key}`"))),
        },
    }
}

/// The key that `text` was meant to be, if there is only one candidate.
pub(super) fn the_key(text: &str) -> Option<String> {
    let (section, name) = text.rsplit_once('.').unwrap_or(("", text));
    match meant(section, &normal(name)).as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    }
}

/// The name most similar to `text`, if any is similar.
pub(super) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = normal(text);
    let near = names.filter_map(|name| Some((distance(&text, &normal(name))?, name)));
    near.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

/// A value to show for a key that has no default.
pub(super) fn example(section: &str, name: &str) -> &'static str {
    match (section, name) {
        ("network", "name") => "\"mobilenet_v2\"",
        ("network", "widths") => "[0.25, 1.0]",
        ("network", "resolutions") => "[32, 28, 24, 20]",
        ("data", "path") => "\"path/to/data\"",
        ("train", "epochs") => "30",
        ("train", "batch") => "64",
        ("train", "lr") => "0.05",
        (_, "kind") if section == "train.clip" => "\"norm\"",
        (_, "kind") => "\"random_resized\"",
        _ => "1.0",
    }
}

/// How much names differ that only have a part in common, such as `side` and `longest_side`. Within a section that is a hint.
const SHARED_PART: f64 = 2.0;

/// The keys that may be meant: the best candidates only.
fn meant(section: &str, name: &str) -> Vec<String> {
    let mut found: Vec<(f64, String)> = Vec::new();
    for key in keys() {
        let (of, own) = key.rsplit_once('.').unwrap_or(("", &key));
        let aliases = ALIASES.iter().find(|(to, _)| *to == key).map_or(&[][..], |(_, names)| names);
        let score = if aliases.contains(&name) { Some(0.0) } else { distance(name, own) };
        let Some(score) = score else { continue };
        let is_inside = section.is_empty() || of == section || of.starts_with(&format!("{section}."));
        if score >= SHARED_PART && !is_inside {
            continue;
        }
        // When in doubt, the section that was written is the right one.
        let elsewhere = if section.is_empty() || of == section { 0.0 } else { 0.5 };
        found.push((score + elsewhere, key));
    }
    let best = found.iter().map(|(score, _)| *score).min_by(f64::total_cmp);
    let Some(best) = best else { return Vec::new() };
    found.into_iter().filter(|(score, _)| *score <= best).map(|(_, key)| key).take(3).collect()
}

/// How much two names differ, if they are similar.
fn distance(name: &str, other: &str) -> Option<f64> {
    /// Shortest part of a name that says something.
    const PART: usize = 4;
    let edits = strsim::osa_distance(name, other);
    let most = name.chars().count().max(other.chars().count()) / 3;
    if edits <= most {
        Some(edits as f64)
    } else if name.len() >= PART && other.split('_').any(|part| part == name)
        || other.len() >= PART && name.contains(other)
    {
        Some(SHARED_PART)
    } else {
        None
    }
}

fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace(['-', ' '], "_")
}

fn listed(section: &str) -> String {
    let keys = sections().into_iter().find(|(name, _)| *name == section).map(|(_, keys)| keys);
    match keys {
        Some(keys) if !section.is_empty() => format!("the keys of [{section}] are {}", keys.join(", ")),
        _ => "a recipe has the key seed and the sections [network], [data], [train] and [tabulate]; docs/formats.md \
              lists all keys"
            .to_owned(),
    }
}

fn did_you_mean(names: impl Iterator<Item = String>) -> String {
    let names: Vec<_> = names.map(|name| shown(&name)).collect();
    format!("did you mean {}?", names.join(" or "))
}

fn dotted(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alias_is_of_a_key_and_of_one_only() {
        let keys = keys();
        let mut seen = std::collections::BTreeSet::new();
        for (key, names) in ALIASES {
            assert!(keys.iter().any(|known| known == key), "{key}");
            for name in *names {
                assert!(seen.insert(name), "{name} is there twice");
                assert_eq!(normal(name), **name);
            }
        }
    }

    #[test]
    fn keys_of_other_programs_are_understood() {
        for (written, meant) in [
            ("epochs", "`train.epochs`"),
            ("epoch", "`train.epochs`"),
            ("train.epoch", "`train.epochs`"),
            ("trian.epochs", "`train.epochs`"),
            ("learning_rate", "`train.lr`"),
            ("train.learning-rate", "`train.lr`"),
            ("LR", "`train.lr`"),
            ("batch_size", "`train.batch`"),
            ("workers", "`data.workers`"),
            ("train.num_workers", "`data.workers`"),
            ("train.weight-decay", "`train.weight_decay`"),
            ("train.momentun", "`train.momentum`"),
            ("train.flip", "`data.augment.flip`"),
            ("data.color", "`data.augment.color_jitter`"),
            ("train.smoothing", "`train.label_smoothing`"),
            ("network.resolution", "`network.resolutions`"),
            ("width_step", "`train.width_step` or `tabulate.width_step`"),
            ("tabulate.width_steps", "`tabulate.width_step`"),
        ] {
            assert_eq!(hint(written), format!("did you mean {meant}?"), "{written}");
        }
        for (written, meant) in
            [("model", "[network]"), ("training", "[train]"), ("dataset", "[data]"), ("tran", "[train]")]
        {
            assert_eq!(section_hint(written), format!("did you mean {meant}?"), "{written}");
        }
    }

    #[test]
    fn what_is_like_nothing_lists_the_keys_of_its_section() {
        assert!(hint("train.banana").starts_with("the keys of [train] are method, subnet, epochs"));
        assert!(hint("banana").contains("[network], [data], [train] and [tabulate]"));
        assert!(section_hint("banana").contains("[network], [data], [train] and [tabulate]"));
        assert_eq!(hint("network.two_stage.region"), "did you mean `network.two_stage.regions`?");
        assert!(hint("data.augment.crop.side").starts_with("the keys of [data.augment.crop] are kind"));
        assert!(hint("num_classes").contains("the classes are those of the data"));
        assert_eq!((the_key("banana"), the_key("width_step")), (None, None));
        assert_eq!(the_key("learning-rate").as_deref(), Some("train.lr"));
    }
}
