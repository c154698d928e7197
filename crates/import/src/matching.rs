//! Which tensor of a checkpoint is which of the network's.
//!
//! Invariant: a match is by name and shape (or, when asked for, by order and shape); everything in the checkpoint is
//! accounted for in the report, and the network gets all its tensors or there is an error.

use std::collections::{HashMap, HashSet};

use mutualnet_core::network::{NodeId, Op};
use mutualnet_core::{Network, Tensor, Weights};
use serde::Serialize;

use crate::state_dict::Stored;
use crate::{Error, Format, Imported, Matched, Report, Result, Source, StateDict, printable};

/// How tensors are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// By their names.
    #[default]
    Name,
    /// By their order, as the authors' loader does; shapes must agree one by one.
    Position,
}

/// What to do with tensors that the network has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extra {
    /// That is an error: it may be another network.
    #[default]
    Refuse,
    /// They are left out, and reported.
    LeaveOut,
}

/// Where the classifier comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Head {
    /// From the checkpoint, like everything else.
    #[default]
    Imported,
    /// From nowhere: it is left out of the weights, and training begins with a random one.
    LeftOut,
}

/// How to import.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules {
    /// How tensors are told apart.
    pub matching: Matching,
    /// What happens to others.
    pub extra: Extra,
    /// Where the classifier comes from.
    pub head: Head,
}

/// Statistics of batch norms, whoever keeps them: `running_mean`, `running_var`, `num_batches_tracked`.
///
/// # Source
/// `[MN-code train.py]`, which ignores the same ones.
fn is_statistic(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.starts_with("running_") || last.ends_with("_tracked")
}

/// Number of classes of the checkpoint: the rows of what the network calls its last layer.
///
/// # Errors
/// The checkpoint has no such tensor, whoever named it.
pub fn classes(state: &StateDict<'_>, network: &Network, rules: Rules) -> Result<usize> {
    let last = &network.nodes()[network.nodes().len() - 1].path;
    let head = match rules.matching {
        Matching::Name => Names::best(state, network).find(state, &format!("{last}.weight")),
        Matching::Position => learned(state).last(),
    };
    let rows = head.and_then(|head| head.shape.first());
    rows.copied().ok_or_else(|| Error::NoStateDict { reason: format!("it has no classifier `{last}`") })
}

/// The weights of `network` out of a checkpoint.
///
/// # Errors
/// A tensor is missing, has another shape, or has no place in the network; its numbers cannot be read.
pub fn import(state: &StateDict<'_>, network: &Network, rules: Rules) -> Result<Imported> {
    let found = match rules.matching {
        Matching::Name => by_name(state, network, rules.head)?,
        Matching::Position => by_position(state, network, rules.head)?,
    };
    if rules.extra == Extra::Refuse && !found.unused.is_empty() {
        return Err(Error::Unused { network: network.name().to_owned(), unused: found.unused });
    }
    let mut weights = Weights::new();
    let mut matched = Vec::new();
    for (name, shape, stored) in found.tensors {
        let data = state.numbers(stored)?.data;
        let (from, dtype) = (stored.name.to_string(), stored.dtype.name());
        matched.push(Matched { name: name.clone(), from, shape: shape.clone(), dtype });
        weights.insert(name, Tensor { shape, data });
    }
    let report = Report {
        format: state.format,
        entry: state.entry.clone(),
        other_entries: state.other_entries.clone(),
        prefix: state.prefix.clone(),
        source: found.source,
        matching: rules.matching,
        network: network.name().to_owned(),
        classes: (rules.head == Head::Imported).then(|| network.classes()),
        widths: network.widths(),
        params: weights.values().map(|tensor| tensor.data.len() as u64).sum(),
        matched,
        n_statistics: state.tensors.iter().filter(|t| is_statistic(&t.name)).count(),
        n_counters: state.tensors.iter().filter(|t| is_counter(t)).count(),
        without_effect: found.without_effect,
        head_left_out: found.head_left_out,
        unused: found.unused,
        sorted_groups: None,
    };
    Ok(Imported { weights, report })
}

