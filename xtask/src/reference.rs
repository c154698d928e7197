//! `reference`: what docs take from the code. The recipe's reference in `docs/formats.md` is made here, from the doc comments
//! of the recipe's types; the other parts have a file each.
//!
//! Separate from the crate that has the types, because that one needs libtorch and this task must not.
//! Invariant: the same sources give the same text, and everything between the markers comes from the sources.

mod comparisons;
mod networks;
mod parse;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use parse::{Enum, Field, Sources, Struct};

/// Text between two markers of a page.
struct Part {
    page: &'static str,
    name: &'static str,
    text: fn(&Path) -> Result<String>,
}

const PARTS: &[Part] = &[
    Part { page: "docs/formats.md", name: "the recipe's reference", text: recipe },
    Part { page: "docs/networks.md", name: "all networks", text: networks::table },
    Part { page: "docs/compatibility.md", name: "the authors' networks", text: comparisons::with_authors },
    Part {
        page: "docs/compatibility.md",
        name: "torchvision's and timm's networks",
        text: comparisons::with_others,
    },
];

/// The files that have the types.
const SOURCES: &[&str] = &[
    "crates/core/src/task.rs",
    "crates/train/src/recipe/file.rs",
    "crates/zoo/src/variant.rs",
    "crates/train/src/recipe/train_section.rs",
    "crates/train/src/method.rs",
    "crates/train/src/schedule.rs",
    "crates/train/src/divergence.rs",
    "crates/train/src/step_rules.rs",
    "crates/train/src/update.rs",
    "crates/data/src/transform.rs",
    "crates/data/src/transform/crop.rs",
    "crates/data/src/augment/rand_augment.rs",
    "crates/data/src/augment/pad_crop.rs",
];

/// The tables of the reference: dotted key and type.
const TABLES: &[(&str, &str)] = &[
    ("", "RecipeFile"),
    ("network", "NetworkSection"),
    ("network.two_stage", "TwoStage"),
    ("data", "DataSection"),
    ("data.augment", "TrainTransform"),
    ("data.augment.crop", "CropFile"),
    ("data.augment.rand_augment", "RandAugment"),
    ("train", "TrainSection"),
    ("train.clip", "Clip"),
    ("tabulate", "TabulateSection"),
];

/// What a Rust type is called in the reference.
const TYPES: &[(&str, &str)] = &[
    ("String", "text"),
    ("PathBuf", "path"),
    ("bool", "true or false"),
    ("u32", "whole number"),
    ("u64", "whole number"),
    ("usize", "whole number"),
    ("f32", "number"),
    ("f64", "number"),
    ("WidthRange", "list of 2 numbers"),
    ("Vec<Resolution>", "list of whole numbers"),
    ("Vec<Frames>", "list of whole numbers"),
    ("Vec<Precision>", "list of texts"),
    ("Frames", "whole number"),
    ("[f32; 3]", "list of 3 numbers"),
    ("[f64; 2]", "list of 2 numbers"),
    ("[u32; 2]", "list of 2 whole numbers"),
    ("Resolution", "whole number"),
    ("Subnet", "text"),
    ("OutputStride", "whole number"),
    ("TwoStage", "table"),
    ("TrainTransform", "table"),
    ("TrainCrop", "table"),
    ("RandAugment", "table"),
    ("Clip", "table"),
];

/// Defaults that a line of code does not show as people would write them.
const DEFAULTS: &[(&str, &str)] = &[
    ("Vec<Frames>", "`[]`"),
    ("Vec<Precision>", "`[\"f32\"]`"),
    ("TrainTransform", "`{}`"),
    ("TrainCrop", "`{ kind = \"random_resized\" }`"),
];

/// Writes every part into its page.
pub(crate) fn write(root: &Path) -> Result<()> {
    for part in PARTS {
        let path = root.join(part.page);
        let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let new = part.renewed(root, &page)?;
        if new == page {
            eprintln!("reference: {} in {} is up to date", part.name, part.page);
            continue;
        }
        fs::write(&path, new).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!("reference: wrote {} in {}", part.name, part.page);
    }
    Ok(())
}

