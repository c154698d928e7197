//! A reader of pickles that executes nothing: a small stack machine whose values are plain data.
//!
//! Python's own reader would call whatever the file names. Here, a name that is not one of the few that state dicts are
//! made of (see [`globals`]) stands for an opaque value, which is skipped, or makes the reader refuse the file.
//! Invariant: values live in one list and refer to each other by number, so nothing recurses, neither while reading
//! nor while dropping; every operation adds a bounded number of values, and strings borrow the input's bytes, so memory
//! is linear in the input. Two bytes can refer to a value of any size: code that follows references must neither copy
//! nor hash what they refer to, unless it is short ([`MAX_NAME_BYTES`]) or was not seen before.

use std::collections::HashMap;

use crate::dtype::Dtype;
use crate::{Error, Result};

mod globals;
pub(crate) use globals::Global;

mod operations;

mod value;
pub(crate) use value::{Id, StorageRef, TensorRef, Value};

/// Most values and stack entries; ResNet-152 with optimizer state has a few tens of thousands.
const MAX_VALUES: usize = 4_000_000;
/// Longest pickle; the numbers are stored outside it.
pub(crate) const MAX_PICKLE_BYTES: u64 = 64 << 20;
/// Longest name of a tensor, key of its dict, or key of a storage; PyTorch's are paths of modules and counters.
pub(crate) const MAX_NAME_BYTES: usize = 1024;
/// Most names of opaque values that are kept for the report.
const MAX_OPAQUE_NAMES: usize = 100;
/// Most names that are looked at for the report: a pickle has each one once, a hostile one may repeat long ones by
/// reference.
const MAX_NAMES_SEEN: usize = 10_000;

/// The values of one pickle.
#[derive(Debug)]
pub(crate) struct Pickle<'a> {
    values: Vec<Value<'a>>,
    root: Id,
    /// Classes and functions that were skipped, in the order of the file; see [`MAX_OPAQUE_NAMES`].
    pub(crate) not_read: Vec<String>,
    /// Its length in bytes.
    pub(crate) len: usize,
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that `input` begins with.
    pub(crate) fn read(input: &'a [u8]) -> Result<Self> {
        let mut machine = Machine {
            input,
            at: 0,
            operation: 0,
            values: vec![Value::None, Value::Bool(false), Value::Bool(true), Value::Opaque],
            stack: vec![],
            marks: vec![],
            memo: HashMap::new(),
            opaque: vec![],
            names_seen: 0,
        };
        let root = machine.run()?;
        let not_read = machine.opaque.iter().map(|(module, name)| format!("{module}.{name}")).collect();
        Ok(Self { values: machine.values, root, not_read, len: machine.at })
    }

    pub(crate) fn root(&self) -> Id {
        self.root
    }

    /// Keys and number types of all storages that were named; no key is longer than [`MAX_NAME_BYTES`].
    pub(crate) fn storages(&self) -> HashMap<&'a str, Dtype> {
        let storages = self.values.iter().filter_map(|value| match value {
            Value::Storage(storage) => Some((storage.key, storage.dtype)),
            _ => None,
        });
        storages.collect()
    }

    pub(crate) fn get(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }
}

const NONE: Id = Id(0);
const FALSE: Id = Id(1);
const TRUE: Id = Id(2);
const OPAQUE: Id = Id(3);

struct Machine<'a> {
    input: &'a [u8],
    at: usize,
    /// Where the current operation began.
    operation: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Id>,
    /// Heights of the stack at which marks were set.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Modules and names of what is skipped, each once.
    opaque: Vec<(&'a str, &'a str)>,
    names_seen: usize,
}

impl<'a> Machine<'a> {
    fn wrong(&self, reason: impl Into<String>) -> Error {
        Error::Pickle { at: self.operation, reason: reason.into() }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let rest = &self.input[self.at..];
        let taken = rest.get(..n).ok_or_else(|| self.wrong("it ends early"))?;
        self.at += n;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many bytes as asked for"))
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// Reads a length of `N` bytes, and as many bytes after it.
    fn counted<const N: usize>(&mut self) -> Result<&'a [u8]> {
        let mut length = [0; 8];
        length[..N].copy_from_slice(&self.array::<N>()?);
        // A length that does not fit a `usize` is longer than any input, and so is the largest `usize`.
        self.take(usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX))
    }

    fn utf8<'b>(&self, bytes: &'b [u8], what: &str) -> Result<&'b str> {
        std::str::from_utf8(bytes).map_err(|source| {
            let what = format!("{what} at byte {} of the pickle", self.operation);
            Error::NotUtf8 { what, source }
        })
    }

    fn text(&self, bytes: &'a [u8]) -> Result<Value<'a>> {
        self.utf8(bytes, "a string").map(Value::Text)
    }

    /// The string up to the next line break.
    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.input[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or_else(|| self.wrong("it ends early"))?;
        let line = self.utf8(&rest[..end], "a name")?;
        self.at += end + 1;
        Ok(line)
    }

    fn make(&mut self, value: Value<'a>) -> Result<Id> {
        if self.values.len() >= MAX_VALUES {
            return Err(self.wrong(format!("it has more than {MAX_VALUES} values")));
        }
        self.values.push(value);
        Ok(Id(self.values.len() as u32 - 1))
    }

    fn push(&mut self, id: Id) -> Result<()> {
        if self.stack.len() >= MAX_VALUES {
            return Err(self.wrong(format!("its stack has more than {MAX_VALUES} values")));
        }
        self.stack.push(id);
        Ok(())
    }

    fn push_new(&mut self, value: Value<'a>) -> Result<()> {
        let id = self.make(value)?;
        self.push(id)
    }

    /// The height below which the current mark protects the stack.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id> {
        if self.stack.len() <= self.floor() {
            return Err(self.wrong("the stack is empty"));
        }
        Ok(self.stack.pop().expect("just compared"))
    }

    fn top(&self) -> Result<Id> {
        if self.stack.len() <= self.floor() {
            return Err(self.wrong("the stack is empty"));
        }
        Ok(self.stack[self.stack.len() - 1])
    }

    /// Everything above the last mark, and the mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.wrong("there is no mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn value(&self, id: Id) -> &Value<'a> {
        &self.values[id.0 as usize]
    }

    fn remember(&mut self, key: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let id =
            *self.memo.get(&key).ok_or_else(|| self.wrong("it recalls a value that it did not store"))?;
        self.push(id)
    }
}

#[cfg(test)]
mod tests;