fn is_counter(stored: &Stored<'_>) -> bool {
    !stored.dtype.is_float() && !is_statistic(&stored.name)
}

/// Tensors that may be learned ones, in the order of the file.
fn learned<'s, 'a>(state: &'s StateDict<'a>) -> impl DoubleEndedIterator<Item = &'s Stored<'a>> {
    state.tensors.iter().filter(|t| t.dtype.is_float() && !is_statistic(&t.name))
}

/// What belongs to what.
pub(crate) struct Found<'s, 'a> {
    pub(crate) source: Option<Source>,
    /// Our name and shape, and the tensor.
    pub(crate) tensors: Vec<(String, Vec<usize>, &'s Stored<'a>)>,
    pub(crate) without_effect: Vec<String>,
    /// The checkpoint's classifier, where it was to be left out.
    pub(crate) head_left_out: Vec<String>,
    pub(crate) unused: Vec<String>,
}

/// The names that one source gives to a network's tensors.
struct Names {
    source: Source,
    /// Ours and theirs, in the order of the network; none where they have no such module.
    pairs: Vec<(String, Option<String>)>,
}

impl Names {
    fn new(source: Source, network: &Network) -> Self {
        let pairs = network.parameters().into_iter().map(|parameter| {
            let path = &network.node(parameter.node).path;
            let suffix = &parameter.name[path.len()..];
            let theirs = source.module(network, path).map(|module| format!("{module}{suffix}"));
            (parameter.name, theirs)
        });
        Self { source, pairs: pairs.collect() }
    }

    /// Those of which the checkpoint has most; of equals, the first source.
    fn best(state: &StateDict<'_>, network: &Network) -> Self {
        let present: HashSet<&str> = state.tensors.iter().map(|tensor| &*tensor.name).collect();
        let hits = |names: &Self| {
            let theirs = names.pairs.iter().filter_map(|(_, theirs)| theirs.as_deref());
            theirs.filter(|theirs| present.contains(theirs)).count()
        };
        let [first, others @ ..] = Source::of(network).map(|source| Self::new(source, network));
        others.into_iter().fold(first, |best, next| if hits(&next) > hits(&best) { next } else { best })
    }

    fn find<'s, 'a>(&self, state: &'s StateDict<'a>, ours: &str) -> Option<&'s Stored<'a>> {
        let theirs = self.pairs.iter().find(|(name, _)| name == ours)?.1.as_deref()?;
        state.tensors.iter().find(|tensor| tensor.name == theirs)
    }
}

/// How many of the network's tensors are looked for: all, or all but those of the last layer, which come last.
fn n_needed(network: &Network, head: Head) -> usize {
    let last = NodeId(network.nodes().len() - 1);
    let parameters = network.parameters();
    let n_head = parameters.iter().filter(|parameter| parameter.node == last).count();
    match head {
        Head::Imported => parameters.len(),
        Head::LeftOut => parameters.len() - n_head,
    }
}

