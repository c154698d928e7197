//! Reads structs, enums and defaults from Rust source that rustfmt has formatted.
//!
//! Lines are enough: rustfmt writes one field, variant or attribute per line and indents by four spaces.
//! Invariant: what is not understood is an error or is left out; nothing is guessed.

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::Expressions;

/// What the sources say.
#[derive(Debug, Default)]
pub(super) struct Sources {
    pub(super) structs: BTreeMap<String, Struct>,
    pub(super) enums: BTreeMap<String, Enum>,
    /// Functions without arguments whose body is one line.
    pub(super) functions: Expressions,
}

#[derive(Debug, Default)]
pub(super) struct Struct {
    pub(super) fields: Vec<Field>,
    /// Whether every field has a default, by an attribute of the struct.
    pub(super) has_default: bool,
    /// Of `impl Default`.
    pub(super) defaults: Expressions,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) of_type: String,
    pub(super) docs: String,
    /// The function of `#[serde(default = …)]`, empty for a plain `default`.
    pub(super) default: Option<String>,
}

#[derive(Debug, Default)]
pub(super) struct Enum {
    /// Names as people write them, and docs.
    pub(super) variants: Vec<(String, String)>,
    pub(super) default: String,
    is_kebab: bool,
}

impl Enum {
    /// A variant's name as people write it.
    pub(super) fn renamed(&self, rust: &str) -> String {
        let joint = if self.is_kebab { '-' } else { '_' };
        rust.char_indices().fold(String::new(), |mut name, (at, c)| {
            if c.is_uppercase() && at > 0 {
                name.push(joint);
            }
            name.extend(c.to_lowercase());
            name
        })
    }
}

/// Docs and attributes above an item, field or variant.
#[derive(Default)]
struct Above {
    docs: Vec<String>,
    attributes: String,
}

impl Above {
    /// Takes the line if it is a doc comment or an attribute.
    fn takes(&mut self, line: &str) -> bool {
        if let Some(text) = line.strip_prefix("///") {
            self.docs.push(text.trim().to_owned());
        } else if line.starts_with("#[") {
            self.attributes.push_str(line);
        } else {
            return false;
        }
        true
    }

    /// The first paragraph, without the keys of sources.
    fn text(&self) -> String {
        let paragraph: Vec<_> =
            self.docs.iter().take_while(|line| !line.is_empty()).map(String::as_str).collect();
        without_sources(&paragraph.join(" "))
    }

    fn serde_default(&self) -> Option<String> {
        let rest = self.attributes.split_once("default")?.1;
        let function = rest.strip_prefix(" = \"").and_then(|rest| rest.split_once('"'));
        self.attributes.contains("#[serde(default").then(|| function.map_or("", |(name, _)| name).to_owned())
    }
}

impl Sources {
    /// Adds what a file declares; tests at its end are ignored.
    pub(super) fn add(&mut self, text: &str) -> Result<()> {
        let text = text.split("#[cfg(test)]").next().unwrap_or(text);
        let mut lines = text.lines();
        let mut above = Above::default();
        while let Some(line) = lines.next() {
            let trimmed = line.trim();
            if above.takes(trimmed) {
                continue;
            }
            let above = std::mem::take(&mut above);
            let item = trimmed.strip_prefix("pub ").unwrap_or(trimmed);
            if let Some(name) = item.strip_prefix("struct ").and_then(|rest| rest.strip_suffix(" {")) {
                let fields = fields(&mut lines)?;
                let has_default =
                    above.attributes.contains(", default)]") || above.attributes.contains("(default)]");
                let table = self.structs.entry(name.to_owned()).or_default();
                (table.fields, table.has_default) = (fields, has_default);
            } else if let Some(name) = item.strip_prefix("enum ").and_then(|rest| rest.strip_suffix(" {")) {
                self.enums.extend(variants(&mut lines, &above).map(|found| (name.to_owned(), found)));
            } else if let Some(name) =
                item.strip_prefix("impl Default for ").and_then(|rest| rest.strip_suffix(" {"))
            {
                let defaults = defaults(&mut lines);
                self.structs.entry(name.to_owned()).or_default().defaults = defaults;
            } else if let Some((name, _)) =
                item.strip_prefix("fn ").and_then(|rest| rest.split_once("() -> "))
            {
                let body = lines.next().unwrap_or_default().trim();
                self.functions.insert(name.to_owned(), body.to_owned());
            }
        }
        Ok(())
    }
}