/// Page and name of every part that does not say what the sources say.
pub(crate) fn stale(root: &Path) -> Result<Vec<(&'static str, &'static str)>> {
    let mut stale = Vec::new();
    for part in PARTS {
        let page = fs::read_to_string(root.join(part.page))?;
        if part.renewed(root, &page)? != page {
            stale.push((part.page, part.name));
        }
    }
    Ok(stale)
}

impl Part {
    /// The page with this part regenerated.
    fn renewed(&self, root: &Path, page: &str) -> Result<String> {
        let begin = format!("<!-- {}: written by `cargo xtask reference` -->", self.name);
        let end = format!("<!-- end of {} -->", self.name);
        let (before, rest) =
            page.split_once(&begin).with_context(|| format!("{} lacks the line {begin}", self.page))?;
        let (_, after) =
            rest.split_once(&end).with_context(|| format!("{} lacks the line {end}", self.page))?;
        Ok(format!("{before}{begin}\n\n{}{end}{after}", (self.text)(root)?))
    }
}

/// The tables of all keys of a recipe.
fn recipe(root: &Path) -> Result<String> {
    let mut sources = Sources::default();
    for source in SOURCES {
        let text = fs::read_to_string(root.join(source)).with_context(|| format!("cannot read {source}"))?;
        sources.add(&text).with_context(|| format!("in {source}"))?;
    }
    tables(&sources)
}

fn tables(sources: &Sources) -> Result<String> {
    let mut text = String::new();
    for (section, name) in TABLES {
        let table = sources.structs.get(*name).with_context(|| format!("there is no struct {name}"))?;
        let title = match section {
            _ if section.is_empty() => "At the top of the file:".to_owned(),
            _ if section.contains('.') => format!("`{section}`:"),
            _ => format!("`[{section}]`:"),
        };
        writeln!(text, "{title}\n\n| key | type | default | meaning |\n|---|---|---|---|")?;
        for field in table.fields.iter().filter(|field| !is_section(field)) {
            let key =
                if section.is_empty() { field.name.clone() } else { format!("{section}.{}", field.name) };
            writeln!(text, "| `{key}` | {} |", row(field, table, sources)?)?;
        }
        text.push('\n');
    }
    Ok(text)
}

/// The sections at the top have tables of their own.
fn is_section(field: &Field) -> bool {
    field.of_type.ends_with("Section")
}

/// Type, default and meaning.
fn row(field: &Field, table: &Struct, sources: &Sources) -> Result<String> {
    let inner = inner(&field.of_type);
    let (of_type, more) = match sources.enums.get(inner) {
        Some(choices) => ("text".to_owned(), format!(" {}", listed(choices))),
        None => (plain_type(inner).with_context(|| format!("key {}", field.name))?, String::new()),
    };
    let meaning = format!("{}{more}", field.docs).replace('|', "\\|");
    Ok(format!("{of_type} | {} | {meaning}", default(field, table, sources)?))
}

fn inner(of_type: &str) -> &str {
    of_type.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')).unwrap_or(of_type)
}

fn plain_type(name: &str) -> Result<String> {
    match TYPES.iter().find(|(rust, _)| *rust == name) {
        Some((_, plain)) => Ok((*plain).to_owned()),
        None => bail!("no words for the type {name}: add it to TYPES in xtask/src/reference.rs"),
    }
}

/// ``One of `a`: meaning of a; `b`: meaning of b.``
fn listed(choices: &Enum) -> String {
    let each = choices.variants.iter().map(|(name, docs)| {
        let mut docs = docs.trim_end_matches('.').to_owned();
        // In the middle of a sentence; names such as SGD and AdamW stay.
        let is_name = docs.chars().nth(1).is_none_or(|second| !second.is_lowercase() && second != ' ')
            || docs.split_whitespace().next().is_some_and(|word| word[1..].chars().any(char::is_uppercase))
            || docs.starts_with("Kullback");
        if !is_name {
            let first: String = docs.chars().take(1).flat_map(char::to_lowercase).collect();
            docs = format!("{first}{}", docs.chars().skip(1).collect::<String>());
        }
        format!("`{name}`: {docs}")
    });
    format!("{}.", each.collect::<Vec<_>>().join("; "))
}

