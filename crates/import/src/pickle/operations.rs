//! The operations of pickle protocols 2 to 5.

use super::{
    FALSE, Global, Id, MAX_NAME_BYTES, MAX_NAMES_SEEN, MAX_OPAQUE_NAMES, Machine, NONE, OPAQUE, StorageRef,
    TRUE, TensorRef, Value, globals,
};
use crate::Result;

/// Most axes of a tensor.
const MAX_AXES: usize = 8;

impl<'a> Machine<'a> {
    /// Runs to the end; the value left is the pickle's.
    pub(super) fn run(&mut self) -> Result<Id> {
        loop {
            self.operation = self.at;
            let operation = self.byte()?;
            if operation == b'.' {
                return self.pop();
            }
            self.step(operation)?;
        }
    }

    fn step(&mut self, operation: u8) -> Result<()> {
        match operation {
            // PROTO, FRAME
            0x80 => match self.byte()? {
                2..=5 => Ok(()),
                version => Err(self.wrong(format!("protocol {version} is not supported, only 2 to 5"))),
            },
            0x95 => self.take(8).map(|_| ()),
            // Constants
            b'N' => self.push(NONE),
            0x88 => self.push(TRUE),
            0x89 => self.push(FALSE),
            b'J' => {
                let number = i32::from_le_bytes(self.array()?);
                self.push_new(Value::Int(number.into()))
            }
            b'K' => {
                let number = self.byte()?;
                self.push_new(Value::Int(number.into()))
            }
            b'M' => {
                let number = u16::from_le_bytes(self.array()?);
                self.push_new(Value::Int(number.into()))
            }
            0x8a => self.counted::<1>().and_then(|bytes| self.push_new(long(bytes))),
            0x8b => self.counted::<4>().and_then(|bytes| self.push_new(long(bytes))),
            b'G' => self.take(8).and_then(|_| self.push(OPAQUE)),
            // Strings and bytes
            0x8c => self.counted::<1>().and_then(|bytes| self.push_text(bytes)),
            b'X' => self.counted::<4>().and_then(|bytes| self.push_text(bytes)),
            0x8d => self.counted::<8>().and_then(|bytes| self.push_text(bytes)),
            // Python 2 wrote names as bytes.
            b'U' => self.counted::<1>().and_then(|bytes| self.push_bytes(bytes)),
            b'T' => self.counted::<4>().and_then(|bytes| self.push_bytes(bytes)),
            b'C' => self.counted::<1>().and_then(|bytes| self.push_bytes(bytes)),
            b'B' => self.counted::<4>().and_then(|bytes| self.push_bytes(bytes)),
            0x8e => self.counted::<8>().and_then(|bytes| self.push_bytes(bytes)),
            0x96 => self.counted::<8>().and_then(|_| self.push(OPAQUE)),
            // Collections
            b')' => self.push_new(Value::Tuple(vec![])),
            0x85..=0x87 => self.tuple_of(usize::from(operation - 0x84)),
            b't' => self.pop_mark().and_then(|items| self.push_new(Value::Tuple(items))),
            b']' => self.push_new(Value::List(vec![])),
            b'l' => self.pop_mark().and_then(|items| self.push_new(Value::List(items))),
            b'a' => self.pop().and_then(|item| self.append(vec![item])),
            b'e' => self.pop_mark().and_then(|items| self.append(items)),
            b'}' => self.push_new(Value::Dict(vec![])),
            b'd' => {
                let items = self.pop_mark()?;
                self.push_new(Value::Dict(vec![]))?;
                self.set(items)
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![key, value])
            }
            b'u' => self.pop_mark().and_then(|items| self.set(items)),
            // A set is of no use here: its items are dropped.
            0x8f => self.push(OPAQUE),
            0x90 => self.pop_mark().map(|_| ()),
            0x91 => self.pop_mark().and_then(|_| self.push(OPAQUE)),
            // Stack and memo
            b'(' => self.mark(),
            b'0' => self.pop().map(|_| ()),
            b'1' => self.pop_mark().map(|_| ()),
            b'2' => self.top().and_then(|top| self.push(top)),
            b'q' => self.byte().and_then(|key| self.remember(key.into())),
            b'r' => self.u32().and_then(|key| self.remember(key)),
            0x94 => self.remember(self.memo.len() as u32),
            b'h' => self.byte().and_then(|key| self.recall(key.into())),
            b'j' => self.u32().and_then(|key| self.recall(key)),
            // Names and calls
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)
            }
            0x93 => self.stack_global(),
            b'R' | 0x81 => self.call(),
            // With a dict of arguments by name.
            0x92 => self.pop().and_then(|_| self.call()),
            // Objects of classes of Python 2.
            b'o' => self.pop_mark().and_then(|_| self.push_new(Value::Opaque)),
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                self.pop_mark()?;
                self.global(module, name)?;
                self.pop()?;
                self.push_new(Value::Opaque)
            }
            b'b' => self.build(),
            b'Q' => self.persistent(),
            _ => Err(self.wrong(format!("operation 0x{operation:02x} is not supported"))),
        }
    }

    fn push_text(&mut self, bytes: &'a [u8]) -> Result<()> {
        let text = self.text(bytes)?;
        self.push_new(text)
    }

    fn push_bytes(&mut self, bytes: &'a [u8]) -> Result<()> {
        self.push_new(std::str::from_utf8(bytes).map_or(Value::Opaque, Value::Text))
    }

    fn mark(&mut self) -> Result<()> {
        if self.marks.len() >= super::MAX_VALUES {
            return Err(self.wrong("too many marks"));
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn tuple_of(&mut self, n: usize) -> Result<()> {
        if self.stack.len() < self.floor() + n {
            return Err(self.wrong("the stack is empty"));
        }
        let items = self.stack.split_off(self.stack.len() - n);
        self.push_new(Value::Tuple(items))
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let list = self.top()?;
        match &mut self.values[list.0 as usize] {
            Value::List(list) => list.extend(items),
            Value::Opaque => {}
            _ => return Err(self.wrong("it appends to something that is not a list")),
        }
        Ok(())
    }

    fn set(&mut self, items: Vec<Id>) -> Result<()> {
        if !items.len().is_multiple_of(2) {
            return Err(self.wrong("a key has no value"));
        }
        let dict = self.top()?;
        let pairs = items.chunks_exact(2).map(|pair| (pair[0], pair[1]));
        match &mut self.values[dict.0 as usize] {
            Value::Dict(dict) => dict.extend(pairs),
            // Whatever its class is, it has items like a dict.
            value @ Value::Opaque if dict != OPAQUE => *value = Value::Dict(pairs.collect()),
            Value::Opaque => {}
            _ => return Err(self.wrong("it sets an item of something that is not a dict")),
        }
        Ok(())
    }

    fn stack_global(&mut self) -> Result<()> {
        let (name, module) = (self.pop()?, self.pop()?);
        let (Value::Text(module), Value::Text(name)) = (self.value(module), self.value(name)) else {
            return Err(self.wrong("the name of a class is not a string"));
        };
        let (module, name) = (*module, *name);
        self.global(module, name)
    }

    fn global(&mut self, module: &'a str, name: &'a str) -> Result<()> {
        if module.len().max(name.len()) > MAX_NAME_BYTES {
            return Err(self.wrong(format!("the name of a class is longer than {MAX_NAME_BYTES} bytes")));
        }
        let global = globals::resolve(module, name)?;
        self.names_seen += 1;
        let is_told = global == Global::Opaque && !globals::is_plain(module, name);
        let may_be_added = self.opaque.len() < MAX_OPAQUE_NAMES && self.names_seen <= MAX_NAMES_SEEN;
        if is_told && may_be_added && !self.opaque.contains(&(module, name)) {
            self.opaque.push((module, name));
        }
        self.push_new(Value::Global(global))
    }

    /// `REDUCE` and `NEWOBJ`: the result of the call if that is a tensor or a dict, else an opaque value.
    fn call(&mut self) -> Result<()> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        match *self.value(callee) {
            Value::Global(global) => self.call_global(global, arguments),
            // A method of an opaque object.
            Value::Opaque => self.push_new(Value::Opaque),
            _ => Err(self.wrong("it calls something that is not a class or a function")),
        }
    }

    fn call_global(&mut self, global: Global, arguments: Id) -> Result<()> {
        let Value::Tuple(arguments) = self.value(arguments) else {
            return Err(self.wrong("the arguments of a call are not a tuple"));
        };
        match global {
            Global::OrderedDict => {
                let first = arguments.first().copied();
                self.ordered_dict(first)
            }
            Global::Tensor => {
                let [storage, offset, shape, stride, ..] = arguments[..] else {
                    return Err(self.wrong("a tensor has too few arguments"));
                };
                let tensor = self.tensor([storage, offset, shape, stride])?;
                self.push_new(tensor.map_or(Value::Opaque, Value::Tensor))
            }
            Global::Parameter => match arguments.first().map(|&id| (id, self.value(id))) {
                Some((id, Value::Tensor(_))) => self.push(id),
                Some((_, Value::Opaque)) => self.push_new(Value::Opaque),
                _ => Err(self.wrong("a parameter is not a tensor")),
            },
            Global::Subclass => match arguments[..] {
                [function, _, arguments, ..] => match *self.value(function) {
                    // Not another subclass, so that nothing recurses.
                    Value::Global(global @ (Global::Tensor | Global::Parameter)) => {
                        self.call_global(global, arguments)
                    }
                    _ => self.push_new(Value::Opaque),
                },
                _ => self.push_new(Value::Opaque),
            },
            Global::Attribute => match arguments.get(1).map(|&name| self.value(name)) {
                Some(&Value::Text(name)) if globals::is_inner(name) => {
                    Err(globals::forbidden("getattr", name))
                }
                _ => self.push_new(Value::Opaque),
            },
            // A value of its own: later operations may add to it.
            Global::Opaque => self.push_new(Value::Opaque),
            Global::Storage(_) => Err(self.wrong("it calls a storage type")),
        }
    }

    /// Python 2 gave the items as a list of pairs; the list is emptied, so that it cannot be copied again and again.
    fn ordered_dict(&mut self, items: Option<Id>) -> Result<()> {
        let Some(items) = items else { return self.push_new(Value::Dict(vec![])) };
        let pairs = match &mut self.values[items.0 as usize] {
            Value::List(pairs) => std::mem::take(pairs),
            _ => return Err(self.wrong("an ordered dict is not made from a list")),
        };
        let mut dict = Vec::with_capacity(pairs.len());
        for pair in pairs {
            match self.value(pair) {
                Value::Tuple(pair) | Value::List(pair) if pair.len() == 2 => dict.push((pair[0], pair[1])),
                _ => return Err(self.wrong("an item of an ordered dict is not a pair")),
            }
        }
        self.push_new(Value::Dict(dict))
    }

    /// `None` if its storage is something that was skipped.
    fn tensor(&self, [storage, offset, shape, stride]: [Id; 4]) -> Result<Option<TensorRef<'a>>> {
        let storage = match *self.value(storage) {
            Value::Storage(storage) => storage,
            Value::Opaque => return Ok(None),
            _ => return Err(self.wrong("a tensor has no storage")),
        };
        let offset = self.count(offset)?;
        let (shape, stride) = (self.counts(shape)?, self.counts(stride)?);
        if shape.len() != stride.len() {
            return Err(self.wrong("a tensor has different numbers of strides and axes"));
        }
        let shape = shape.into_iter().map(|n| usize::try_from(n).unwrap_or(usize::MAX)).collect();
        Ok(Some(TensorRef { storage, offset, shape, stride }))
    }

    fn count(&self, id: Id) -> Result<u64> {
        match self.value(id) {
            Value::Int(..0) => Err(self.wrong("a size is negative")),
            Value::Int(n) => Ok(n.unsigned_abs()),
            _ => Err(self.wrong("a size is not a number")),
        }
    }

    fn counts(&self, id: Id) -> Result<Vec<u64>> {
        match self.value(id) {
            Value::Tuple(items) if items.len() <= MAX_AXES => {
                items.iter().map(|&item| self.count(item)).collect()
            }
            _ => Err(self.wrong(format!("sizes are not a tuple of at most {MAX_AXES} numbers"))),
        }
    }

    /// Attributes are of no use here, neither a state dict's `_metadata` nor those of opaque objects.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        match self.value(self.top()?) {
            Value::Dict(_) | Value::Opaque | Value::Tensor(_) => Ok(()),
            _ => Err(self.wrong("it gives attributes to plain data")),
        }
    }

    /// `('storage', type, key, location, elements)`, in old files with a sixth entry that is `None`.
    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let Value::Tuple(entries) = self.value(id) else {
            return Err(self.wrong("a persistent id is not a tuple"));
        };
        // A class with its source code, in files that hold whole modules.
        if let [module, class, ..] = entries[..]
            && matches!(self.value(module), Value::Text("module"))
        {
            return self.push(class);
        }
        let entries: Vec<_> = entries.iter().take(7).map(|&entry| self.value(entry)).collect();
        let storage = match entries[..] {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(n),
            ]
            | [
                Value::Text("storage"),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(n),
                Value::None,
            ] => u64::try_from(*n).ok().map(|elements| StorageRef { key, dtype: *dtype, elements }),
            _ => None,
        };
        let storage = storage.ok_or_else(|| self.wrong("a persistent id does not describe a storage"))?;
        if storage.key.len() > MAX_NAME_BYTES {
            return Err(self.wrong(format!("the key of a storage is longer than {MAX_NAME_BYTES} bytes")));
        }
        self.push_new(Value::Storage(storage))
    }
}

/// A little-endian integer in two's complement.
fn long(bytes: &[u8]) -> Value<'_> {
    if bytes.len() > 8 {
        return Value::Long(bytes);
    }
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut number = if negative { [0xff; 8] } else { [0; 8] };
    number[..bytes.len()].copy_from_slice(bytes);
    Value::Int(i64::from_le_bytes(number))
}
