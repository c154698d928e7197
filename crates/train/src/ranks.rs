//! The processes that train together: how a launcher says so, and what they agree on.
//!
//! Every process makes its part of each batch and takes all steps; after a step the gradients are averaged, and so are the
//! losses, so that every decision is the same everywhere. The first process writes the run directory.
//! Invariant: all processes make the same exchanges in the same order. The one that cannot go on leaves, and the others
//! notice at the next exchange.

use std::cell::Cell;
use std::time::{Duration, Instant};

use mutualnet_data::Part;
use mutualnet_engine::{EngineError, Group, Rendezvous};

use crate::mutual_step::StepLosses;
use crate::recipe::Recipe;
use crate::{Error, Result};

/// How long the others have to say that they are alive, once one is gone.
const ROLL_CALL: Duration = Duration::from_secs(3);

/// The processes that train together, seen from one of them; most often it is alone.
#[derive(Debug, Default)]
pub struct Ranks {
    group: Option<Group>,
    /// How many of them share this machine, if the launcher says so.
    on_this_machine: Option<usize>,
    /// How long an exchange waits for the others.
    timeout: Duration,
}

/// Work that every process does apart from the others and that takes each as long as it takes. So that those which are done
/// first do not take the others for lost, all of them exchange a sign of life now and then.
#[derive(Debug)]
pub(crate) struct Apart<'a> {
    ranks: &'a Ranks,
    last_sign: Cell<Instant>,
}

/// What a launcher says in environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Launch {
    meet: Rendezvous,
    on_this_machine: Option<usize>,
}

/// Whether `n` processes can share the batches of a recipe.
///
/// # Errors
/// As [`Ranks::check_batch`].
pub(crate) fn check_batch(recipe: &Recipe, n: usize) -> Result<()> {
    let batch = recipe.train.batch;
    if n == 1 || (batch.is_multiple_of(n) && batch >= 2 * n) {
        return Ok(());
    }
    let next = batch.div_ceil(n).max(2) * n;
    let reason =
        format!("train.batch is {batch}, which {n} processes cannot share equally, at least 2 for each");
    let hint = Some(format!("set train.batch={next}, or start another number of processes"));
    Err(Error::Recipe { path: None, place: None, reason, hint })
}

impl<'a> Apart<'a> {
    /// All processes begin.
    pub(crate) fn begin(ranks: &'a Ranks) -> Self {
        Self { ranks, last_sign: Cell::new(Instant::now()) }
    }

    /// To be called often while this process works; most calls do nothing.
    ///
    /// # Errors
    /// [`Error::Exchange`].
    pub(crate) fn works(&self) -> Result<()> {
        if self.ranks.n() > 1 && self.last_sign.get().elapsed() >= self.ranks.timeout / 4 {
            self.ranks.any(true)?;
            self.last_sign.set(Instant::now());
        }
        Ok(())
    }

    /// Waits until all processes are done.
    ///
    /// # Errors
    /// [`Error::Exchange`].
    pub(crate) fn wait(&self) -> Result<()> {
        while self.ranks.any(false)? {}
        Ok(())
    }
}

impl Ranks {
    /// A process of its own.
    pub fn alone() -> Self {
        Self::default()
    }

    /// Waits for the other processes, if a launcher such as `torchrun` started several and says so with the variables `RANK`,
    /// `WORLD_SIZE`, `MASTER_ADDR` and `MASTER_PORT`. `timeout` is for this and for every later exchange.
    ///
    /// # Errors
    /// A variable is missing or wrong, or the others do not come in time.
    pub fn from_environment(timeout: Duration) -> Result<Self> {
        match launch(from_environment, timeout)? {
            None => Ok(Self::alone()),
            Some(Launch { meet, on_this_machine }) => Ok(Self { on_this_machine, ..Self::join(&meet)? }),
        }
    }

    /// Waits for the other processes.
    ///
    /// # Errors
    /// They do not come in time, or cannot be reached.
    pub fn join(meet: &Rendezvous) -> Result<Self> {
        let joined = Group::join(meet).map_err(|source| Error::Rendezvous {
            rank: meet.rank,
            of: meet.size,
            address: format!("{}:{}", meet.host, meet.port),
            source,
        })?;
        Ok(Self { group: Some(joined), on_this_machine: None, timeout: meet.timeout })
    }

