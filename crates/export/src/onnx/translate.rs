//! From a network's list of nodes to an ONNX graph.
//!
//! Invariant: sizes of images and batches are never written into the graph, except those of the input of a classifier;
//! everything else follows from the input when the graph runs.

use mutualnet_bundle::Bundle;
use mutualnet_core::network::{Activation, Conv, Extent, Groups, Node, NodeId, Op, Rank, Resize};
use mutualnet_core::{Fit, Network, Subnet, Tensor};

use super::builder::{GraphBuilder, float, int, ints, text};
use super::fold::{Affine, Folds};
use super::proto::{AttributeProto, GraphProto, Side};
use crate::{Error, Result};

/// The name of the graph's only input.
const INPUT: &str = "input";

/// The graph of a bundle that has only one row.
///
/// # Errors
/// Fails if the network reads anything but one image, or has an operation that is not known here.
pub(super) fn graph(row: &Bundle, subnet: Subnet) -> Result<GraphProto> {
    let network = row.network();
    let reads_an_image = network.inputs(network.main()).count() == 1
        && matches!(network.node(NodeId(0)).op, Op::Input { size: None, .. });
    let reads = match network.rank() {
        Rank::Clip => Some("reads clips"),
        Rank::Image if network.lists().len() > 1 => Some("looks at regions of an image one by one"),
        Rank::Image if !reads_an_image => Some("has several inputs"),
        Rank::Image => None,
    };
    if let Some(reads) = reads {
        return Err(Error::NotOneImage { network: network.name().to_owned(), reads });
    }
    let stats = row.stats(subnet).expect("the bundle was cut to this row");
    let channels = network.channels(subnet.width)?;
    let mut translation = Translation {
        row,
        channels: &channels,
        folds: Folds::new(network, stats),
        names: names(network),
        is_vector: Vec::with_capacity(channels.len()),
        graph: GraphBuilder::new(network.name()),
    };
    translation.input(subnet);
    for idx in 1..network.nodes().len() {
        translation.node(NodeId(idx))?;
    }
    translation.outputs(subnet)?;
    Ok(translation.graph.finish())
}

/// What the value of every node is called: an output by its own name, any other node by its path.
fn names(network: &Network) -> Vec<String> {
    let mut names: Vec<_> = network.nodes().iter().map(|node| node.path.clone()).collect();
    names[0] = INPUT.to_owned();
    for output in network.outputs() {
        let others = names.iter_mut().enumerate().filter(|(idx, _)| *idx != output.node.0);
        for (_, taken) in others.filter(|(_, name)| **name == output.name) {
            taken.push_str(".value");
        }
        names[output.node.0].clone_from(&output.name);
    }
    names
}

struct Translation<'a> {
    row: &'a Bundle,
    channels: &'a [usize],
    folds: Folds<'a>,
    /// By node.
    names: Vec<String>,
    /// Whether the value of a node is `[n, c]` instead of `[n, c, h, w]`, for the nodes so far.
    is_vector: Vec<bool>,
    graph: GraphBuilder,
}

