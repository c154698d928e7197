//! Which buffers of a batch hold images and labels: a batch lists the buffers of all columns one after another.
//!
//! Separate because it is the same for all batches of a file.
//! Invariant: only columns whose values lie in the file as they are are found.

use arrow_ipc::{Endianness, Field, MetadataVersion, Schema, Type};

use super::damage;
use crate::DecodeError;
use crate::table::columns;

/// Where a column begins among the nodes and buffers of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Position {
    pub(super) node: usize,
    pub(super) buffer: usize,
    /// Columns of views before it; each has further buffers, as many as the batch says.
    pub(super) views: usize,
}

/// A kind of integers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Integer {
    /// Bytes of one: 1, 2, 4 or 8.
    pub(super) bytes: usize,
    pub(super) signed: bool,
}

/// The columns that count.
#[derive(Debug)]
pub(super) struct Columns {
    /// The struct around the images, if there is one: it may be null, too.
    pub(super) around: Option<Position>,
    pub(super) images: Position,
    /// Of the offsets of images.
    pub(super) offsets: Integer,
    pub(super) labels: Position,
    pub(super) label: Integer,
}

/// A column or a field of a struct that is a column.
#[derive(Debug, Clone, Copy)]
struct Column<'a> {
    around: Option<(&'a str, Position)>,
    name: &'a str,
    field: Field<'a>,
    at: Position,
}

impl Columns {
    /// Finds images and labels, and the names of the classes.
    pub(super) fn find(
        schema: Schema<'_>,
        version: MetadataVersion,
    ) -> Result<(Self, Option<Vec<String>>), DecodeError> {
        if !matches!(version, MetadataVersion::V4 | MetadataVersion::V5) {
            return Err(damage(format!("version {version:?} of the format is not supported")));
        }
        if schema.endianness() != Endianness::Little {
            return Err(damage("its numbers are not little-endian"));
        }
        let all = list(schema, version)?;
        let (images, _) = find(&all, &columns::IMAGES, offsets)?;
        let (labels, label_name) = find(&all, &columns::LABELS, integer)?;
        let names = description(schema).and_then(|text| columns::class_names(text, label_name));
        let columns = Self {
            around: images.0.around.map(|(_, at)| at),
            images: images.0.at,
            offsets: images.1,
            labels: labels.0.at,
            label: labels.1,
        };
        Ok((columns, names))
    }
}

/// The first column of these names that is of a kind, or why none is.
fn find<'a>(
    all: &[Column<'a>],
    names: &[&'static str],
    kind: impl Fn(Field<'a>) -> Option<Integer>,
) -> Result<((Column<'a>, Integer), &'static str), DecodeError> {
    columns::find(names, |name| {
        let mut called = all.iter().filter(|column| column.is_called(name));
        called.find_map(|column| Some((*column, kind(column.field)?)))
    })
    .map_err(|reason| unfit(all, names).unwrap_or(reason))
}

/// Why the first column of these names that is encoded cannot be used.
fn unfit(all: &[Column<'_>], names: &[&str]) -> Option<DecodeError> {
    let (name, how) = all.iter().find_map(|column| {
        let name = names.iter().find(|name| column.is_called(name))?;
        Some((name, encoding(column.field)?))
    })?;
    Some(damage(format!("column `{name}` is {how}: write it as plain values, or as Parquet")))
}

impl Column<'_> {
    /// Fields of structs are called as in Parquet, the struct first.
    fn is_called(&self, name: &str) -> bool {
        match self.around {
            None => self.name == name,
            Some((around, _)) => {
                name.strip_prefix(around).and_then(|rest| rest.strip_prefix('.')) == Some(self.name)
            }
        }
    }
}

/// The offsets that columns of bytes have.
fn offsets(field: Field<'_>) -> Option<Integer> {
    let bytes = match field.type_type() {
        Type::Binary => 4,
        Type::LargeBinary => 8,
        _ => return None,
    };
    field.dictionary().is_none().then_some(Integer { bytes, signed: true })
}

fn integer(field: Field<'_>) -> Option<Integer> {
    let kind = field.type_as_int()?;
    let bytes = match kind.bitWidth() {
        8 => 1,
        16 => 2,
        32 => 4,
        64 => 8,
        _ => return None,
    };
    field.dictionary().is_none().then_some(Integer { bytes, signed: kind.is_signed() })
}

/// How values are stored that are not there as they are.
fn encoding(field: Field<'_>) -> Option<&'static str> {
    match field.type_type() {
        _ if field.dictionary().is_some() => Some("dictionary-encoded"),
        Type::RunEndEncoded => Some("run-end-encoded"),
        Type::BinaryView => Some("of views"),
        _ => None,
    }
}

/// What the library `datasets` says of a data set in each of its files.
fn description(schema: Schema<'_>) -> Option<&str> {
    schema.custom_metadata()?.iter().find(|pair| pair.key() == Some("huggingface"))?.value()
}

/// All columns and the fields of those that are structs.
fn list(schema: Schema<'_>, version: MetadataVersion) -> Result<Vec<Column<'_>>, DecodeError> {
    let mut all = Vec::new();
    let mut next = Position::default();
    for field in schema.fields().into_iter().flatten() {
        let (name, at) = (field.name().unwrap_or_default(), next);
        all.push(Column { around: None, name, field, at });
        if field.type_type() != Type::Struct_ || field.dictionary().is_some() {
            next.pass(field, version)?;
            continue;
        }
        next.pass_own(field, version)?;
        for child in field.children().into_iter().flatten() {
            let around = Some((name, at));
            all.push(Column { around, name: child.name().unwrap_or_default(), field: child, at: next });
            next.pass(child, version)?;
        }
    }
    Ok(all)
}

impl Position {
    /// Goes past a column and all that is in it; the check of the schema has limited how deep that is.
    fn pass(&mut self, field: Field<'_>, version: MetadataVersion) -> Result<(), DecodeError> {
        self.pass_own(field, version)?;
        if field.dictionary().is_none() {
            for child in field.children().into_iter().flatten() {
                self.pass(child, version)?;
            }
        }
        Ok(())
    }

    /// Goes past the node and the buffers of a column itself.
    fn pass_own(&mut self, field: Field<'_>, version: MetadataVersion) -> Result<(), DecodeError> {
        self.node += 1;
        self.buffer += match field.type_type() {
            // Numbers, whatever they stand for.
            _ if field.dictionary().is_some() => 2,
            Type::Null | Type::RunEndEncoded => 0,
            Type::Struct_ | Type::FixedSizeList => 1,
            Type::Union => n_union_buffers(field, version),
            Type::Binary | Type::Utf8 | Type::LargeBinary | Type::LargeUtf8 => 3,
            Type::ListView | Type::LargeListView => 3,
            Type::BinaryView | Type::Utf8View => {
                self.views += 1;
                2
            }
            Type(kind) if (Type::ENUM_MIN + 1..=Type::ENUM_MAX).contains(&kind) => 2,
            kind => return Err(damage(format!("a column of a type that is not known ({})", kind.0))),
        };
        Ok(())
    }
}

/// Unions had validity before version 5.
fn n_union_buffers(field: Field<'_>, version: MetadataVersion) -> usize {
    let is_dense = field.type_as_union().is_some_and(|union| union.mode() == arrow_ipc::UnionMode::Dense);
    1 + usize::from(is_dense) + usize::from(version < MetadataVersion::V5)
}