    /// How many processes there are.
    pub fn n(&self) -> usize {
        self.group.as_ref().map_or(1, Group::size)
    }

    /// Whether this is the process that writes the run directory and reports what happens.
    pub fn is_first(&self) -> bool {
        self.index() == 0
    }

    /// What the processes exchange through; `None` if there is only one.
    pub(crate) fn group(&self) -> Option<&Group> {
        self.group.as_ref().filter(|group| group.size() > 1)
    }

    fn index(&self) -> usize {
        self.group.as_ref().map_or(0, Group::rank)
    }

    /// The part of every batch that this process makes.
    pub(crate) fn part(&self) -> Part {
        Part { index: self.index(), of: self.n() }
    }

    /// This process's share of the cores of the machine, at least one.
    pub(crate) fn cores(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        (cores / self.on_this_machine.unwrap_or(1)).max(1)
    }

    /// Whether the batches of a recipe can be shared among these processes.
    ///
    /// # Errors
    /// They would not have equally many images each, or fewer than two, of which there are no batch statistics.
    pub(crate) fn check_batch(&self, recipe: &Recipe) -> Result<()> {
        check_batch(recipe, self.n())
    }

    /// Does something while batch norms use the statistics of the batches of all processes.
    ///
    /// # Errors
    /// Those of `work`, or [`Error::Exchange`].
    pub(crate) fn sharing_norms<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let Some(group) = &self.group else { return work() };
        group.sharing_norms(work).map_err(|error| match error {
            Error::Engine(source) | Error::Nn(mutualnet_nn::Error::Engine(source))
                if group.has_lost_norms() =>
            {
                exchange(source)
            }
            error => error,
        })
    }

    /// Averages the losses of a step over the processes.
    ///
    /// # Errors
    /// [`Error::Exchange`].
    pub(crate) fn average(&self, losses: &mut StepLosses) -> Result<()> {
        let Some(group) = &self.group else { return Ok(()) };
        let share = 1.0 / group.size() as f64;
        let mut numbers: Vec<_> = losses.numbers().map(|number| *number).collect();
        group.sum_numbers(&mut numbers).map_err(exchange)?;
        losses.numbers().zip(numbers).for_each(|(number, sum)| *number = sum * share);
        Ok(())
    }

    /// Whether something holds in any of the processes.
    ///
    /// # Errors
    /// [`Error::Exchange`].
    pub(crate) fn any(&self, holds: bool) -> Result<bool> {
        let Some(group) = &self.group else { return Ok(holds) };
        let mut n = [f64::from(u8::from(holds))];
        group.sum_numbers(&mut n).map_err(exchange)?;
        Ok(n[0] > 0.0)
    }

    /// What the first process makes, in all of them.
    ///
    /// # Errors
    /// That of `make`, which the others see as [`Error::Exchange`]; or the first process is gone.
    pub(crate) fn share<T>(
        &self,
        make: impl FnOnce() -> Result<T>,
        to_bytes: impl FnOnce(&T) -> Result<Vec<u8>>,
        from_bytes: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let Some(group) = &self.group else { return make() };
        if group.rank() > 0 {
            return from_bytes(&broadcast(group, 0, Vec::new())?);
        }
        let made = make()?;
        broadcast(group, 0, to_bytes(&made)?)?;
        Ok(made)
    }

    /// What every process makes, in the order of their numbers.
    ///
    /// # Errors
    /// As [`Self::share`].
    pub(crate) fn gather(&self, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<Vec<u8>>> {
        let mut own = make()?;
        let Some(group) = &self.group else { return Ok(vec![own]) };
        let of = |rank| {
            broadcast(group, rank, if rank == group.rank() { std::mem::take(&mut own) } else { Vec::new() })
        };
        (0..group.size()).map(of).collect()
    }

    /// Whether something, of which this is the hash, is the same in all processes.
    ///
    /// # Errors
    /// [`Error::Unlike`] in all of them, or [`Error::Exchange`].
    pub(crate) fn check_alike(&self, what: &'static str, own: &str) -> Result<()> {
        let Some(group) = &self.group else { return Ok(()) };
        let firsts = broadcast(group, 0, own.as_bytes().to_vec())?;
        let mut is_unlike = vec![0.0; group.size()];
        is_unlike[group.rank()] = f64::from(u8::from(firsts != own.as_bytes()));
        group.sum_numbers(&mut is_unlike).map_err(exchange)?;
        let ranks: Vec<_> = (0..group.size()).filter(|&rank| is_unlike[rank] > 0.0).collect();
        if ranks.is_empty() { Ok(()) } else { Err(Error::Unlike { what, ranks }) }
    }

    /// A failed exchange with the processes that are gone named, any other error as it is.
    pub(crate) fn blame(&self, error: Error) -> Error {
        match (error, &self.group) {
            (Error::Exchange { source, .. }, Some(group)) => {
                // The store is gone with the process that hosts it, which is the first one unless a launcher does.
                let gone = group.end(ROLL_CALL).unwrap_or_else(|_| vec![0]);
                Error::Exchange { gone, source }
            }
            (error, _) => error,
        }
    }
}

