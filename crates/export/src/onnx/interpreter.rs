//! Runs an ONNX file by the specification of its operators, slowly.
//!
//! Separate from the translation, of which it knows nothing, so that an export can be checked: only the file is between
//! them.
//! Invariant: an operator or an attribute that is not known here is an error, never ignored.

use std::collections::HashMap;
use std::path::Path;

use mutualnet_core::Tensor;
use prost::Message;

use super::kernels::{self, Window};
use super::proto::{FLOAT, GraphProto, INT64, ModelProto, NodeProto, TensorProto};
use crate::{Error, Result};

/// A file that can be run.
#[derive(Debug)]
pub struct Interpreter {
    graph: GraphProto,
    constants: HashMap<String, Value>,
    metadata: Vec<(String, String)>,
}

/// What nodes compute.
#[derive(Debug, Clone)]
enum Value {
    Floats(Tensor),
    /// A vector, such as a shape.
    Ints(Vec<i64>),
}

impl Interpreter {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, is not ONNX, or has tensors of other types than 32-bit floats and 64-bit integers.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&bytes)
    }

    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let model = ModelProto::decode(bytes).map_err(|error| broken("the file", error))?;
        let mut graph = model.graph.ok_or_else(|| broken("the file", "it has no graph"))?;
        let mut constants = HashMap::new();
        for tensor in std::mem::take(&mut graph.initializer) {
            let value = constant(&tensor)?;
            if constants.insert(tensor.name.clone(), value).is_some() {
                return Err(broken(&tensor.name, "two constants have this name"));
            }
        }
        let metadata = model.metadata_props.into_iter().map(|entry| (entry.key, entry.value)).collect();
        Ok(Self { graph, constants, metadata })
    }

    /// The metadata of a key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Computes all outputs, by name, in the order of the file.
    ///
    /// # Shapes
    /// - `input`: `[n, c, h, w]`
    ///
    /// # Errors
    /// An operator is not known here, or its inputs do not fit.
    pub fn run(&self, input: Tensor) -> Result<Vec<(String, Tensor)>> {
        let name = &self.graph.input.first().ok_or_else(|| broken("the graph", "it has no input"))?.name;
        let mut values: HashMap<&str, Value> = HashMap::from([(name.as_str(), Value::Floats(input))]);
        for node in &self.graph.node {
            let [output] = &node.output[..] else {
                return Err(broken(&node.name, "it does not have one output"));
            };
            let value = Call { node, values: &values, constants: &self.constants }.run()?;
            if self.constants.contains_key(output) || values.insert(output, value).is_some() {
                return Err(broken(output, "two values have this name"));
            }
        }
        let outputs = self.graph.output.iter().map(|output| match values.get(output.name.as_str()) {
            Some(Value::Floats(tensor)) => Ok((output.name.clone(), tensor.clone())),
            _ => Err(broken(&output.name, "the output is not computed")),
        });
        outputs.collect()
    }
}

fn broken(what: &str, reason: impl std::fmt::Display) -> Error {
    Error::Onnx { what: what.to_owned(), reason: reason.to_string() }
}

fn constant(tensor: &TensorProto) -> Result<Value> {
    let shape: Vec<usize> = tensor.dims.iter().map(|&side| side.max(0) as usize).collect();
    let n: usize = shape.iter().product();
    let bytes = &tensor.raw_data;
    match tensor.data_type {
        FLOAT if bytes.len() == 4 * n => {
            let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("chunks of 4"));
            Ok(Value::Floats(Tensor { shape, data: bytes.chunks_exact(4).map(number).collect() }))
        }
        INT64 if bytes.len() == 8 * n && shape.len() == 1 => {
            let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("chunks of 8"));
            Ok(Value::Ints(bytes.chunks_exact(8).map(number).collect()))
        }
        _ => Err(broken(&tensor.name, "the constant's type, shape and bytes do not fit")),
    }
}

/// A node and all values that are there.
struct Call<'a> {
    node: &'a NodeProto,
    values: &'a HashMap<&'a str, Value>,
    constants: &'a HashMap<String, Value>,
}

impl<'a> Call<'a> {
    fn run(&self) -> Result<Value> {
        let tensor = match self.node.op_type.as_str() {
            "Shape" => {
                self.knows(&[])?;
                return Ok(Value::Ints(self.floats(0)?.shape.iter().map(|&side| side as i64).collect()));
            }
            "Slice" => return self.slice().map(Value::Ints),
            "Concat" => return self.concat(),
            "Conv" => self.conv()?,
            "Gemm" => self.gemm()?,
            "MaxPool" => {
                self.knows(&["kernel_shape", "strides", "pads"])?;
                kernels::max_pool(self.map(0)?, self.window(None)?)
            }
            "AveragePool" => {
                self.knows(&["kernel_shape", "strides", "pads", "count_include_pad"])?;
                if self.int("count_include_pad")? != Some(1) {
                    return Err(self.wrong("only a mean that counts padding is known"));
                }
                kernels::avg_pool(self.map(0)?, self.window(None)?)
            }
            "GlobalAveragePool" => kernels::global_average_pool(self.map(0)?),
            "Resize" => self.resize()?,
            "Add" => self.pair(|a, b| a + b)?,
            "Mul" => self.pair(|a, b| a * b)?,
            "Flatten" => self.flatten()?,
            "Identity" => self.floats(0)?.clone(),
            _ => self.pointwise()?,
        };
        Ok(Value::Floats(tensor))
    }

