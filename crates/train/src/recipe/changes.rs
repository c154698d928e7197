//! Which keys differ between two recipes, for a run that is resumed with another one than it was started with.
//!
//! Separate because it works on the written form, where every key has a name.
//! Invariant: there are no changes exactly if both recipes have the same hash.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::{Table, Value};

use super::Recipe;

/// A key whose value changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The key with its section, e.g. `train.lr`.
    pub key: String,
    /// Its value before; `None` if it was not given and has no default.
    pub old: Option<Value>,
    /// Its value now.
    pub new: Option<Value>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<Value>| value.as_ref().map_or("not set".to_owned(), Value::to_string);
        write!(f, "{} was {}, now {}", self.key, value(&self.old), value(&self.new))
    }
}

impl Recipe {
    /// The keys that decide the result and differ from those in `old`, in alphabetical order.
    pub fn changes_since(&self, old: &Self) -> Vec<Change> {
        let [old, new] = [old, self].map(|recipe| values(&recipe.decisive()));
        let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
        let changes = keys.into_iter().map(|key| Change {
            key: key.clone(),
            old: old.get(key).cloned(),
            new: new.get(key).cloned(),
        });
        changes.filter(|change| change.old != change.new).collect()
    }
}

/// Every value of a recipe by its key.
fn values(recipe: &Recipe) -> BTreeMap<String, Value> {
    let table: Table = toml::from_str(&recipe.to_toml()).expect("what was written as TOML reads as TOML");
    let mut values = BTreeMap::new();
    flatten(table, "", &mut values);
    values
}

fn flatten(table: Table, prefix: &str, into: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(table) => flatten(table, &format!("{key}."), into),
            value => drop(into.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: &str = r#"
        network = { name = "mobilenet_v2", widths = [0.25, 1.0], resolutions = [32, 20] }
        data = { path = "data", augment = { flip = true } }
        train = { epochs = 2, batch = 8, lr = 0.05 }
    "#;

    fn recipe(overrides: &[&str]) -> Recipe {
        let overrides: Vec<_> = overrides.iter().map(|&text| text.to_owned()).collect();
        Recipe::parse(RECIPE, &overrides).unwrap()
    }

    #[test]
    fn keys_are_named_with_both_values() {
        let overrides =
            ["train.lr=0.1", "data.augment.flip=false", "network.resolutions=[32]", "train.ema=0.9"];
        let changes = recipe(&overrides).changes_since(&recipe(&[]));
        let changes: Vec<_> = changes.iter().map(Change::to_string).collect();
        assert_eq!(
            changes,
            [
                "data.augment.flip was true, now false",
                "network.resolutions was [32, 20], now [32]",
                "train.ema was not set, now 0.9",
                "train.lr was 0.05, now 0.1",
            ]
        );
    }

    #[test]
    fn what_may_change_is_no_change_and_keeps_the_hash() {
        let values = ["elsewhere", "3", "0.5", "7", "9", "11"];
        let overrides: Vec<_> =
            Recipe::MAY_CHANGE.iter().zip(values).map(|(key, value)| format!("{key}={value}")).collect();
        let changed = Recipe::parse(RECIPE, &overrides).unwrap();
        assert_ne!(changed, recipe(&[]));
        assert_eq!(changed.changes_since(&recipe(&[])), []);
        assert_eq!(changed.hash(), recipe(&[]).hash());
    }
}
