//! Tests of the pickle machine: what it reads, skips and refuses.

use std::error::Error as _;

use proptest::prelude::*;

use super::*;

fn refused(input: &[u8]) -> String {
    Pickle::read(input).unwrap_err().to_string()
}

/// `GLOBAL module name`, a tuple with one text, `REDUCE`: what a hostile pickle is made of.
fn call(module: &str, name: &str) -> Vec<u8> {
    let mut pickle = b"\x80\x02c".to_vec();
    pickle.extend(format!("{module}\n{name}\n").bytes());
    pickle.extend(b"X\x02\x00\x00\x00id\x85R.");
    pickle
}

#[test]
fn plain_values() {
    // {'a': [1, -1, 2**40, None, True], 'b': (0.5, b'x')}, as Python writes it at protocol 2 and 4.
    for input in [
        b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01]q\x02(K\x01J\xff\xff\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01N\x88e\
          X\x01\x00\x00\x00bq\x03G?\xe0\x00\x00\x00\x00\x00\x00c_codecs\nencode\nq\x04X\x01\x00\x00\x00xq\x05\
          X\x06\x00\x00\x00latin1q\x06\x86q\x07Rq\x08\x86q\tu."
            .as_slice(),
        b"\x80\x04\x950\x00\x00\x00\x00\x00\x00\x00}\x94(\x8c\x01a\x94]\x94(K\x01J\xff\xff\xff\xff\
          \x8a\x06\x00\x00\x00\x00\x00\x01N\x88e\x8c\x01b\x94G?\xe0\x00\x00\x00\x00\x00\x00C\x01x\x94\x86\x94u.",
    ] {
        let pickle = Pickle::read(input).unwrap();
        assert_eq!(pickle.len, input.len());
        let Value::Dict(entries) = pickle.get(pickle.root()) else { panic!("no dict") };
        assert_eq!(entries.len(), 2);
        assert!(matches!(pickle.get(entries[1].0), Value::Text("b")));
        let Value::List(items) = pickle.get(entries[0].1) else { panic!("no list") };
        let items: Vec<_> = items.iter().map(|&item| pickle.get(item)).collect();
        assert!(
            matches!(
                items[..],
                [Value::Int(1), Value::Int(-1), Value::Int(0x100_0000_0000), Value::None, Value::Bool(true)]
            ),
            "{items:?}"
        );
    }
}

