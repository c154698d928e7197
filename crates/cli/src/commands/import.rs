//! `mutualnet import`: turns the checkpoint of another program into weights for one of our networks.

use anyhow::{Result, bail};
use mutualnet_bundle::safetensors;
use mutualnet_core::Network;
use mutualnet_core::text::counted;
use mutualnet_import::{
    Error, Extra, Head, Matching, Report, Rules, StateDict, classes, import, printable, read_file,
    sort_channels,
};
use mutualnet_zoo::NetworkConfig;

use super::open;
use crate::args::ImportArgs;
use crate::text;

pub(super) fn run(args: &ImportArgs) -> Result<()> {
    open::check_output(&args.output, &args.checkpoint)?;
    if args.output.extension().is_none_or(|extension| extension != "safetensors") {
        bail!("the name of the output must end in .safetensors: {}", args.output.display());
    }
    // Names do not depend on the number of classes, so any number will do to find the real one.
    let probe = network(args, 1)?;
    let bytes = read_file(&args.checkpoint)?;
    let state = StateDict::read(&bytes, args.entry.as_deref())?;
    let rules = rules(args);
    let network = match rules.head {
        Head::LeftOut => probe,
        Head::Imported => {
            let found = classes(&state, &probe, rules)?;
            if let Some(expected) = args.classes.filter(|expected| *expected != found) {
                return Err(Error::Classes { found, expected }.into());
            }
            network(args, found)?
        }
    };
    let mut imported = import(&state, &network, rules)?;
    if args.sort_channels {
        imported.report.sorted_groups = Some(sort_channels(&network, &mut imported.weights)?);
    }
    safetensors::write(&imported.weights, &args.output)?;
    if args.json {
        text::json(&imported.report)?;
    } else {
        for (what, value) in lines(&imported.report) {
            text::line(&format!("{what:<12}{value}"))?;
        }
    }
    if let Some(notice) = imported.report.notice() {
        text::note(&format!("note: {notice}"));
    }
    text::note(&format!("weights written to {}", args.output.display()));
    Ok(())
}

/// Weights do not depend on the output stride.
fn network(args: &ImportArgs, classes: usize) -> Result<Network> {
    let config = NetworkConfig { classes, widths: args.widths, output_stride: None };
    Ok(mutualnet_zoo::build(&args.network, &config)?)
}

fn rules(args: &ImportArgs) -> Rules<'_> {
    Rules {
        prefix: args.prefix.as_deref(),
        matching: if args.by_position { Matching::Position } else { Matching::Name },
        head: if args.new_head { Head::LeftOut } else { Head::Imported },
        extra: if args.allow_unused { Extra::LeaveOut } else { Extra::Refuse },
    }
}

/// The report in lines for users; names from the file are made printable.
fn lines(report: &Report) -> Vec<(&'static str, String)> {
    let Report { network, widths, params, .. } = report;
    let classes = match report.classes {
        Some(classes) => format!("{classes} classes"),
        None => "no classifier".to_owned(),
    };
    let source = match report.source {
        Some(source) => format!("by name (named as by {})", source.name()),
        None => "by position".to_owned(),
    };
    let under = report.entry.as_ref().map(|entry| format!(", under `{}`", printable(entry)));
    let prefix =
        Some(format!(", prefix `{}`", printable(&report.prefix))).filter(|_| !report.prefix.is_empty());
    let mut lines = vec![
        ("network", format!("{network}, widths {} to {}, {classes}", widths.smallest(), widths.full())),
        (
            "checkpoint",
            format!("{}{}{}", report.format.name(), under.unwrap_or_default(), prefix.unwrap_or_default()),
        ),
        ("matched", format!("{} tensors ({params} parameters) {source}", report.matched.len())),
        (
            "left out",
            format!(
                "{} batch-norm statistics (every row is calibrated), {} counters",
                report.n_statistics, report.n_counters
            ),
        ),
    ];
    for (what, why, names) in [
        ("", "no effect before a batch norm", &report.without_effect),
        ("", "classifier", &report.head_left_out),
        ("", "auxiliary classifier, not in the checkpoint", &modules(&report.without_auxiliary)),
        ("", "not in the network", &report.unused),
        ("", "outside the prefix", &modules(&report.outside)),
        ("not read", "also fits, choose with --prefix", &report.other_prefixes),
        ("not read", "further state dicts, choose with --entry", &report.other_entries),
        ("not read", "objects besides the weights", &report.not_read),
    ] {
        if !names.is_empty() {
            let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
            lines.push((what, format!("{}: {}", why, names.join(", "))));
        }
    }
    if let Some(n_groups) = report.sorted_groups {
        lines.push(("sorted", format!("{n_groups} channel groups by importance")));
    }
    lines
}

/// Tensors by the module that they belong to, `criterion.*` for those of one module, and how many there are.
fn modules(names: &[String]) -> Vec<String> {
    let mut modules: Vec<(&str, Vec<&str>)> = vec![];
    for name in names {
        let module = name.split_once('.').map_or(name.as_str(), |(module, _)| module);
        match modules.iter_mut().find(|(known, _)| *known == module) {
            Some((_, names)) => names.push(name),
            None => modules.push((module, vec![name])),
        }
    }
    let line = |(module, names): (&str, Vec<&str>)| match names[..] {
        [name] => name.to_owned(),
        _ => format!("{module}.* ({})", counted(names.len(), "tensor")),
    };
    modules.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use mutualnet_core::{Width, WidthRange};
    use mutualnet_import::Format;

    use super::*;

    #[test]
    fn names_that_would_paint_the_terminal() {
        let name = "\x1b[2J".to_owned();
        let names = vec![name.clone()];
        let report = Report {
            format: Format::TorchZip,
            entry: Some(name),
            other_entries: names.clone(),
            prefix: "module.".to_owned(),
            not_read: names.clone(),
            other_prefixes: names.clone(),
            outside: names.clone(),
            source: None,
            matching: Matching::Position,
            network: "resnet18".to_owned(),
            classes: None,
            widths: WidthRange::new(Width::ONE, Width::ONE).unwrap(),
            params: 0,
            matched: vec![],
            n_statistics: 0,
            n_counters: 0,
            is_frozen: false,
            without_effect: names.clone(),
            head_left_out: names.clone(),
            without_auxiliary: vec![],
            unused: names,
            sorted_groups: None,
        };
        let told: String = lines(&report).into_iter().map(|(_, value)| value + "\n").collect();
        assert_eq!((told.matches("\\u{1b}[2J").count(), told.matches('\x1b').count()), (8, 0), "{told:?}");
    }
}
