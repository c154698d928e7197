//! The recipe as a tree of values, each of which knows where it was written: a line of the file or an override.
//!
//! Separate from the typed recipe so that every error, even one that is found much later, can name the place.

use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problem};

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Option<Place>,
    /// The value of an override as it was typed, for keys that need a string.
    pub(super) typed: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    String(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// A date, or a whole number that does not fit 64 bits: no key has such a value.
    Other(String),
    Array(Vec<Node>),
    Table(Vec<(Key, Node)>),
}

/// A key and where it was written.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) place: Option<Place>,
}

/// Longest text of a value that a message repeats, in characters.
const SHOWN: usize = 60;

impl Node {
    /// Reads TOML.
    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let place = |at: usize| Some(Place::of(text, at));
        let table = DeTable::parse(text).map_err(|error| syntax(text, &error))?;
        Ok(Self { value: table_of(table.get_ref(), &place), place: None, typed: None })
    }

    /// The value of an override; what does not read as TOML is a string, so that paths and names need no quotes.
    fn of_override(text: &str, place: &Place) -> Self {
        let place = |_: usize| Some(place.clone());
        let toml = format!("value = {text}");
        let value = DeTable::parse(&toml).ok().and_then(|table| match table.get_ref().iter().next() {
            Some((_, value)) if table.get_ref().len() == 1 => Some(value_of(value.get_ref(), &place)),
            _ => None,
        });
        let value = value.unwrap_or_else(|| Value::String(text.to_owned()));
        Self { value, place: place(0), typed: Some(text.to_owned()) }
    }

    /// Sets a key of the tree to a value, as an override does.
    pub(super) fn set(&mut self, key: &str, value: &str, place: &Place) -> Result<(), Problem> {
        let mut at = self;
        let parts: Vec<_> = key.split('.').collect();
        for (i, part) in parts.iter().enumerate() {
            let Value::Table(entries) = &mut at.value else {
                let parent = parts[..i].join(".");
                return Err(Problem::unknown(&parts.join("."))
                    .because(format!("`{parent}` has no keys of its own"))
                    .at(place));
            };
            let found = entries.iter().position(|(key, _)| key.name == *part).unwrap_or_else(|| {
                let key = Key { name: (*part).to_owned(), place: Some(place.clone()) };
                entries.push((
                    key,
                    Self { value: Value::Table(vec![]), place: Some(place.clone()), typed: None },
                ));
                entries.len() - 1
            });
            at = &mut entries[found].1;
        }
        *at = Self::of_override(value, place);
        Ok(())
    }

    /// Where a dotted key was written, or else the longest part of it that was.
    pub(super) fn nearest(&self, key: &str) -> Option<&Place> {
        let (mut at, mut place) = (self, self.place.as_ref());
        for part in key.split('.') {
            let Value::Table(entries) = &at.value else { break };
            let Some((key, node)) = entries.iter().find(|(key, _)| key.name == part) else { break };
            place = node.place.as_ref().or(key.place.as_ref());
            at = node;
        }
        place
    }

    /// The value of a dotted key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        key.split('.').try_fold(self, |at, part| match &at.value {
            Value::Table(entries) => entries.iter().find(|(key, _)| key.name == part).map(|(_, node)| node),
            _ => None,
        })
    }

    /// The value as TOML, short enough for a message.
    pub(super) fn shown(&self) -> String {
        let text = self.value.to_string();
        if text.chars().count() <= SHOWN {
            return text;
        }
        text.chars().take(SHOWN).chain(['…']).collect()
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |items: Vec<String>| items.join(", ");
        match self {
            Self::String(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Boolean(value) => write!(f, "{value}"),
            Self::Other(text) => f.write_str(text),
            Self::Array(items) => {
                write!(f, "[{}]", list(items.iter().map(|node| node.value.to_string()).collect()))
            }
            Self::Table(entries) => {
                let entry =
                    |(key, node): &(Key, Node)| format!("{} = {}", key.name.escape_debug(), node.value);
                write!(f, "{{ {} }}", list(entries.iter().map(entry).collect()))
            }
        }
    }
}

fn value_of(value: &DeValue<'_>, place: &dyn Fn(usize) -> Option<Place>) -> Value {
    match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => Value::Other(number.as_str().to_owned()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Other(number.as_str().to_owned()),
        },
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(date) => Value::Other(date.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| Node {
                value: value_of(item.get_ref(), place),
                place: place(item.span().start),
                typed: None,
            });
            Value::Array(items.collect())
        }
        DeValue::Table(table) => table_of(table, place),
    }
}

fn table_of(table: &DeTable<'_>, place: &dyn Fn(usize) -> Option<Place>) -> Value {
    let entries = table.iter().map(|(key, value)| {
        let node =
            Node { value: value_of(value.get_ref(), place), place: place(value.span().start), typed: None };
        (Key { name: key.get_ref().to_string(), place: place(key.span().start) }, node)
    });
    Value::Table(entries.collect())
}

/// The problem of a text that is not TOML; the hint is about what people write instead.
fn syntax(text: &str, error: &toml::de::Error) -> Problem {
    let at = error.span().map_or(0, |span| span.start);
    let place = Place::of(text, at);
    let line = text.lines().nth(place.line().saturating_sub(1)).unwrap_or_default().trim();
    let reason = error.message().trim_end().lines().collect::<Vec<_>>().join(", ");
    let is_plain = |key: &str| {
        !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
    };
    let hint = match (line.split_once('='), line.split_once(':')) {
        _ if reason.contains("duplicate key") => {
            "a key may be written once: delete one of the two".to_owned()
        }
        (Some((key, value)), _) if is_plain(key.trim()) && is_plain(value.trim()) => {
            format!("strings need quotes: {} = \"{}\"", key.trim(), value.trim())
        }
        (None, Some((key, value))) if is_plain(key.trim()) && value.trim().is_empty() => {
            format!("recipes are TOML, not YAML: a section is written [{}]", key.trim())
        }
        (None, Some((key, value))) if is_plain(key.trim()) => {
            format!("recipes are TOML, not YAML: write {} = {}", key.trim(), value.trim().escape_debug())
        }
        _ if text.trim_start().starts_with('{') => "recipes are TOML, not JSON".to_owned(),
        _ => "recipes are TOML: sections such as [train] and lines such as lr = 0.1".to_owned(),
    };
    Problem::of_file(reason).with_hint(hint).at(&place)
}