/// The bytes of one process, in all of them; those of the others do not matter.
fn broadcast(group: &Group, rank: usize, mut bytes: Vec<u8>) -> Result<Vec<u8>> {
    let mut len = (bytes.len() as u64).to_le_bytes();
    group.broadcast(rank, &mut len).map_err(exchange)?;
    bytes.resize(u64::from_le_bytes(len) as usize, 0);
    group.broadcast(rank, &mut bytes).map_err(exchange)?;
    Ok(bytes)
}

/// Pieces one after another, each with its length in front of it.
pub(crate) fn join(pieces: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    let with_length = |piece: Vec<u8>| [&(piece.len() as u64).to_le_bytes(), &piece[..]].concat();
    pieces.into_iter().map(with_length).collect::<Vec<_>>().concat()
}

/// The pieces that [`join`] was given.
///
/// # Panics
/// The bytes are something else.
pub(crate) fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (piece, rest) = rest.split_at(u64::from_le_bytes(*len) as usize);
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

pub(crate) fn exchange(source: EngineError) -> Error {
    Error::Exchange { gone: Vec::new(), source }
}

/// A variable that is set and not empty.
fn from_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What the variables of a launcher say; `None` if there is a single process.
fn launch(variable: impl Fn(&str) -> Option<String>, timeout: Duration) -> Result<Option<Launch>> {
    let wrong = |name: &str, problem: &str| Error::Launch { reason: format!("{name} {problem}") };
    let number = |name: &str| match variable(name) {
        None => Ok(None),
        Some(text) => match text.parse::<usize>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(wrong(name, &format!("is `{text}`, which is not a whole number"))),
        },
    };
    let needed = |name: &str| number(name)?.ok_or_else(|| wrong(name, "is not set, but WORLD_SIZE is"));
    let size = match number("WORLD_SIZE")? {
        None | Some(1) => return Ok(None),
        Some(0) => return Err(wrong("WORLD_SIZE", "is 0")),
        Some(size) => size,
    };
    let rank = needed("RANK")?;
    if rank >= size {
        return Err(wrong("RANK", &format!("is {rank}, but WORLD_SIZE is {size}")));
    }
    let port = needed("MASTER_PORT")?;
    let port =
        u16::try_from(port).map_err(|_| wrong("MASTER_PORT", &format!("is {port}, which is no port")))?;
    let host =
        variable("MASTER_ADDR").ok_or_else(|| wrong("MASTER_ADDR", "is not set, but WORLD_SIZE is"))?;
    let on_this_machine = number("LOCAL_WORLD_SIZE")?.filter(|&n| n > 0);
    let launcher_hosts = variable("TORCHELASTIC_USE_AGENT_STORE").is_some_and(|text| text == "True");
    let meet = Rendezvous { host, port, is_host: rank == 0 && !launcher_hosts, rank, size, timeout };
    Ok(Some(Launch { meet, on_this_machine }))
}

#[cfg(test)]
mod tests {
    use mutualnet_engine::{Affine, Device, NormStatistics, Tensor};

    use super::*;