fn default(field: &Field, table: &Struct, sources: &Sources) -> Result<String> {
    let inner = inner(&field.of_type);
    if field.of_type != inner {
        return Ok("none".to_owned());
    }
    let expression = match (&field.default, table.defaults.get(&field.name)) {
        (Some(function), _) if !function.is_empty() => {
            let name = function.rsplit("::").next().unwrap_or(function);
            let found = sources.functions.get(name);
            found.with_context(|| format!("there is no function {name}"))?.clone()
        }
        (_, Some(expression)) if table.has_default || field.default.is_none() => expression.clone(),
        (Some(_), _) => String::new(),
        (None, _) => return Ok("required".to_owned()),
    };
    let variant = sources.enums.get(inner).map(|choices| {
        let rust = expression.rsplit("::").next().unwrap_or_default();
        if expression.is_empty() { choices.default.clone() } else { choices.renamed(rust) }
    });
    let text = match (variant, inner) {
        (Some(variant), _) => format!("`\"{variant}\"`"),
        (None, _) if !expression.is_empty() && !expression.contains('!') => {
            format!("`{}`", expression.replace(".to_owned()", ""))
        }
        (None, "bool") => "`false`".to_owned(),
        (None, "u32" | "u64" | "usize") => "`0`".to_owned(),
        (None, "f32" | "f64") => "`0.0`".to_owned(),
        (None, other) => match DEFAULTS.iter().find(|(name, _)| *name == other) {
            Some((_, text)) => (*text).to_owned(),
            None => bail!("no words for the default of the type {other}: add it to DEFAULTS"),
        },
    };
    Ok(text)
}

/// Names to expressions.
type Expressions = BTreeMap<String, String>;

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "
/// `[train]`: how.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    /// Passes over the data,
    /// at least 1.
    pub epochs: u32,
    /// Which one `[MN-ECCV §3]`.
    ///
    /// # Source
    /// Not for people.
    #[serde(default)]
    pub method: Method,
    /// Momentum.
    #[serde(default = \"TrainSection::default_momentum\")]
    pub momentum: f64,
    /// Clip | cut.
    #[serde(default, skip_serializing_if = \"Option::is_none\")]
    pub clip: Option<f64>,
}

impl TrainSection {
    fn default_momentum() -> f64 {
        0.9
    }
}

#[serde(default)]
pub struct Other {
    /// First.
    pub n: u32,
    /// Second.
    pub name: String,
}

impl Default for Other {
    fn default() -> Self {
        Self { n: 2, name: \"x\".to_owned() }
    }
}

/// Methods.
#[derive(Default)]
#[serde(rename_all = \"kebab-case\")]
pub enum Method {
    /// All of them `[X]`.
    #[default]
    UsMultiScale,
    /// SGD.
    Plain,
}
";

    #[test]
    fn a_field_becomes_a_row() {
        let mut sources = Sources::default();
        sources.add(SOURCE).unwrap();
        let table = &sources.structs["TrainSection"];
        let rows: Vec<_> = table.fields.iter().map(|field| row(field, table, &sources).unwrap()).collect();
        let other = &sources.structs["Other"];
        let of_other: Vec<_> =
            other.fields.iter().map(|field| row(field, other, &sources).unwrap()).collect();
        assert_eq!(of_other, ["whole number | `2` | First.", "text | `\"x\"` | Second."]);
        assert_eq!(
            rows,
            [
                "whole number | required | Passes over the data, at least 1.",
                "text | `\"us-multi-scale\"` | Which one. `us-multi-scale`: all of them; `plain`: SGD.",
                "number | `0.9` | Momentum.",
                "number | none | Clip \\| cut.",
            ]
        );
    }

    #[test]
    fn the_page_is_fresh_and_has_every_table() {
        let root = crate::process::workspace_root().unwrap();
        let page = fs::read_to_string(root.join(PARTS[0].page)).unwrap();
        assert!(PARTS[0].renewed(&root, &page).unwrap() == page, "run `cargo xtask reference`");
        for key in ["seed", "network.widths", "data.augment.crop.kind", "train.max_steps", "tabulate.weights"]
        {
            assert!(page.contains(&format!("| `{key}` |")), "{key}");
        }
    }
}
