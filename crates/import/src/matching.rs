//! Matches the tensors of a checkpoint with those of a network.
//!
//! Invariant: a match is by name and shape (or, when asked for, by order and shape); everything in the checkpoint is
//! accounted for in the report, and the network gets all its tensors or there is an error.

use std::collections::{BTreeSet, HashMap, HashSet};

use mutualnet_core::network::{NodeId, Op, Parameter};
use mutualnet_core::{Network, Tensor, Weights};
use serde::Serialize;

use crate::checkpoint_names::{Name, Names};
use crate::content::Unpacker;
use crate::prefix::{self, Part};
use crate::state_dict::Stored;
use crate::{Error, Format, Imported, Matched, Report, Result, Source, StateDict, printable};

/// How tensors are matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Matching {
    /// By name.
    #[default]
    Name,
    /// By order, as the authors' loader does; the shapes of each pair must agree.
    Position,
}

/// What to do with tensors that the network has no place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Extra {
    /// Refuse the checkpoint: it may be that of another network.
    #[default]
    Refuse,
    /// Leave them out and report them.
    LeaveOut,
}

/// Where the classifier comes from: the last layer, or the layers that give the scores of a segmentation network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Head {
    /// From the checkpoint, like everything else.
    #[default]
    Imported,
    /// Nowhere: it is left out of the weights, and training starts with a random one.
    LeftOut,
}

/// What an import takes from a checkpoint, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rules<'r> {
    /// How tensors are matched.
    pub matching: Matching,
    /// What happens to tensors that the network has no place for.
    pub extra: Extra,
    /// Where the classifier comes from.
    pub head: Head,
    /// What the names of the network's tensors begin with in the checkpoint; `None` to find it.
    pub prefix: Option<&'r str>,
}

/// Whether a tensor is a statistic of a batch norm: `running_mean`, `running_var`, `num_batches_tracked`.
///
/// # Source
/// `[MN-code train.py]`, which ignores the same ones.
fn is_statistic(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.starts_with("running_") || last.ends_with("_tracked")
}

/// Number of classes of the checkpoint: the outputs of what is the network's classifier.
///
/// # Errors
/// The checkpoint has no such tensor under any naming scheme.
pub fn classes(state: &StateDict<'_>, network: &Network, rules: Rules<'_>) -> Result<usize> {
    let parameters = network.parameters();
    let heads = network.heads();
    let is_head = |parameter: &Parameter| heads.contains(&parameter.node);
    let head_idx = parameters.iter().position(is_head).expect("every network has a layer with parameters");
    let (head, prefix) = match rules.matching {
        Matching::Name => {
            let (names, part, _) = Names::best(state, network, rules.prefix)?;
            (names.find(&part, head_idx), part.prefix)
        }
        Matching::Position => {
            let part = part_by_count(state, network, rules.prefix)?;
            // With another number of tensors the last ones are the best guess, until matching says what is wrong.
            let n_after = parameters.len() - head_idx - 1;
            let head = learned(&part).rev().nth(n_after).map(|(_, head)| head);
            (head, part.prefix)
        }
    };
    let name = || network.node(parameters[head_idx].node).path.clone();
    match head.and_then(|head| head.shape.first()) {
        Some(outputs) => Ok(outputs / network.boxes_per_position().unwrap_or(1)),
        None if rules.matching == Matching::Name => match by_name(state, network, rules) {
            Err(error) => Err(error),
            Ok(_) => Err(Error::NoClassifier { name: name(), prefix }),
        },
        None => Err(Error::NoClassifier { name: name(), prefix }),
    }
}

/// Whether a checkpoint has batch norms, of which none counts batches, as torchvision's frozen ones.
fn is_frozen<'a>(names: impl Iterator<Item = &'a str> + Clone) -> bool {
    let has = |last: &str| names.clone().any(|name| name.rsplit('.').next() == Some(last));
    has("running_mean") && !has("num_batches_tracked")
}

