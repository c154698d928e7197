//! Turns the tree of values into the types of the recipe: a deserializer whose errors are written for users.
//!
//! serde's own errors name types of Rust (`u32`, `TrainCrop`) and forget where a value was written.
//! Invariant: every message says the key, what it must be, and what was given; no name of a Rust type is in it.

use std::fmt::{self, Display};

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, Expected, IntoDeserializer, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::document::{Key, Node, Value};
use super::names;
use super::problem::{Place, Problem};

/// Reads a value of a type from a tree.
pub(super) fn read<'de, T: Deserialize<'de>>(node: &'de Node) -> Result<T, Problem> {
    T::deserialize(Reader(node)).map_err(Wrong::problem)
}

/// An error on its way out of the tree: every table adds its key.
#[derive(Debug)]
pub(super) struct Wrong {
    what: What,
    /// Keys, innermost first.
    path: Vec<String>,
    place: Option<Place>,
}

#[derive(Debug)]
enum What {
    /// The value must be this, and is that.
    MustBe { must: String, got: Option<String>, hint: Option<String> },
    /// The last part of the path is not a key.
    Unknown,
    /// The last part of the path is a table, and not one of the sections.
    UnknownSection,
    /// A key is missing in the table.
    Missing(&'static str),
    /// Anything else, in the words of the type.
    Custom(String),
}

impl Wrong {
    fn new(what: What) -> Self {
        Self { what, path: Vec::new(), place: None }
    }

    fn must_be(must: impl Into<String>, node: &Node) -> Self {
        let what = What::MustBe { must: must.into(), got: Some(node.shown()), hint: None };
        Self { place: node.place.clone(), ..Self::new(what) }
    }

    fn within(mut self, key: &str, place: Option<&Place>) -> Self {
        self.path.push(key.to_owned());
        self.place = self.place.or_else(|| place.cloned());
        self
    }

    fn problem(self) -> Problem {
        let key = self.path.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".");
        let problem = match self.what {
            What::Unknown => Problem::unknown(&key),
            What::UnknownSection => Problem::unknown_section(&key),
            What::Missing(name) => missing(&key, name),
            What::Custom(reason) => Problem::is(&key, reason),
            What::MustBe { must, got, hint } => {
                let got = got.map(|got| format!(", got {got}")).unwrap_or_default();
                let hint = hint.map(|hint| hint.replace("KEY", &key));
                Problem { hint, ..Problem::is(&key, format!("must be {must}{got}")) }
            }
        };
        Problem { place: self.place, ..problem }
    }
}

/// The problem of a missing key that has no default.
fn missing(section: &str, name: &str) -> Problem {
    if section.is_empty() {
        let hint =
            "a recipe has the sections [network], [data] and [train]; recipes/quickstart.toml is a short one";
        return Problem::of_file(format!("the section [{name}] is missing")).with_hint(hint);
    }
    let example = names::example(section, name);
    Problem::of_file(format!("`{section}.{name}` is missing"))
        .with_hint(format!("add it to [{section}], for example: {name} = {example}"))
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.what)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: Display>(message: T) -> Self {
        Self::new(What::Custom(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::new(What::MustBe { must: wanted.to_string(), got: None, hint: None })
    }

    fn unknown_field(_: &str, _: &'static [&'static str]) -> Self {
        Self::new(What::Unknown)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(What::Missing(field))
    }
}

struct Reader<'de>(&'de Node);