    fn wrong(&self, reason: impl std::fmt::Display) -> Error {
        broken(&format!("node `{}` ({})", self.node.name, self.node.op_type), reason)
    }

    /// Refuses attributes that would be ignored.
    fn knows(&self, names: &[&str]) -> Result<()> {
        match self.node.attribute.iter().find(|attribute| !names.contains(&attribute.name.as_str())) {
            Some(attribute) => Err(self.wrong(format!("attribute `{}` is not known", attribute.name))),
            None => Ok(()),
        }
    }

    fn int(&self, name: &str) -> Result<Option<i64>> {
        let attribute = self.node.attribute.iter().find(|attribute| attribute.name == name);
        attribute
            .map(|a| a.i.ok_or_else(|| self.wrong(format!("`{name}` is not a whole number"))))
            .transpose()
    }

    fn float(&self, name: &str) -> Result<f32> {
        let attribute = self.node.attribute.iter().find(|attribute| attribute.name == name);
        attribute.and_then(|a| a.f).ok_or_else(|| self.wrong(format!("there is no number `{name}`")))
    }

    fn text(&self, name: &str) -> Option<&str> {
        let attribute = self.node.attribute.iter().find(|attribute| attribute.name == name)?;
        std::str::from_utf8(attribute.s.as_deref()?).ok()
    }