impl Translation<'_> {
    fn input(&mut self, subnet: Subnet) {
        let channels = Side::Value(self.channels[0] as i64);
        self.is_vector.push(false);
        let [height, width] = self.image_sides(subnet);
        self.graph.input(INPUT, vec![batch(), channels, height, width]);
    }

    /// A network of squares sees those of the row's resolution, and one of whole images any size.
    fn image_sides(&self, subnet: Subnet) -> [Side; 2] {
        match self.row.task().sees() {
            Fit::CenterCrop | Fit::Square => {
                [0; 2].map(|_| Side::Value(i64::from(subnet.input.resolution.get())))
            }
            Fit::Whole => ["height", "width"].map(|side| Side::Param(side.to_owned())),
        }
    }

    fn outputs(&mut self, subnet: Subnet) -> Result<()> {
        let network = self.row.network();
        let shapes = network.costs(subnet)?;
        for output in network.outputs() {
            let NodeId(idx) = output.node;
            let mut name = self.names[idx].clone();
            if name != output.name {
                // The node is another output as well.
                name = self.graph.node("Identity", &output.name, &[&name], vec![]);
            }
            let mut sides = vec![batch(), Side::Value(self.channels[idx] as i64)];
            if !self.is_vector[idx] {
                let is_input_sized = matches!(network.node(output.node).op, Op::ResizeLike(_))
                    && network.node(output.node).inputs[1] == NodeId(0);
                let [_, height, width] = shapes[idx].shape.extent.map(i64::from);
                sides.extend(match self.row.task().sees() {
                    Fit::CenterCrop | Fit::Square => [height, width].map(Side::Value),
                    Fit::Whole if is_input_sized => self.image_sides(subnet),
                    Fit::Whole => ["height", "width"].map(|side| Side::Param(format!("{name}.{side}"))),
                });
            }
            self.graph.output(&name, sides);
        }
        Ok(())
    }

    fn node(&mut self, id: NodeId) -> Result<()> {
        let row = self.row;
        let node = row.network().node(id);
        let of_inputs: Vec<_> = node.inputs.iter().map(|input| self.is_vector[input.0]).collect();
        self.is_vector.push(node.op.gives_vector(&of_inputs).expect("the network was checked"));
        match &node.op {
            Op::Conv(conv) => self.conv(id, conv),
            Op::Linear(_) => self.linear(id),
            Op::BatchNorm(_) => self.batch_norm(id),
            Op::Activation(activation) => self.activation(id, *activation)?,
            Op::Add => self.pair("Add", id),
            Op::Multiply => self.pair("Mul", id),
            Op::MaxPool(pool) => {
                let attributes = window(pool.kernel, pool.stride, pool.padding);
                self.map_op("MaxPool", id, attributes);
            }
            Op::AvgPool(pool) => {
                let mut attributes = window(pool.kernel, pool.stride, pool.padding);
                attributes.push(int("count_include_pad", 1));
                self.map_op("AveragePool", id, attributes);
            }
            Op::GlobalPool => self.map_op("GlobalAveragePool", id, vec![]),
            Op::ResizeLike(resize) => self.resize_like(id, *resize)?,
            other => return Err(unknown(node, other.name())),
        }
        Ok(())
    }

    /// The value of a node, which has one position, as `[n, c]`.
    fn vector(&mut self, NodeId(idx): NodeId) -> String {
        let value = self.names[idx].clone();
        if self.is_vector[idx] {
            return value;
        }
        self.derived("Flatten", &format!("{value}.vector"), &[&value], vec![int("axis", 1)])
    }

    /// A node beside those of the list; once, although several nodes may ask for it.
    fn derived(
        &mut self,
        op_type: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        if self.graph.has(name) {
            return name.to_owned();
        }
        self.graph.node(op_type, name, inputs, attributes)
    }

    /// An operation on one map.
    fn map_op(&mut self, op_type: &str, id: NodeId, attributes: Vec<AttributeProto>) {
        let input = self.row.network().node(id).inputs[0];
        self.graph.node(op_type, &self.names[id.0], &[&self.names[input.0]], attributes);
    }

    /// An operation on two vectors, or on two maps of which the second may have a single position.
    fn pair(&mut self, op_type: &str, id: NodeId) {
        let inputs = &self.row.network().node(id).inputs;
        let values = [inputs[0], inputs[1]].map(|input| self.names[input.0].as_str());
        self.graph.node(op_type, &self.names[id.0], &values, vec![]);
    }

    /// Several values, one after the other along the channels.
    fn concatenated(&mut self, id: NodeId, values: Vec<String>) -> String {
        match &values[..] {
            [value] => value.clone(),
            values => {
                let values: Vec<_> = values.iter().map(String::as_str).collect();
                let name = format!("{}.inputs", self.row.network().node(id).path);
                self.derived("Concat", &name, &values, vec![int("axis", 1)])
            }
        }
    }

    /// The learned tensor of a node.
    fn parameter(&self, id: NodeId, kind: &str) -> Option<&Tensor> {
        let network = self.row.network();
        let path = &network.node(network.owner(id)).path;
        self.row.weights().get(&format!("{path}.{kind}"))
    }

    /// Weight and bias of a convolution or linear layer as constants, with the batch norm after it if that is folded;
    /// returns their names, and that of the result.
    fn layer_parameters(&mut self, id: NodeId) -> (Vec<String>, String) {
        let path = self.row.network().node(id).path.clone();
        let weight = self.parameter(id, "weight").expect("checked by the bundle");
        let bias = self.parameter(id, "bias");
        let folded = self.folds.after(id);
        let norm = folded.map(|norm| self.affine(norm));
        let (shape, weight, bias) = match norm {
            Some(norm) => {
                let (weight, bias) = norm.fold_into(weight, bias);
                (self.parameter(id, "weight").map(|w| w.shape.clone()), weight, Some(bias))
            }
            None => (Some(weight.shape.clone()), weight.data.clone(), bias.map(|bias| bias.data.clone())),
        };
        let shape = shape.expect("checked by the bundle");
        let mut names = vec![self.graph.floats(&format!("{path}.weight"), &shape, &weight)];
        if let Some(bias) = bias {
            names.push(self.graph.floats(&format!("{path}.bias"), &[bias.len()], &bias));
        }
        let result = self.names[folded.unwrap_or(id).0].clone();
        (names, result)
    }

    fn conv(&mut self, id: NodeId, conv: &Conv) {
        let inputs = self.row.network().node(id).inputs.clone();
        let maps = inputs.iter().map(|&input| self.names[input.0].clone()).collect();
        let x = self.concatenated(id, maps);
        let (parameters, result) = self.layer_parameters(id);
        let mut attributes = window(conv.kernel, conv.stride, conv.padding);
        attributes.push(ints("dilations", &plane(conv.dilation)));
        let group = if conv.groups == Groups::Depthwise { self.channels[id.0] } else { 1 };
        attributes.push(int("group", group as i64));
        let inputs: Vec<_> = std::iter::once(&x).chain(&parameters).map(String::as_str).collect();
        self.graph.node("Conv", &result, &inputs, attributes);
    }

    fn linear(&mut self, id: NodeId) {
        let inputs = self.row.network().node(id).inputs.clone();
        let vectors = inputs.iter().map(|&input| self.vector(input)).collect();
        let x = self.concatenated(id, vectors);
        let (parameters, result) = self.layer_parameters(id);
        let inputs: Vec<_> = std::iter::once(&x).chain(&parameters).map(String::as_str).collect();
        self.graph.node("Gemm", &result, &inputs, vec![int("transB", 1)]);
    }

    /// What a batch norm does to each channel.
    fn affine(&self, id: NodeId) -> Affine {
        let Op::BatchNorm(norm) = &self.row.network().node(id).op else {
            unreachable!("only batch norms are folded");
        };
        let parameter = |kind| &self.parameter(id, kind).expect("checked by the bundle").data;
        Affine::new(self.folds.stats(id), parameter("weight"), parameter("bias"), norm.eps)
    }

    /// A batch norm that does not come right after a convolution: a factor and a summand per channel.
    fn batch_norm(&mut self, id: NodeId) {
        if self.folds.is_folded(id) {
            return;
        }
        let node = self.row.network().node(id);
        let (path, input) = (&node.path, self.names[node.inputs[0].0].clone());
        let Affine { scale, shift } = self.affine(id);
        let mut shape = vec![scale.len(), 1, 1];
        shape.truncate(if self.is_vector[id.0] { 1 } else { 3 });
        let to_f32 = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect::<Vec<_>>();
        let scale = self.graph.floats(&format!("{path}.scale"), &shape, &to_f32(scale));
        let shift = self.graph.floats(&format!("{path}.shift"), &shape, &to_f32(shift));
        let scaled = self.graph.node("Mul", &format!("{path}.scaled"), &[&input, &scale], vec![]);
        self.graph.node("Add", &self.names[id.0], &[&scaled, &shift], vec![]);
    }

    fn activation(&mut self, id: NodeId, activation: Activation) -> Result<()> {
        let node = self.row.network().node(id);
        let x = self.names[node.inputs[0].0].clone();
        let name = self.names[id.0].clone();
        let graph = &mut self.graph;
        match activation {
            Activation::Relu => graph.node("Relu", &name, &[&x], vec![]),
            Activation::Relu6 => {
                let [low, high] =
                    [("zero", 0.0), ("six", 6.0)].map(|(name, value)| graph.floats(name, &[], &[value]));
                graph.node("Clip", &name, &[&x, &low, &high], vec![])
            }
            Activation::Sigmoid => graph.node("Sigmoid", &name, &[&x], vec![]),
            Activation::HardSigmoid => {
                let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
                graph.node("HardSigmoid", &name, &[&x], attributes)
            }
            Activation::Swish => {
                let sigmoid = graph.node("Sigmoid", &format!("{name}.sigmoid"), &[&x], vec![]);
                graph.node("Mul", &name, &[&x, &sigmoid], vec![])
            }
            Activation::HardSwish => graph.node("HardSwish", &name, &[&x], vec![]),
            other => return Err(unknown(node, other.name())),
        };
        Ok(())
    }

    /// Resizes to the height and width of another value, which are taken from that value when the graph runs.
    fn resize_like(&mut self, id: NodeId, resize: Resize) -> Result<()> {
        let node = self.row.network().node(id);
        let attributes = match resize {
            Resize::Nearest => [
                ("mode", "nearest"),
                ("coordinate_transformation_mode", "asymmetric"),
                ("nearest_mode", "floor"),
            ]
            .map(|(name, value)| text(name, value))
            .to_vec(),
            Resize::Bilinear => [("mode", "linear"), ("coordinate_transformation_mode", "half_pixel")]
                .map(|(name, value)| text(name, value))
                .to_vec(),
            _ => return Err(unknown(node, "this way of resizing")),
        };
        let [x, like] = [node.inputs[0], node.inputs[1]].map(|input| self.names[input.0].clone());
        let batch_and_channels = self.part_of_shape(&x, "batch_and_channels", [0, 2]);
        let size = self.part_of_shape(&like, "size", [2, 4]);
        let sizes = format!("{}.sizes", node.path);
        self.graph.node("Concat", &sizes, &[&batch_and_channels, &size], vec![int("axis", 0)]);
        self.graph.node("Resize", &self.names[id.0], &[&x, "", "", &sizes], attributes);
        Ok(())
    }

    /// The numbers from one index to another of the shape of a value.
    fn part_of_shape(&mut self, value: &str, part: &str, range: [i64; 2]) -> String {
        let shape = self.derived("Shape", &format!("{value}.shape"), &[value], vec![]);
        let [from, to] = range.map(|at| self.graph.ints(&format!("at_{at}"), &[at]));
        self.derived("Slice", &format!("{value}.{part}"), &[&shape, &from, &to], vec![])
    }
}

fn batch() -> Side {
    Side::Param("batch".to_owned())
}

fn unknown(node: &Node, operation: &str) -> Error {
    Error::Operation { path: node.path.clone(), operation: operation.to_owned() }
}

/// Height and width.
fn plane([_, height, width]: Extent) -> [i64; 2] {
    [height, width].map(i64::from)
}

/// The attributes of a window that is moved over a map.
fn window(kernel: Extent, stride: Extent, padding: Extent) -> Vec<AttributeProto> {
    let [top, left] = plane(padding);
    vec![
        ints("kernel_shape", &plane(kernel)),
        ints("strides", &plane(stride)),
        ints("pads", &[top, left, top, left]),
    ]
}
