//! Puts an ONNX graph together: nodes, their attributes, and constant tensors.
//!
//! Separate from what the graph computes, so that the translation of a network reads like one.
//! Invariant: every value has a name of its own, and a constant is stored once per name.

use super::proto::{
    AttributeProto, AttributeType, Dimension, FLOAT, GraphProto, INT64, NodeProto, Side, TensorProto,
    TensorShapeProto, TensorType, TypeProto, ValueInfoProto,
};

/// A graph that grows.
#[derive(Default)]
pub(super) struct GraphBuilder {
    graph: GraphProto,
}

impl GraphBuilder {
    pub(super) fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: name.to_owned(), ..GraphProto::default() } }
    }

    pub(super) fn finish(self) -> GraphProto {
        self.graph
    }

    /// Whether a node of this name is there already.
    pub(super) fn has(&self, name: &str) -> bool {
        self.graph.node.iter().any(|node| node.name == name)
    }

    pub(super) fn input(&mut self, name: &str, sides: Vec<Side>) {
        self.graph.input.push(value_info(name, sides));
    }

    pub(super) fn output(&mut self, name: &str, sides: Vec<Side>) {
        self.graph.output.push(value_info(name, sides));
    }

    /// Appends a node with one output, which is called like the node, and returns that name.
    pub(super) fn node(
        &mut self,
        op_type: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.graph.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: op_type.to_owned(),
            attribute: attributes,
        });
        name.to_owned()
    }

    /// A constant of 32-bit numbers; returns its name.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], data: &[f32]) -> String {
        let raw_data = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(name, shape, (FLOAT, raw_data))
    }

    /// A constant vector of whole numbers; returns its name.
    pub(super) fn ints(&mut self, name: &str, data: &[i64]) -> String {
        let raw_data = data.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constant(name, &[data.len()], (INT64, raw_data))
    }

    fn constant(&mut self, name: &str, shape: &[usize], (data_type, raw_data): (i32, Vec<u8>)) -> String {
        if !self.graph.initializer.iter().any(|known| known.name == name) {
            let dims = shape.iter().map(|&side| side as i64).collect();
            self.graph.initializer.push(TensorProto { dims, data_type, name: name.to_owned(), raw_data });
        }
        name.to_owned()
    }
}

fn value_info(name: &str, sides: Vec<Side>) -> ValueInfoProto {
    let dim = sides.into_iter().map(|side| Dimension { value: Some(side) }).collect();
    let tensor = TensorType { elem_type: FLOAT, shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    attribute(name, AttributeType::Int, |attribute| attribute.i = Some(i))
}

pub(super) fn float(name: &str, f: f32) -> AttributeProto {
    attribute(name, AttributeType::Float, |attribute| attribute.f = Some(f))
}

pub(super) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    attribute(name, AttributeType::Ints, |attribute| attribute.ints = ints.to_vec())
}

pub(super) fn text(name: &str, s: &str) -> AttributeProto {
    attribute(name, AttributeType::String, |attribute| attribute.s = Some(s.as_bytes().to_vec()))
}

fn attribute(name: &str, r#type: AttributeType, set: impl FnOnce(&mut AttributeProto)) -> AttributeProto {
    let mut attribute =
        AttributeProto { name: name.to_owned(), r#type: r#type.into(), ..AttributeProto::default() };
    set(&mut attribute);
    attribute
}
