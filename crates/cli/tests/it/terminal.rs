//! Class names and file names with control characters: no command sends them to the terminal.

use std::fs;

use crate::bundle::changed;
use crate::program::Program;

/// Clears the screen, colors it, and ends the line.
const PAINT: &str = "\u{1b}[2J\u{9b}31m\u{202e}";

/// What a command printed, which must be printable; it is returned for further checks.
fn clean(program: &Program, args: &[&str]) -> String {
    let output = program.run(args);
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    for text in [&stdout, &stderr] {
        let wild = |c: char| c != '\n' && !mutualnet_core::text::is_printable(c);
        assert!(!text.contains(wild), "{args:?}: {text:?}");
    }
    stdout + &stderr
}

/// A bundle whose first class is painted, and an image whose name is.
fn program() -> (Program, String) {
    let program = crate::bundle::program();
    changed(&program, "painted.mnb", |parts| {
        parts.classes[0] = format!("{PAINT}\n{}", parts.classes[0]);
        parts.provenance.commit = PAINT.to_owned();
    });
    let image = format!("{PAINT}.jpg");
    fs::copy(program.path(&program.image()), program.path(&image)).unwrap();
    (program, image)
}

#[test]
fn bundles() {
    let (program, image) = program();
    let told = clean(&program, &["predict", "painted.mnb", &image, "--top", "12"]);
    assert_eq!(told.lines().count(), 2, "{told}");
    assert!(told.contains(r"\u{1b}[2J\u{9b}31m\u{202e}.jpg: "), "{told}");
    let json = program.json(&["predict", "painted.mnb", &image, "--top", "12", "--json"]);
    assert_eq!(json["images"][0]["path"], image.as_str());
    let classes = json["images"][0]["top"].as_array().unwrap();
    assert!(classes.iter().any(|class| class["class"].as_str().unwrap().starts_with(PAINT)), "{json}");
    clean(&program, &["predict", "painted.mnb", &image, "--json"]);
    clean(&program, &["inspect", "bundle", "painted.mnb"]);
    clean(&program, &["inspect", "bundle", "painted.mnb", "--json"]);
    let json = program.json(&["inspect", "bundle", "painted.mnb", "--json"]);
    assert_eq!(json["provenance"]["commit"], PAINT);
    let name = format!("a{PAINT}=painted.mnb");
    clean(&program, &["compare", &name, "b=model.mnb", "--plot", "curves.svg"]);
    let svg = fs::read_to_string(program.path("curves.svg")).unwrap();
    assert!(svg.contains(r"a\u{1b}[2J") && !svg.contains('\u{1b}'), "{svg}");
}

#[test]
fn paths_in_errors_and_arguments() {
    let (program, image) = program();
    let row = format!("{PAINT}.safetensors");
    for args in [
        ["predict", "model.mnb", PAINT].as_slice(),
        &["predict", &image, "model.mnb"],
        &["predict", "model.mnb", "model.mnb"],
        &["table", PAINT],
        &["table", "model.mnb", "--plot", PAINT],
        &["table", "model.mnb", "--budget", PAINT],
        &["compare", PAINT],
        &["export", "model.mnb", "-o", PAINT],
        &["export", "model.mnb", "-o", &row],
        &["inspect", "network", PAINT],
        &["inspect", "bundle", PAINT],
        &["import", PAINT, "--network", "resnet18", "-o", "out.safetensors"],
        &["import", PAINT, "--network", PAINT, "-o", "out.safetensors"],
        &["data", "check", PAINT],
        &[PAINT],
    ] {
        clean(&program, args);
    }
}

#[test]
fn data_sets() {
    let (program, image) = program();
    let class = program.path(&format!("data/train/{PAINT}"));
    fs::create_dir(&class).unwrap();
    fs::write(class.join(&image), "not an image").unwrap();
    let told = clean(&program, &["data", "check", "data"]);
    assert!(told.contains(r"\u{1b}[2J"), "{told}");
    clean(&program, &["data", "check", "data", "--json"]);
    clean(&program, &["data", "pack", "data", "data.mnpack"]);
    clean(&program, &["data", "pack", "data", PAINT, "--json"]);
}

#[cfg(feature = "train")]
#[test]
fn training() {
    let program = Program::new().with_shapes();
    let image = program.path(&program.image());
    for split in ["train", "test"] {
        let class = program.path(&format!("data/{split}/{PAINT}"));
        fs::create_dir(&class).unwrap();
        for n in 0..8 {
            fs::copy(&image, class.join(format!("{PAINT}{n}.jpg"))).unwrap();
        }
        fs::write(class.join(format!("{PAINT}.jpg")), "not an image").unwrap();
        fs::create_dir(program.path(&format!("data/{split}/{PAINT}empty"))).unwrap();
    }
    let recipe = format!("{}\n[network]\nname = \"{PAINT}\"\n", "seed = 1");
    fs::write(program.path("wrong.toml"), recipe.replace('\u{1b}', "\\u001b")).unwrap();
    fs::write(program.path(&format!("{PAINT}.toml")), crate::train::RECIPE).unwrap();
    let recipe = format!("{PAINT}.toml");
    let run = format!("run{PAINT}");
    clean(&program, &["plan", "wrong.toml"]);
    clean(&program, &["plan", PAINT]);
    clean(&program, &["plan", &recipe, &format!("network.name={PAINT}")]);
    clean(&program, &["plan", &recipe, &format!("train.{PAINT}=3")]);
    let told = clean(&program, &["plan", &recipe, "--no-timing"]);
    assert!(told.contains(r"\u{1b}[2J"), "{told}");
    clean(&program, &["plan", &recipe, "--json", "--no-timing"]);
    clean(&program, &["train", &recipe, "data.broken_limit=0.5", "--out", &run]);
    clean(&program, &["train", &recipe, "data.broken_limit=0.5", "--out", &run, "--resume"]);
    let told = clean(&program, &["tabulate", &run]);
    assert!(program.path(&run).join("report.html").exists(), "{told}");
    let page = fs::read_to_string(program.path(&run).join("report.html")).unwrap();
    assert!(!page.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{page}");
    clean(&program, &["table", &run]);
}