macro_rules! whole_numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let Value::Integer(number) = self.0.value else {
                return Err(Wrong::must_be("a whole number", self.0));
            };
            let number = <$type>::try_from(number).map_err(|_| {
                let most = i64::try_from(<$type>::MAX).unwrap_or(i64::MAX);
                Wrong::must_be(format!("a whole number from {} to {most}", <$type>::MIN), self.0)
            })?;
            visitor.$visit(number)
        }
    )*};
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Wrong;

    whole_numbers!(
        deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16, deserialize_u32 visit_u32 u32,
        deserialize_u64 visit_u64 u64, deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16,
        deserialize_i32 visit_i32 i32, deserialize_i64 visit_i64 i64
    );

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.value {
            Value::Float(number) => visitor.visit_f64(number),
            Value::Integer(number) => visitor.visit_f64(number as f64),
            _ => Err(Wrong::must_be("a number", self.0)),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.value {
            Value::Boolean(value) => visitor.visit_bool(value),
            _ => Err(Wrong::must_be("true or false", self.0)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match (&self.0.value, &self.0.typed) {
            (Value::String(text), _) => visitor.visit_borrowed_str(text),
            // `data.path=2012` is a path, although 2012 reads as a number.
            (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Other(_), Some(typed)) => {
                visitor.visit_borrowed_str(typed)
            }
            _ => Err(Wrong::must_be("text in quotes", self.0)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let Value::Array(items) = &self.0.value else {
            let mut wrong = Wrong::must_be("a list", self.0);
            if let What::MustBe { hint, .. } = &mut wrong.what {
                *hint = Some(format!("lists are in brackets: KEY=[{}]", self.0.shown()));
            }
            return Err(wrong);
        };
        visitor.visit_seq(Items(items.iter()))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Wrong> {
        match &self.0.value {
            Value::Array(items) if items.len() == len => visitor.visit_seq(Items(items.iter())),
            _ => Err(Wrong::must_be(format!("a list of {len} values"), self.0)),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match &self.0.value {
            Value::String(text) if variants.contains(&text.as_str()) => {
                visitor.visit_enum(text.as_str().into_deserializer())
            }
            value => {
                let names: Vec<_> = variants.iter().map(|name| format!("`{name}`")).collect();
                let must = match names.as_slice() {
                    [one] => one.clone(),
                    [first @ .., last] => format!("{} or {last}", first.join(", ")),
                    [] => "nothing".to_owned(),
                };
                let mut wrong = Wrong::must_be(must, self.0);
                if let (What::MustBe { hint, .. }, Value::String(text)) = (&mut wrong.what, value) {
                    *hint = names::nearest(text, variants.iter().copied())
                        .map(|name| format!("did you mean `{name}`?"));
                }
                Err(wrong)
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        if let Value::Table(entries) = &self.0.value {
            return visitor
                .visit_map(Entries { entries: entries.iter(), value: None })
                .map_err(|wrong| Wrong { place: wrong.place.or_else(|| self.0.place.clone()), ..wrong });
        }
        let mut wrong = Wrong::must_be(format!("a table with the keys {}", fields.join(", ")), self.0);
        if let (What::MustBe { hint, .. }, Value::String(_), Some(&"kind")) =
            (&mut wrong.what, &self.0.value, fields.first())
        {
            *hint = Some(format!("write it as a table: KEY={{ kind = {} }}", self.0.shown()));
        }
        Err(wrong)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.0.value {
            Value::String(_) | Value::Other(_) => self.deserialize_str(visitor),
            Value::Integer(_) => self.deserialize_i64(visitor),
            Value::Float(_) => self.deserialize_f64(visitor),
            Value::Boolean(_) => self.deserialize_bool(visitor),
            Value::Array(_) => self.deserialize_seq(visitor),
            Value::Table(entries) => visitor.visit_map(Entries { entries: entries.iter(), value: None }),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple_struct map identifier ignored_any
    }
}

/// The values of a list.
struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Some(node) = self.0.next() else { return Ok(None) };
        let placed = |wrong: Wrong| Wrong { place: wrong.place.or_else(|| node.place.clone()), ..wrong };
        seed.deserialize(Reader(node)).map(Some).map_err(placed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The entries of a table.
struct Entries<'de> {
    entries: std::slice::Iter<'de, (Key, Node)>,
    value: Option<&'de (Key, Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        self.value = self.entries.next();
        let Some((key, node)) = self.value else { return Ok(None) };
        let name: StrDeserializer<'_, Wrong> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|wrong| match (&node.value, &key.place) {
            // An override made the tables on the way to its key.
            (Value::Table(_), Some(Place::Override(_))) => {
                wrong.within(&first_leaf(key, node), key.place.as_ref())
            }
            (Value::Table(_), _) => {
                Wrong { what: What::UnknownSection, ..wrong }.within(&key.name, key.place.as_ref())
            }
            _ => wrong.within(&key.name, key.place.as_ref()),
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (key, node) = self.value.expect("serde asks for a key before its value");
        seed.deserialize(Reader(node))
            .map_err(|wrong| wrong.within(&key.name, node.place.as_ref().or(key.place.as_ref())))
    }
}

/// The dotted key below `key`, along the first entries.
fn first_leaf(key: &Key, node: &Node) -> String {
    match &node.value {
        Value::Table(entries) if !entries.is_empty() => {
            format!("{}.{}", key.name, first_leaf(&entries[0].0, &entries[0].1))
        }
        _ => key.name.clone(),
    }
}

/// The keys of a table type.
pub(super) fn fields_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // The error is how the deserializer stops once it has the names.
    let _ = T::deserialize(FieldsOf(&mut found));
    found
}

/// Deserializes nothing; only records the keys that a struct asks for.
struct FieldsOf<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldsOf<'_> {
    type Error = Wrong;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Wrong> {
        *self.0 = fields;
        Err(Wrong::new(What::Unknown))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Wrong> {
        Err(Wrong::new(What::Unknown))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