#[test]
fn names_that_run_code_are_refused() {
    for (module, name) in [
        ("os", "system"),
        ("posix", "system"),
        ("nt", "system"),
        ("builtins", "eval"),
        ("builtins", "exec"),
        ("builtins", "compile"),
        ("builtins", "open"),
        ("builtins", "__import__"),
        ("__builtin__", "eval"),
        ("__builtin__", "apply"),
        ("subprocess", "Popen"),
        ("runpy", "run_path"),
        ("importlib", "import_module"),
        ("socket", "create_connection"),
        ("webbrowser", "open"),
        ("ctypes", "CDLL"),
        ("shutil", "rmtree"),
        ("pty", "spawn"),
        ("code", "interact"),
        ("operator", "attrgetter"),
        ("types", "FunctionType"),
        ("urllib.request", "urlopen"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.utils.cpp_extension", "load_inline"),
        ("torch._utils", "_rebuild_tensor_v2.__globals__"),
        ("torch.storage", "_load_from_bytes"),
        ("numpy", "load"),
        ("numpy.testing._private.utils", "runstring"),
    ] {
        let Err(Error::Forbidden { name: found }) = Pickle::read(&call(module, name)) else {
            panic!("{module}.{name} was read");
        };
        assert_eq!(found, format!("{module}.{name}"));
    }
    // The same by STACK_GLOBAL, and with a name that would paint the terminal.
    let stack_global = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x02id\x94\x85\x94R\x94.";
    assert!(refused(stack_global).contains("os.system"));
    assert!(refused(&call("os.\x1b[31m", "b")).contains("os.\\u{1b}[31m.b"));
    // The way from any object to all classes.
    let inner = b"\x80\x02c__builtin__\ngetattr\ncbuiltins\nobject\nX\x0e\x00\x00\x00__subclasses__\x86R.";
    assert!(refused(inner).contains("getattr.__subclasses__"));
}

/// The value of a call, and the names that the report tells.
fn opaque(module: &str, name: &str) -> Vec<String> {
    let input = call(module, name);
    let pickle = Pickle::read(&input).unwrap();
    assert!(matches!(pickle.get(pickle.root()), Value::Opaque), "{module}.{name}");
    pickle.not_read
}

#[test]
fn other_names_do_nothing_and_are_told() {
    for (module, name) in [
        ("mmengine.logging.history_buffer", "HistoryBuffer"),
        ("omegaconf.dictconfig", "DictConfig"),
        ("torch.torch_version", "TorchVersion"),
        ("torch.nn.modules.linear", "Linear"),
        ("torchvision.models.resnet", "ResNet"),
        ("torch.optim.lr_scheduler", "OneCycleLR"),
        ("functools", "partial"),
        ("datetime", "datetime"),
        ("collections", "namedtuple"),
        ("__main__", "Config"),
        // State of NumPy's random-number generators.
        ("numpy.random._pickle", "__generator_ctor"),
        ("numpy.random._pickle", "__randomstate_ctor"),
        // Packages of people, which have names of Python's modules.
        ("code.config", "Config"),
    ] {
        assert_eq!(opaque(module, name), [format!("{module}.{name}")]);
    }
    for (module, name) in [
        ("argparse", "Namespace"),
        ("types", "SimpleNamespace"),
        ("torch", "device"),
        ("torch", "float32"),
        ("builtins", "set"),
        ("_codecs", "encode"),
        ("collections", "deque"),
        ("numpy._core.multiarray", "scalar"),
        ("utils.meters", "ScalarMeter"),
    ] {
        assert!(opaque(module, name).is_empty(), "{module}.{name}");
    }
    assert!(refused(&call("torch", "FloatStorage")).contains("calls a storage type"));
    assert!(refused(&call("torch._utils", "_rebuild_tensor_v2")).contains("too few arguments"));
    assert!(refused(&call("torch._utils", "_rebuild_parameter")).contains("not a tensor"));
    assert!(refused(&call("collections", "OrderedDict")).contains("not made from a list"));
}

/// All ways to make and fill an object of a class that is not known.
#[test]
fn objects_are_read_over() {
    let root = |operations: &[u8]| {
        let input = [b"\x80\x02", operations, b"."].concat();
        let pickle = Pickle::read(&input).unwrap();
        (format!("{:?}", pickle.get(pickle.root())), pickle.not_read)
    };
    for operations in [
        // NEWOBJ, NEWOBJ_EX, OBJ and INST; attributes, items of a list and of a set.
        b"ca\nB\n)\x81}b".as_slice(),
        b"ca\nB\n)}\x92",
        b"(ca\nB\nK\x01o",
        b"(K\x01ia\nB\n",
        b"ca\nB\n)\x81(K\x01K\x02eK\x03a",
        b"ca\nB\n)\x81(K\x01\x90",
        // A method of an object, bound and called.
        b"c__builtin__\ngetattr\nca\nB\n)\x81X\x01\x00\x00\x00m\x86R)R",
        // A tensor of a class that is not known.
        b"ctorch._tensor\n_rebuild_from_type_v2\n(ca\nB\nca\nB\n)}tR0ca\nB\n)R",
    ] {
        let (value, not_read) = root(operations);
        assert_eq!(value, "Opaque", "{operations:?}");
        assert!(not_read.contains(&"a.B".to_owned()));
    }
    // A class that is filled like a dict holds what a dict would.
    assert!(root(b"ca\nB\n)\x81X\x01\x00\x00\x00kK\x01s").0.starts_with("Dict([(Id("));
    // A frozen set, and bytes that can be changed.
    assert_eq!(root(b"(K\x01\x91").0, "Opaque");
    assert_eq!(root(b"\x96\x01\x00\x00\x00\x00\x00\x00\x00a").0, "Opaque");
    // A constant is not changed for all by one who adds to it.
    assert_eq!(root(b"G\x00\x00\x00\x00\x00\x00\x00\x00NNs").0, "Opaque");
}

#[test]
fn many_names_are_told_up_to_a_limit() {
    let names: Vec<u8> = (0..1000).flat_map(|n| format!("ca\nB{n}\n0").into_bytes()).collect();
    let input = [b"\x80\x02", names.as_slice(), b"N."].concat();
    assert_eq!(Pickle::read(&input).unwrap().not_read.len(), MAX_OPAQUE_NAMES);
    let long = [b"\x80\x02c".as_slice(), &[b'a'; 1025], b"\nb\n."].concat();
    assert!(refused(&long).contains("longer than 1024 bytes"));
}

#[test]
fn nonsense_is_told_where_it_is() {
    for (input, says) in [
        (b"".as_slice(), "at byte 0: it ends early"),
        (b"\x80\x02", "at byte 2: it ends early"),
        (b"\x80\x02.", "at byte 2: the stack is empty"),
        (b"\x80\x09N.", "protocol 9"),
        (b"\x80\x02h\x05.", "did not store"),
        (b"\x80\x02e.", "no mark"),
        (b"\x80\x02N(0.", "the stack is empty"),
        (b"\x80\x02NN\x86\x87.", "the stack is empty"),
        (b"\x80\x02NNa.", "not a list"),
        (b"\x80\x02NNNs.", "not a dict"),
        (b"\x80\x02}(Nu.", "a key has no value"),
        (b"\x80\x02NNR.", "not a class or a function"),
        (b"\x80\x02NNb.", "attributes"),
        (b"\x80\x02NQ.", "not a tuple"),
        (b"\x80\x02)Q.", "does not describe a storage"),
        (b"\x80\x02(p", "0x70"),
        (b"\x80\x02X\xff\xff\xff\xffabc.", "ends early"),
        (b"\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.", "ends early"),
        (b"\x80\x02X\x01\x00\x00\x00\xff.", "not UTF-8"),
        (b"cos", "ends early"),
    ] {
        assert!(refused(input).contains(says), "{input:?}: {}", refused(input));
    }
    // Where the bytes are wrong is kept.
    for (input, says) in [
        (b"\x80\x02NX\x03\x00\x00\x00ab\xff.".as_slice(), "a string at byte 3"),
        (b"\x80\x02Ncab\xff\nb\n.", "a name at byte 3"),
    ] {
        let error = Pickle::read(input).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.source().is_some_and(|source| source.to_string().contains("index 2")), "{error}");
    }
}

