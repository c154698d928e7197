//! Any text as a recipe: the part up to the first zero byte is the file, lines after it are overrides.
//!
//! A panic or a hang is a finding; so is a recipe that does not come back from its own TOML.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mutualnet_fuzz::init;
use mutualnet_train::Recipe;

fuzz_target!(init: init(), |bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (text, overrides) = text.split_once('\0').unwrap_or((text, ""));
    let overrides: Vec<_> = overrides.lines().map(str::to_owned).collect();
    match Recipe::parse(text, &overrides) {
        Ok(recipe) => {
            let again = Recipe::parse(&recipe.to_toml(), &[]);
            assert_eq!(again.expect("what was written can be read").to_toml(), recipe.to_toml());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