/// Takes the weights of `network` from a checkpoint.
///
/// # Errors
/// A tensor is missing, has another shape, or has no place in the network; its numbers cannot be read.
pub fn import(state: &StateDict<'_>, network: &Network, rules: Rules<'_>) -> Result<Imported> {
    let found = match rules.matching {
        Matching::Name => by_name(state, network, rules)?,
        Matching::Position => by_position(state, network, rules)?,
    };
    if rules.extra == Extra::Refuse && !found.unused.is_empty() {
        return Err(Error::Unused { network: network.name().to_owned(), unused: found.unused });
    }
    let (mut weights, mut matched, mut unpacker) = (Weights::new(), Vec::new(), Unpacker::default());
    for (name, shape, from, stored) in found.tensors {
        let data = StateDict::numbers(stored, &mut unpacker)?.data;
        let (from, dtype) = (from.to_owned(), stored.dtype.name());
        matched.push(Matched { name: name.clone(), from, shape: shape.clone(), dtype });
        weights.insert(name, Tensor { shape, data });
    }
    let part = found.part;
    let outside = part.outside.iter().filter(|tensor| may_be_learned(&tensor.name, tensor));
    let report = Report {
        format: state.format,
        entry: state.entry.clone(),
        other_entries: state.other_entries.clone(),
        not_read: state.not_read.clone(),
        other_prefixes: found.other_prefixes,
        source: found.source,
        matching: rules.matching,
        network: network.name().to_owned(),
        classes: (rules.head == Head::Imported).then(|| network.classes()),
        widths: network.widths(),
        params: weights.values().map(|tensor| tensor.data.len() as u64).sum(),
        matched,
        n_statistics: part.tensors.iter().filter(|(name, _)| is_statistic(name)).count(),
        is_frozen: is_frozen(part.tensors.iter().map(|(name, _)| &**name)),
        n_counters: part.tensors.iter().filter(|(name, tensor)| is_counter(name, tensor)).count(),
        without_effect: found.without_effect,
        head_left_out: found.head_left_out,
        without_auxiliary: found.without_auxiliary,
        unused: found.unused,
        outside: outside.map(|tensor| tensor.name.clone()).collect(),
        prefix: part.prefix,
        sorted_groups: None,
    };
    Ok(Imported { weights, report })
}

fn is_counter(name: &str, stored: &Stored<'_>) -> bool {
    !stored.dtype.is_float() && !is_statistic(name)
}

fn may_be_learned(name: &str, stored: &Stored<'_>) -> bool {
    stored.dtype.is_float() && !is_statistic(name)
}

