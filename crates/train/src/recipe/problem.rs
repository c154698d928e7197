//! What is wrong with a recipe, and where: the one form that all checks of a recipe report in.

use std::fmt;

use super::document::Node;
use super::names;

/// Where in a recipe something was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the file.
    Line {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In an override, as it was typed.
    Override(String),
}

impl Place {
    /// The place of a byte of a text.
    pub(super) fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self::Line { line: before.matches('\n').count() + 1, column: line.chars().count() + 1 }
    }

    pub(super) fn line(&self) -> usize {
        match self {
            Self::Line { line, .. } => *line,
            Self::Override(_) => 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, column } => write!(f, "line {line}, column {column}"),
            Self::Override(text) => write!(f, "override `{}`", shown(text)),
        }
    }
}

/// Text for a message, with control characters escaped.
pub(super) fn shown(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

/// One thing that is wrong with a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The dotted key, if it is about one.
    pub(super) key: Option<String>,
    /// Where it was written, once that is known.
    pub(crate) place: Option<Place>,
    /// What is wrong.
    pub(super) reason: String,
    /// What to do.
    pub(crate) hint: Option<String>,
    /// Whether `reason` says what the value must be, so that the value itself is worth showing.
    pub(super) is_about_value: bool,
}

impl Problem {
    /// The value of a key is not what it must be; `must` completes the message "must be …".
    pub(super) fn must_be(key: &str, must: impl fmt::Display) -> Self {
        Self { is_about_value: true, ..Self::is(key, format!("must be {must}")) }
    }

    /// Something else is wrong with a key.
    pub(super) fn is(key: &str, reason: impl Into<String>) -> Self {
        Self { key: Some(key.to_owned()), ..Self::of_file(reason.into()) }
    }

    /// Something is wrong with the file as a whole.
    pub(super) fn of_file(reason: String) -> Self {
        Self { key: None, place: None, reason, hint: None, is_about_value: false }
    }

    /// There is no such key.
    pub(super) fn unknown(key: &str) -> Self {
        Self::of_file(format!("unknown key `{}`", shown(key))).with_hint(names::hint(key))
    }

    /// There is no such section.
    pub(super) fn unknown_section(key: &str) -> Self {
        Self::of_file(format!("unknown section [{}]", shown(key))).with_hint(names::section_hint(key))
    }

    pub(super) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    pub(super) fn because(mut self, why: String) -> Self {
        self.reason = format!("{}: {why}", self.reason);
        self
    }

    /// With the place, and the value where the reason is about it.
    pub(super) fn found_in(mut self, document: &Node) -> Self {
        let Some(key) = &self.key else { return self };
        if self.is_about_value
            && let Some(node) = document.get(key)
        {
            self.reason = format!("{}, got {}", self.reason, node.shown());
        }
        self.place = document.nearest(key).cloned();
        self
    }

    pub(super) fn at(self, place: &Place) -> Self {
        Self { place: Some(place.clone()), ..self }
    }
}

/// `train.lr: must be above 0`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {}", shown(key), self.reason),
            None => f.write_str(&self.reason),
        }
    }
}
