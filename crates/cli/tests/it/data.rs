//! `data` and `inspect network`.

use insta::assert_snapshot;

use crate::program::Program;

#[test]
fn broken_files_are_listed_and_left_out() {
    let program = Program::new().with_shapes();
    std::fs::write(program.path(&program.image()), "not an image").unwrap();
    assert_snapshot!(program.told(&["data", "check", "data"]), @r#"
    exit 0
    -- stdout
    test/checkered_circle/00000.jpg: a text file, not an image
    -- stderr
    72 images checked, 1 broken
    the broken ones are on a quarantine list in that directory; training leaves them out
    "#);
    let report = program.json(&["data", "check", "data", "--json"]);
    assert_eq!((report["images"].as_u64(), report["broken"].as_array().unwrap().len()), (Some(72), 1));
}

#[test]
fn a_data_set_goes_into_one_file() {
    let program = Program::new().with_shapes();
    std::fs::write(program.path(&program.image()), "not an image").unwrap();
    let told = program.told(&["data", "pack", "data", "data.mnpack", "--max-side", "24"]);
    assert!(told.contains("test/checkered_circle/00000.jpg: a text file, not an image"), "{told}");
    assert!(
        told.contains("71 images (48 of train, 23 of test) in data.mnpack")
            && told.contains("1 broken ones left out"),
        "{told}"
    );
    let report = program.json(&["data", "pack", "data", "raw.mnpack", "--store", "raw", "--json"]);
    assert_eq!(report["images"].as_u64(), Some(71));
    let size = std::fs::metadata(program.path("raw.mnpack")).unwrap().len();
    assert_eq!(report["bytes"].as_u64(), Some(size));
    assert!(program.told(&["data", "check", "raw.mnpack"]).contains("71 images checked, 0 broken"));
}

#[test]
fn splits_that_are_odd_are_noted() {
    let program = Program::new().with_shapes();
    let class = std::fs::read_dir(program.path("data/test")).unwrap().next().unwrap().unwrap().path();
    std::fs::create_dir_all(program.path("odd/train")).unwrap();
    std::fs::rename(class, program.path("odd/train/cat")).unwrap();
    std::fs::write(program.path("odd/test.tar"), [0; 1024]).unwrap();
    std::fs::write(program.path("odd/test.txt"), "train/cat/gone.jpg cat\n").unwrap();
    let told = program.told(&["data", "check", "odd"]);
    assert!(told.contains("\ntrain/cat/gone.jpg: cannot be read: "), "{told}");
    assert!(told.contains("\nnote: train: `cat` is the only class\n"), "{told}");
    assert!(
        told.contains("\nnote: test: the split is there twice: odd/test.tar and odd/test.txt\n"),
        "{told}"
    );
}

#[test]
fn a_data_set_is_not_written_over() {
    let program = Program::new().with_shapes();
    assert_snapshot!(program.told(&["data", "make", "shapes", "data"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: data is not empty
    hint: give a new directory, or empty this one
    "#);
}

#[test]
fn cifar_is_a_data_set_as_it_is_published() {
    let program = Program::new();
    std::fs::create_dir(program.path("cifar")).unwrap();
    let write = |file: &str, bytes: Vec<u8>| std::fs::write(program.path("cifar").join(file), bytes).unwrap();
    let record = |label: u8| [&[0, label], [label; 3072].as_slice()].concat();
    write("fine_label_names.txt", b"apple\nbear\n".to_vec());
    write("train.bin", [record(0), record(1), record(2), record(1)].concat());
    write("test.bin", [record(1), record(0)].concat());
    let recipe = "[network]\nname = \"mobilenet_v2\"\nwidths = [0.25, 1.0]\nresolutions = [32]\n\
                  [data]\npath = \"cifar\"\n[train]\nepochs = 1\nbatch = 2\nlr = 0.1\n";
    std::fs::write(program.path("recipe.toml"), recipe).unwrap();
    assert_snapshot!(program.told(&["plan", "recipe.toml"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: cannot decode cifar/train.bin/2: label 2 is not one of the 2 classes
    hint: `mutualnet data check DIR` lists broken files and writes a quarantine list that loading obeys
    "#);
    assert_snapshot!(program.told(&["data", "check", "cifar"]), @r#"
    exit 0
    -- stdout
    train.bin/2: label 2 is not one of the 2 classes
    -- stderr
    6 images checked, 1 broken
    the broken ones are on a quarantine list in that directory; training leaves them out
    "#);
    let told = program.told(&["plan", "recipe.toml"]);
    assert!(told.contains("3 training and 2 test images, 2 classes"), "{told}");
}

#[test]
fn a_network_tells_its_cost() {
    let program = Program::new();
    let report = program.json(&["inspect", "network", "mobilenet_v1", "--json"]);
    assert_eq!((report["macs"].as_u64(), report["params"].as_u64()), (Some(568_790_528), Some(4_231_976)));
    assert_eq!(report["layers"].as_array().unwrap().len(), 84);
    let args = ["inspect", "network", "mobilenet_v2", "--width", "0.7", "--resolution", "128", "--json"];
    assert_eq!(program.json(&args)["macs"].as_u64(), Some(57_582_080));
    let told = program.told(&["inspect", "network", "mobilenet_v2", "--width", "0.35", "--resolution", "96"]);
    assert_snapshot!(told.lines().nth(2).unwrap(), @r#"layer                    operation    output     MACs  parameters"#);
}