/// Tensors that may be learned ones, in the order of the file.
pub(crate) fn learned<'p, 's, 'a>(
    part: &'p Part<'s, 'a>,
) -> impl DoubleEndedIterator<Item = (&'s str, &'s Stored<'a>)> + 'p {
    part.tensors.iter().copied().filter(|(name, tensor)| may_be_learned(name, tensor))
}

/// The matched tensors, and what is left.
pub(crate) struct Found<'s, 'a> {
    pub(crate) source: Option<Source>,
    /// Our name and shape, their name, and the tensor.
    pub(crate) tensors: Vec<(String, Vec<usize>, &'s str, &'s Stored<'a>)>,
    pub(crate) without_effect: Vec<String>,
    /// The checkpoint's classifier, where it was to be left out.
    pub(crate) head_left_out: Vec<String>,
    /// Our names of the auxiliary classifier's tensors, if the checkpoint has none of them.
    pub(crate) without_auxiliary: Vec<String>,
    pub(crate) unused: Vec<String>,
    pub(crate) part: Part<'s, 'a>,
    /// Other prefixes under which the network is found as well.
    pub(crate) other_prefixes: Vec<String>,
}

/// Whether a layer's tensors are taken from the checkpoint.
fn is_needed(heads: &BTreeSet<NodeId>, head: Head, node: NodeId) -> bool {
    head == Head::Imported || !heads.contains(&node)
}

pub(crate) fn by_name<'s, 'a>(
    state: &'s StateDict<'a>,
    network: &Network,
    rules: Rules<'_>,
) -> Result<Found<'s, 'a>> {
    let (names, part, other_prefixes) = Names::best(state, network, rules.prefix)?;
    let stored: HashMap<&str, &Stored<'_>> = learned(&part).collect();
    let shapes = network.parameter_shapes(network.widths().full())?;
    let (mut tensors, mut missing, mut used) = (Vec::new(), Vec::new(), HashSet::new());
    let heads = network.heads();
    let absent = names.absent_auxiliary(network, &stored);
    for (name, expected) in names.names.iter().zip(shapes) {
        let Name { ours, theirs, .. } = name;
        if !is_needed(&heads, rules.head, name.node) || absent.contains(ours.as_str()) {
            continue;
        }
        match theirs.as_ref().and_then(|theirs| stored.get_key_value(theirs.as_str())) {
            Some((&from, &found)) => {
                used.insert(from);
                tensors.push((ours.clone(), expected, from, found));
            }
            None => missing.push(name),
        }
    }
    if !missing.is_empty() {
        return Err(names.missing(network, &part, &missing));
    }
    for (ours, expected, from, found) in &tensors {
        check_shape(network, (ours, expected), (from, found))?;
    }
    let biases = biases_without_effect(network, names.source);
    let rest = learned(&part).map(|(name, _)| name).filter(|name| !used.contains(name));
    let (without_effect, rest): (_, Vec<_>) = rest.map(str::to_owned).partition(|name| biases.contains(name));
    let of_head = |name: &String| rules.head == Head::LeftOut && names.source.is_head(network, name);
    let (head_left_out, unused) = rest.into_iter().partition(of_head);
    let source = Some(names.source);
    let without_auxiliary = names.names.iter().map(|name| &name.ours);
    let without_auxiliary =
        without_auxiliary.filter(|ours| absent.contains(ours.as_str())).cloned().collect();
    Ok(Found {
        source,
        tensors,
        without_effect,
        head_left_out,
        without_auxiliary,
        unused,
        part,
        other_prefixes,
    })
}

/// Shapes must be equal, except that a linear layer may be a 1×1 convolution: their numbers are the same.
fn check_shape(network: &Network, ours: (&str, &[usize]), theirs: (&str, &Stored<'_>)) -> Result<()> {
    let ((ours, expected), (from, found)) = (ours, theirs);
    let without_ones = |shape: &[usize]| {
        let kept = shape.len() - shape.iter().skip(2).rev().take_while(|n| **n == 1).count();
        shape[..kept].to_vec()
    };
    if without_ones(expected) == without_ones(&found.shape) {
        return Ok(());
    }
    Err(Error::Shape {
        from: from.to_owned(),
        found: found.shape.clone(),
        name: ours.to_owned(),
        network: network.name().to_owned(),
        expected: expected.to_vec(),
    })
}

/// The checkpoint's biases of convolutions that have none here, because the batch norm after them subtracts the mean.
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

/// The tensors that are matched by position: all of them, or those under a prefix if they are as many as the network's.
fn part_by_count<'s, 'a>(
    state: &'s StateDict<'a>,
    network: &Network,
    asked: Option<&str>,
) -> Result<Part<'s, 'a>> {
    if let Some(prefix) = asked {
        return Part::asked(state, prefix);
    }
    let counted = state.tensors.iter().filter(|tensor| may_be_learned(&tensor.name, tensor));
    let prefix = prefix::by_count(counted.map(|tensor| tensor.name.as_str()), network.parameters().len());
    Ok(Part::new(state, prefix))
}

fn by_position<'s, 'a>(
    state: &'s StateDict<'a>,
    network: &Network,
    rules: Rules<'_>,
) -> Result<Found<'s, 'a>> {
    let wrong = |reason: String| Error::Position { reason };
    if state.format == Format::Safetensors {
        return Err(wrong("the tensors of a safetensors file have no order".to_owned()));
    }
    let parameters = network.parameters();
    let shapes = network.parameter_shapes(network.widths().full())?;
    let part = part_by_count(state, network, rules.prefix)?;
    let found: Vec<_> = learned(&part).collect();
    if found.len() != parameters.len() {
        let (found, needed) = (found.len(), parameters.len());
        return Err(wrong(format!("the checkpoint has {found} learned tensors, the network has {needed}")));
    }
    let heads = network.heads();
    let (tensors, head): (Vec<_>, Vec<_>) = parameters
        .into_iter()
        .zip(shapes)
        .zip(found)
        .enumerate()
        .partition(|(_, ((parameter, _), _))| is_needed(&heads, rules.head, parameter.node));
    let head_left_out = head.into_iter().map(|(_, (_, (name, _)))| name.to_owned()).collect();
    let tensors = tensors.into_iter();
    let tensors = tensors.map(|(idx, ((parameter, shape), (from, found)))| {
        if found.shape != shape {
            let (from, name) = (printable(from), &parameter.name);
            let found = &found.shape;
            let reason = format!("tensor {idx}, `{from}`, has shape {found:?}, but `{name}` has {shape:?}");
            return Err(wrong(reason));
        }
        Ok((parameter.name, shape, from, found))
    });
    let tensors = tensors.collect::<Result<_>>()?;
    Ok(Found {
        source: None,
        tensors,
        without_effect: vec![],
        head_left_out,
        without_auxiliary: vec![],
        unused: vec![],
        part,
        other_prefixes: vec![],
    })
}