fn fields<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Result<Vec<Field>> {
    let mut found = Vec::new();
    let mut above = Above::default();
    for line in lines.take_while(|line| *line != "}") {
        let line = line.trim();
        if above.takes(line) {
            continue;
        }
        let above = std::mem::take(&mut above);
        let field = line.strip_prefix("pub ").unwrap_or(line).strip_suffix(',');
        let Some((name, of_type)) = field.and_then(|field| field.split_once(": ")) else {
            bail!("not a field: {line}");
        };
        found.push(Field {
            name: name.to_owned(),
            of_type: of_type.to_owned(),
            docs: above.text(),
            default: above.serde_default(),
        });
    }
    Ok(found)
}

/// The variants of an enum that is text in a recipe, which is one without fields.
fn variants<'a>(lines: &mut impl Iterator<Item = &'a str>, of_enum: &Above) -> Option<Enum> {
    let mut found = Enum { is_kebab: of_enum.attributes.contains("kebab-case"), ..Enum::default() };
    let mut is_text = of_enum.attributes.contains("rename_all");
    let mut above = Above::default();
    for line in lines.take_while(|line| *line != "}") {
        let line = line.trim();
        if above.takes(line) {
            continue;
        }
        let above = std::mem::take(&mut above);
        match line.strip_suffix(',') {
            Some(rust) if rust.chars().all(char::is_alphanumeric) => {
                let name = found.renamed(rust);
                if above.attributes.contains("#[default]") {
                    found.default.clone_from(&name);
                }
                found.variants.push((name, above.text()));
            }
            _ => is_text = false,
        }
    }
    is_text.then_some(found)
}

/// The lines `field: expression,` of an `impl Default`, one line or several.
fn defaults<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Expressions {
    let body: Vec<_> = lines.take_while(|line| *line != "}").map(str::trim).collect();
    let inner = body.join(" ");
    let inner = inner.rsplit_once("Self {").map_or("", |(_, rest)| rest);
    let inner = inner.split_once('}').map_or(inner, |(inner, _)| inner);
    let entries = inner.split(", ").filter_map(|entry| entry.trim().trim_end_matches(',').split_once(": "));
    entries.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect()
}

/// Removes `` `[MN-ECCV §3.3]` `` and the like, which are for readers of the code.
fn without_sources(text: &str) -> String {
    let mut rest = text;
    let mut clean = String::new();
    while let Some((before, after)) = rest.split_once(" `[") {
        let is_key = after.starts_with(char::is_uppercase);
        match after.split_once("]`") {
            Some((_, tail)) if is_key => {
                clean.push_str(before);
                rest = tail;
            }
            _ => {
                clean.push_str(before);
                clean.push_str(" `[");
                rest = after;
            }
        }
    }
    clean.push_str(rest);
    links_as_code(&clean)
}

/// ``[`Us`](Self::Us)`` is a link in the code's documentation, not on the page.
fn links_as_code(text: &str) -> String {
    let Some((before, rest)) = text.split_once("[`") else { return text.to_owned() };
    match rest.split_once("`]") {
        Some((name, after)) => {
            let after = match after.strip_prefix('(').and_then(|after| after.split_once(')')) {
                Some((_, after)) => after,
                None => after,
            };
            format!("{before}`{name}`{}", links_as_code(after))
        }
        None => text.to_owned(),
    }
}