#[test]
fn tensors_are_views_of_storages() {
    let tensor = |sizes: &[u8], strides: &[u8]| {
        let mut pickle =
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n\
            X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQK\x01"
                .to_vec();
        pickle.extend(sizes);
        pickle.extend(strides);
        pickle.extend(b"\x89NtR.");
        pickle
    };
    let input = tensor(b"K\x02K\x03\x86", b"K\x03K\x01\x86");
    let pickle = Pickle::read(&input).unwrap();
    let Value::Tensor(view) = pickle.get(pickle.root()) else { panic!("no tensor") };
    assert_eq!((view.storage.key, view.storage.elements, view.offset), ("0", 6, 1));
    assert_eq!((view.shape.as_slice(), view.stride.as_slice()), ([2, 3].as_slice(), [3, 1].as_slice()));
    assert!(refused(&tensor(b"K\x02K\x03\x86", b"K\x03\x85")).contains("numbers of strides"));
    assert!(refused(&tensor(b"J\xff\xff\xff\xff\x85", b"K\x01\x85")).contains("negative"));
    assert!(refused(&tensor(b"X\x00\x00\x00\x00\x85", b"K\x01\x85")).contains("not a number"));
    assert!(
        refused(&tensor(b"(K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01K\x01t", b"K\x01\x85"))
            .contains("at most 8")
    );
}

/// Each level holds the one before it ten times: as text it would be longer than any memory.
#[test]
fn references_are_not_copies() {
    let mut input = b"\x80\x02]q\x00".to_vec();
    for level in 0..200_u8 {
        input.extend(b"](");
        input.extend([b'h', level].repeat(10));
        input.extend([b'e', b'q', level + 1]);
    }
    input.push(b'.');
    assert!(Pickle::read(&input).unwrap().values.len() < 1000);
}

#[test]
fn depth_costs_no_stack() {
    let mut input = b"\x80\x02N".to_vec();
    input.extend(b"\x85".repeat(1_000_000));
    input.push(b'.');
    drop(Pickle::read(&input).unwrap());
    // A list that holds itself.
    assert!(Pickle::read(b"\x80\x02]q\x00h\x00a.").is_ok());
}

#[test]
fn values_stack_and_marks_are_bounded() {
    let flood = |operations: &[u8], n: usize| {
        let mut input = b"\x80\x02Nq\x00".to_vec();
        input.extend(operations.repeat(n));
        input.push(b'.');
        refused(&input)
    };
    assert!(flood(b"}0", MAX_VALUES + 1).contains("more than 4000000 values"));
    assert!(flood(b"2", MAX_VALUES + 1).contains("its stack has more"));
    assert!(flood(b"(", MAX_VALUES + 1).contains("too many marks"));
    // The memo is a map: a large key makes no large table.
    assert!(Pickle::read(b"\x80\x02Nr\xff\xff\xff\xff.").is_ok());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(input in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(Pickle::read(&input));
    }

    /// Bytes that are operations more often than chance.
    #[test]
    fn any_operations_are_read_or_refused(
        input in proptest::collection::vec(
            proptest::sample::select(b"\x80\x02\x93\x81\x85\x86\x87\x94NKhq(tele}us]abRQ)2X01\x88.".to_vec()), 0..200,
        ),
    ) {
        drop(Pickle::read(&input));
    }
}