pub(crate) fn by_name<'s, 'a>(
    state: &'s StateDict<'a>,
    network: &Network,
    head: Head,
) -> Result<Found<'s, 'a>> {
    let names = Names::best(state, network);
    let stored: HashMap<&str, &Stored<'_>> = learned(state).map(|t| (&*t.name, t)).collect();
    let shapes = network.parameter_shapes(network.widths().full())?;
    let (mut tensors, mut missing, mut used) = (Vec::new(), Vec::new(), HashSet::new());
    for ((ours, theirs), expected) in names.pairs.iter().zip(shapes).take(n_needed(network, head)) {
        let found = theirs.as_ref().and_then(|theirs| stored.get(theirs.as_str()));
        match found {
            Some(found) => {
                used.insert(&*found.name);
                tensors.push((ours.clone(), expected, *found));
            }
            None => missing.push(theirs.clone().unwrap_or_else(|| ours.clone())),
        }
    }
    if !missing.is_empty() {
        return Err(Error::Missing {
            network: network.name().to_owned(),
            n_needed: names.pairs.len(),
            source_names: names.source.name().to_owned(),
            missing,
        });
    }
    for (ours, expected, found) in &tensors {
        check_shape(network, ours, expected, found)?;
    }
    let biases = biases_without_effect(network, names.source);
    let rest = learned(state).filter(|tensor| !used.contains(&*tensor.name));
    let rest = rest.map(|tensor| tensor.name.to_string());
    let (without_effect, rest): (_, Vec<_>) = rest.partition(|name| biases.contains(name));
    let of_head = |name: &String| head == Head::LeftOut && names.source.is_head(network, name);
    let (head_left_out, unused) = rest.into_iter().partition(of_head);
    Ok(Found { source: Some(names.source), tensors, without_effect, head_left_out, unused })
}

/// A 1×1 convolution over a pooled map and a linear layer are the same numbers; apart from that shapes are equal.
fn check_shape(network: &Network, ours: &str, expected: &[usize], found: &Stored<'_>) -> Result<()> {
    let without_ones = |shape: &[usize]| {
        let kept = shape.len() - shape.iter().skip(2).rev().take_while(|n| **n == 1).count();
        shape[..kept].to_vec()
    };
    if without_ones(expected) == without_ones(&found.shape) {
        return Ok(());
    }
    Err(Error::Shape {
        from: found.name.to_string(),
        found: found.shape.clone(),
        name: ours.to_owned(),
        network: network.name().to_owned(),
        expected: expected.to_vec(),
    })
}

/// Their names of the biases of convolutions that have none here, because a batch norm takes the mean away.
fn biases_without_effect(network: &Network, source: Source) -> HashSet<String> {
    let nodes = network.nodes();
    let only_normed = |id: NodeId| {
        let mut readers = nodes.iter().filter(|node| node.inputs.contains(&id)).peekable();
        readers.peek().is_some() && readers.all(|node| matches!(node.op, Op::BatchNorm(_)))
    };
    let convs = nodes
        .iter()
        .enumerate()
        .filter(|(idx, node)| matches!(&node.op, Op::Conv(conv) if !conv.bias) && only_normed(NodeId(*idx)));
    convs.filter_map(|(_, node)| Some(format!("{}.bias", source.module(network, &node.path)?))).collect()
}

fn by_position<'s, 'a>(state: &'s StateDict<'a>, network: &Network, head: Head) -> Result<Found<'s, 'a>> {
    let wrong = |reason: String| Error::Position { reason };
    if state.format == Format::Safetensors {
        return Err(wrong("tensors of a safetensors file have no order".to_owned()));
    }
    let parameters = network.parameters();
    let shapes = network.parameter_shapes(network.widths().full())?;
    let mut found: Vec<_> = learned(state).collect();
    if found.len() != parameters.len() {
        let (found, needed) = (found.len(), parameters.len());
        return Err(wrong(format!("the checkpoint has {found} learned tensors, the network {needed}")));
    }
    let head_left_out = found.split_off(n_needed(network, head));
    let head_left_out = head_left_out.into_iter().map(|tensor| tensor.name.to_string()).collect();
    let tensors = parameters.into_iter().zip(shapes).zip(found).enumerate();
    let tensors = tensors.map(|(idx, ((parameter, shape), found))| {
        if found.shape != shape {
            let (from, name) = (printable(&found.name), &parameter.name);
            let reason = format!("tensor {idx}, `{from}`, is {:?}, but `{name}` is {shape:?}", found.shape);
            return Err(wrong(reason));
        }
        Ok((parameter.name, shape, found))
    });
    let tensors = tensors.collect::<Result<_>>()?;
    Ok(Found { source: None, tensors, without_effect: vec![], head_left_out, unused: vec![] })
}