    fn sizes<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let attribute = self.node.attribute.iter().find(|attribute| attribute.name == name);
        let sizes = attribute.and_then(|attribute| <[i64; N]>::try_from(attribute.ints.as_slice()).ok());
        let sizes = sizes.filter(|sizes| sizes.iter().all(|&size| size >= 0));
        sizes
            .map(|sizes| sizes.map(|size| size as usize))
            .ok_or_else(|| self.wrong(format!("`{name}` is not {N} sizes")))
    }

    fn value(&self, idx: usize) -> Result<&'a Value> {
        let name = self.node.input.get(idx).map_or("", String::as_str);
        let value = self.values.get(name).or_else(|| self.constants.get(name));
        value.ok_or_else(|| self.wrong(format!("input {idx}, `{name}`, is missing")))
    }

    fn floats(&self, idx: usize) -> Result<&'a Tensor> {
        match self.value(idx)? {
            Value::Floats(tensor) => Ok(tensor),
            Value::Ints(_) => Err(self.wrong(format!("input {idx} holds whole numbers"))),
        }
    }

    fn ints(&self, idx: usize) -> Result<&'a [i64]> {
        match self.value(idx)? {
            Value::Ints(ints) => Ok(ints),
            Value::Floats(_) => Err(self.wrong(format!("input {idx} holds no whole numbers"))),
        }
    }

    /// An input that is `[n, c, h, w]`.
    fn map(&self, idx: usize) -> Result<&'a Tensor> {
        let tensor = self.floats(idx)?;
        if tensor.shape.len() == 4 {
            return Ok(tensor);
        }
        Err(self.wrong(format!("input {idx} has the shape {:?}", tensor.shape)))
    }

    fn window(&self, dilations: Option<[usize; 2]>) -> Result<Window> {
        let [top, left, bottom, right] = self.sizes("pads")?;
        let window = Window {
            kernel: self.sizes("kernel_shape")?,
            strides: self.sizes("strides")?,
            pads: [top, left],
            dilations: dilations.unwrap_or([1, 1]),
        };
        if [top, left] != [bottom, right] {
            return Err(self.wrong("the pads differ"));
        }
        Ok(window)
    }

    fn conv(&self) -> Result<Tensor> {
        self.knows(&["kernel_shape", "strides", "pads", "dilations", "group"])?;
        let (x, weight) = (self.map(0)?, self.map(1)?);
        let bias = if self.node.input.len() > 2 { Some(self.floats(2)?) } else { None };
        let window = self.window(Some(self.sizes("dilations")?))?;
        let groups = self.int("group")?.unwrap_or(1).max(1) as usize;
        let [out, per_group, kernel @ ..] = &weight.shape[..] else { unreachable!("it is a map") };
        let fits = x.shape[1] == per_group * groups
            && out % groups == 0
            && *kernel == window.kernel
            && bias.is_none_or(|bias| bias.data.len() == *out);
        if !fits {
            return Err(self.wrong(format!("{:?} does not fit {:?}", weight.shape, x.shape)));
        }
        let bias = bias.map_or(vec![0.0; *out], |bias| bias.data.clone());
        Ok(kernels::conv(x, weight, &bias, (window, groups)))
    }

    fn gemm(&self) -> Result<Tensor> {
        self.knows(&["transB"])?;
        let (a, b, c) = (self.floats(0)?, self.floats(1)?, self.floats(2)?);
        let fits = a.shape.len() == 2 && b.shape.len() == 2 && a.shape[1] == b.shape[1];
        if self.int("transB")? != Some(1) || !fits || c.shape != b.shape[..1] {
            return Err(self.wrong("the shapes do not fit"));
        }
        let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>();
        let rows = a.data.chunks_exact(a.shape[1]);
        let data = rows.flat_map(|row| {
            let weights = b.data.chunks_exact(b.shape[1]).zip(&c.data);
            weights.map(move |(w, bias)| dot(row, w) + bias)
        });
        Ok(Tensor { shape: vec![a.shape[0], b.shape[0]], data: data.collect() })
    }

    fn resize(&self) -> Result<Tensor> {
        self.knows(&["mode", "coordinate_transformation_mode", "nearest_mode"])?;
        let x = self.map(0)?;
        let sizes: Vec<usize> = self.ints(3)?.iter().map(|&side| side.max(0) as usize).collect();
        let [n, c, size @ ..] = &sizes[..] else { return Err(self.wrong("there are no sizes")) };
        let Ok(size) = <[usize; 2]>::try_from(size) else { return Err(self.wrong("there are no sizes")) };
        if [*n, *c] != x.shape[..2] {
            return Err(self.wrong("batch or channels would change"));
        }
        let keys = ["mode", "coordinate_transformation_mode", "nearest_mode"].map(|key| self.text(key));
        match keys {
            [Some("linear"), Some("half_pixel"), None] => Ok(kernels::bilinear(x, size)),
            [Some("nearest"), Some("asymmetric"), Some("floor")] => Ok(kernels::nearest(x, size)),
            _ => Err(self.wrong("this way of resizing is not known")),
        }
    }

    fn pair(&self, compute: impl Fn(f32, f32) -> f32) -> Result<Tensor> {
        self.knows(&[])?;
        let (a, b) = (self.floats(0)?, self.floats(1)?);
        kernels::broadcast(a, b, compute)
            .ok_or_else(|| self.wrong(format!("{:?} and {:?} do not fit", a.shape, b.shape)))
    }

    fn pointwise(&self) -> Result<Tensor> {
        let x = self.floats(0)?;
        let each = |compute: &dyn Fn(f32) -> f32| Tensor {
            shape: x.shape.clone(),
            data: x.data.iter().map(|&x| compute(x)).collect(),
        };
        let hard_sigmoid = |x: f32, alpha: f32, beta: f32| (alpha * x + beta).clamp(0.0, 1.0);
        match self.node.op_type.as_str() {
            "Relu" => Ok(each(&|x| x.max(0.0))),
            "Sigmoid" => Ok(each(&|x| 1.0 / (1.0 + (-x).exp()))),
            "HardSwish" => Ok(each(&|x| x * hard_sigmoid(x, 1.0 / 6.0, 0.5))),
            "HardSigmoid" => {
                self.knows(&["alpha", "beta"])?;
                let (alpha, beta) = (self.float("alpha")?, self.float("beta")?);
                Ok(each(&|x| hard_sigmoid(x, alpha, beta)))
            }
            "Clip" => match (&self.floats(1)?.data[..], &self.floats(2)?.data[..]) {
                (&[low], &[high]) if low <= high => Ok(each(&|x| x.clamp(low, high))),
                _ => Err(self.wrong("the limits are not two numbers in order")),
            },
            _ => Err(self.wrong("the operator is not known")),
        }
    }

    fn flatten(&self) -> Result<Tensor> {
        self.knows(&["axis"])?;
        let x = self.floats(0)?;
        let shape = vec![x.shape[0], x.shape[1..].iter().product()];
        if self.int("axis")? != Some(1) {
            return Err(self.wrong("the axis is not 1"));
        }
        Ok(Tensor { shape, data: x.data.clone() })
    }

    fn slice(&self) -> Result<Vec<i64>> {
        let (of, from, to) = (self.ints(0)?, self.ints(1)?, self.ints(2)?);
        match (from, to) {
            (&[from], &[to]) if 0 <= from && from <= to && to as usize <= of.len() => {
                Ok(of[from as usize..to as usize].to_vec())
            }
            _ => Err(self.wrong("the range does not fit")),
        }
    }

    fn concat(&self) -> Result<Value> {
        self.knows(&["axis"])?;
        let n_inputs = self.node.input.len();
        match (self.value(0)?, self.int("axis")?) {
            (Value::Ints(_), Some(0)) => {
                let parts = (0..n_inputs).map(|idx| self.ints(idx)).collect::<Result<Vec<_>>>()?;
                Ok(Value::Ints(parts.concat()))
            }
            (Value::Floats(_), Some(1)) => {
                let parts = (0..n_inputs).map(|idx| self.floats(idx)).collect::<Result<Vec<_>>>()?;
                let joined = kernels::concat_channels(&parts);
                joined.map(Value::Floats).ok_or_else(|| self.wrong("the inputs differ in size"))
            }
            _ => Err(self.wrong("the axis is not known")),
        }
    }
}