    const TORCHRUN: [(&str, &str); 6] = [
        ("RANK", "1"),
        ("WORLD_SIZE", "4"),
        ("LOCAL_WORLD_SIZE", "2"),
        ("MASTER_ADDR", "node-0"),
        ("MASTER_PORT", "29500"),
        ("TORCHELASTIC_USE_AGENT_STORE", "True"),
    ];

    fn launch(changes: &[(&str, &str)]) -> Result<Option<Launch>> {
        let variable = |name: &str| {
            let set = changes.iter().rev().chain(&TORCHRUN).find(|(set, _)| *set == name)?;
            Some(set.1.to_owned()).filter(|value| !value.is_empty())
        };
        super::launch(variable, Duration::from_secs(1))
    }

    #[test]
    fn a_launcher_says_who_is_who() {
        let launched = |changes: &[(&str, &str)]| launch(changes).unwrap().unwrap();
        let Launch { meet, on_this_machine } = launched(&[]);
        assert_eq!((meet.host.as_str(), meet.port, meet.rank, meet.size), ("node-0", 29500, 1, 4));
        assert_eq!((meet.is_host, on_this_machine), (false, Some(2)));
        assert!(!launched(&[("RANK", "0")]).meet.is_host, "the launcher hosts the store");
        assert!(launched(&[("RANK", "0"), ("TORCHELASTIC_USE_AGENT_STORE", "")]).meet.is_host);
        assert_eq!(launch(&[("WORLD_SIZE", "1")]).unwrap(), None);
        assert_eq!(launch(&[("WORLD_SIZE", "")]).unwrap(), None);
    }

    /// What joins two processes by their numbers.
    fn pair(timeout: Duration) -> impl Fn(usize) -> Ranks + Copy + Send + 'static {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        move |rank| {
            let host = "127.0.0.1".to_owned();
            Ranks::join(&Rendezvous { host, port, is_host: rank == 0, rank, size: 2, timeout }).unwrap()
        }
    }

    #[test]
    fn one_that_is_done_waits_longer_than_an_exchange_may_take() {
        let timeout = Duration::from_secs(2);
        let join = pair(timeout);
        let slow = std::thread::spawn(move || {
            let ranks = join(1);
            let apart = Apart::begin(&ranks);
            let begun = Instant::now();
            while begun.elapsed() < 2 * timeout {
                std::thread::sleep(Duration::from_millis(20));
                apart.works().unwrap();
            }
            apart.wait().unwrap();
        });
        let ranks = join(0);
        let begun = Instant::now();
        Apart::begin(&ranks).wait().unwrap();
        assert!(begun.elapsed() >= timeout);
        slow.join().unwrap();
    }

    #[test]
    fn a_process_that_is_lost_in_a_shared_batch_norm_is_named() {
        let join = pair(Duration::from_secs(20));
        // Both have joined once this exchange is done.
        let leaves = std::thread::spawn(move || join(1).any(false).unwrap());
        let ranks = join(0);
        ranks.any(false).unwrap();
        leaves.join().unwrap();
        let norm = || -> Result<Tensor> {
            let one = Tensor::ones(&[1], Device::Cpu)?;
            let affine = Affine { weight: &one, bias: &one, eps: 1e-5 };
            Ok(Tensor::ones(&[2, 1, 3, 3], Device::Cpu)?.batch_norm(affine, NormStatistics::Batch)?)
        };
        let error = ranks.blame(ranks.sharing_norms(norm).unwrap_err());
        assert_eq!(error.to_string(), "process 1 is gone or does not answer");
        norm().unwrap();
    }

    #[test]
    fn mistakes_of_a_launcher_are_named() {
        for (change, expected) in [
            (("RANK", "4"), "RANK is 4, but WORLD_SIZE is 4"),
            (("RANK", "first"), "RANK is `first`, which is not a whole number"),
            (("RANK", ""), "RANK is not set, but WORLD_SIZE is"),
            (("WORLD_SIZE", "0"), "WORLD_SIZE is 0"),
            (("MASTER_PORT", "70000"), "MASTER_PORT is 70000, which is no port"),
            (("MASTER_ADDR", ""), "MASTER_ADDR is not set, but WORLD_SIZE is"),
        ] {
            let error = launch(&[change]).unwrap_err();
            assert_eq!(error.to_string(), format!("the launcher's variables are wrong: {expected}"));
        }
    }
}
