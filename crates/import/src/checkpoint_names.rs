//! What a checkpoint may call the tensors of a network, and which naming scheme and prefix it uses.
//!
//! Separate from matching, which only looks up what is found here.
//! Invariant: names follow from the network and the scheme; the checkpoint decides only between schemes and prefixes.

use std::collections::{HashMap, HashSet};

use mutualnet_core::Network;
use mutualnet_core::network::{NodeId, Parameter};

use crate::matching::learned;
use crate::prefix::{self, Part};
use crate::state_dict::Stored;
use crate::{Error, Result, Source, StateDict};

/// The names that one source gives to a network's tensors.
pub(crate) struct Names {
    pub(crate) source: Source,
    /// In the order of the network.
    pub(crate) names: Vec<Name>,
}

/// What a tensor of a network is called.
pub(crate) struct Name {
    pub(crate) node: NodeId,
    pub(crate) ours: String,
    /// `None` where they have no such module.
    pub(crate) theirs: Option<String>,
}

impl Names {
    fn new(source: Source, network: &Network) -> Self {
        let names = network.parameters().into_iter().map(|Parameter { name: ours, node, .. }| {
            let path = &network.node(node).path;
            let suffix = &ours[path.len()..];
            let theirs = source.module(network, path).map(|module| format!("{module}{suffix}"));
            Name { node, ours, theirs }
        });
        Self { source, names: names.collect() }
    }

    /// The names of the source that the checkpoint has most of, the part of it that has them, and other prefixes with
    /// as many, not counting a classifier; ties go to the first source and to what comes first in the file.
    pub(crate) fn best<'s, 'a>(
        state: &'s StateDict<'a>,
        network: &Network,
        asked: Option<&str>,
    ) -> Result<(Self, Part<'s, 'a>, Vec<String>)> {
        let asked = asked.map(|prefix| Part::asked(state, prefix)).transpose()?;
        let mut best: Option<(usize, Self, _)> = None;
        for &source in Source::of(network) {
            let names = Self::new(source, network);
            let theirs: Vec<_> = names.names.iter().filter_map(|name| name.theirs.as_deref()).collect();
            let mut ranked = prefix::ranked(state, &theirs);
            if let Some(part) = &asked {
                let deeper = !part.prefix.is_empty();
                ranked.retain(|(prefix, _)| {
                    *prefix == part.prefix || deeper && prefix.starts_with(&part.prefix)
                });
            }
            let hits = ranked.first().map_or(0, |(_, hits)| *hits);
            if best.as_ref().is_none_or(|(most, ..)| hits > *most) {
                best = Some((hits, names, ranked));
            }
        }
        let (hits, names, ranked) = best.expect("there are several sources");
        // A few names in common do not make a network.
        let fits = |hits: usize| 2 * hits > names.names.len();
        let chosen = ranked.first().filter(|(_, hits)| fits(*hits)).map_or("", |(prefix, _)| *prefix);
        let heads = network.heads();
        let n_head = names.names.iter().filter(|name| heads.contains(&name.node)).count();
        let others = ranked.iter().skip(1).filter(|(_, other)| fits(*other) && other + n_head >= hits);
        let others = others.map(|(prefix, _)| (*prefix).to_owned()).collect();
        let part = asked.filter(|_| chosen.is_empty()).unwrap_or_else(|| Part::new(state, chosen));
        Ok((names, part, others))
    }

    /// The error for tensors that the checkpoint does not have.
    pub(crate) fn missing(&self, network: &Network, part: &Part<'_, '_>, missing: &[&Name]) -> Error {
        let heads = network.heads();
        let n_head = self.names.iter().filter(|name| heads.contains(&name.node)).count();
        if missing.iter().all(|name| heads.contains(&name.node)) && self.names.len() > n_head {
            let theirs = missing[0].theirs.as_ref().unwrap_or(&missing[0].ours);
            let name = theirs.rsplit_once('.').map_or(theirs.as_str(), |(module, _)| module).to_owned();
            return Error::NoClassifier { name, prefix: part.prefix.clone() };
        }
        let known: HashSet<&str> = self.names.iter().filter_map(|name| name.theirs.as_deref()).collect();
        let present = learned(part).filter(|(name, _)| !known.contains(name));
        let shown = |name: &&Name| format!("{}{}", part.prefix, name.theirs.as_ref().unwrap_or(&name.ours));
        Error::Missing {
            network: network.name().to_owned(),
            n_needed: self.names.len(),
            source_names: self.source.name().to_owned(),
            missing: missing.iter().map(shown).collect(),
            present: present.map(|(_, tensor)| tensor.name.clone()).collect(),
        }
    }

    /// The tensor of the checkpoint that is the network's parameter of this index.
    pub(crate) fn find<'s, 'a>(&self, part: &Part<'s, 'a>, idx: usize) -> Option<&'s Stored<'a>> {
        let theirs = self.names[idx].theirs.as_deref()?;
        part.tensors.iter().find(|(name, _)| *name == theirs).map(|(_, tensor)| *tensor)
    }

    /// The names of the auxiliary classifier, if the checkpoint has none of its tensors: programs may train without it,
    /// or leave it out of what they save.
    pub(crate) fn absent_auxiliary(
        &self,
        network: &Network,
        stored: &HashMap<&str, &Stored<'_>>,
    ) -> HashSet<&str> {
        let auxiliary = network.auxiliary();
        let names: Vec<_> = self.names.iter().filter(|name| auxiliary.contains(&name.node)).collect();
        let is_stored =
            |name: &&Name| name.theirs.as_deref().is_some_and(|theirs| stored.contains_key(theirs));
        if names.iter().any(is_stored) {
            return HashSet::new();
        }
        names.into_iter().map(|name| name.ours.as_str()).collect()
    }
}
