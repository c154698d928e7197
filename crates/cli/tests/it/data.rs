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
    the broken images are now on the directory's quarantine list; training leaves them out
    "#);
    let report = program.json(&["data", "check", "data", "--json"]);
    assert_eq!((report["images"].as_u64(), report["broken"].as_array().unwrap().len()), (Some(72), 1));
}

#[test]
fn masks_are_checked_with_their_images() {
    let program = Program::new();
    let make = [
        "data",
        "make",
        "scenes",
        "scenes",
        "--train",
        "4",
        "--test",
        "2",
        "--side",
        "64",
        "--min-object",
        "16",
    ];
    program.told(&make);
    let mask = program.path("scenes/test/masks/00001.png");
    std::fs::remove_file(&mask).unwrap();
    let told = program.told(&["data", "check", "scenes"]);
    let says = "exit 0\n-- stdout\ntest/images/00001.jpg: mask test/masks/00001.png: there is no such file\n";
    assert!(told.starts_with(says) && told.contains("6 images checked, 1 broken\n"), "{told}");
    assert!(told.contains("\nimages with each class: background 5, "), "{told}");
    let report = program.json(&["data", "check", "scenes", "--task", "segment", "--json"]);
    assert_eq!((&report["images"], &report["classes"][0]["class"]), (&6.into(), &"background".into()));
    let told = program.told(&["data", "check", "scenes", "--task", "classify"]);
    assert!(
        told.contains("warning: train: the classes `images` and `masks` look like segmentation"),
        "{told}"
    );
}

#[test]
fn videos_are_generated_and_described() {
    let program = Program::new();
    let sizes = ["--train", "8", "--test", "8", "--side", "16", "--frames", "4"];
    let told = program.told(&[&["data", "make", "clips", "clips"][..], &sizes].concat());
    assert_eq!(told, "exit 0\n-- stdout\n-- stderr\n8 training and 8 test clips of 8 classes in clips\n");
    std::fs::write(program.path("clips/test/up/00000.avi"), "").unwrap();
    assert_snapshot!(program.told(&["data", "check", "clips"]), @"
    exit 0
    -- stdout
    test/up/00000.avi: the file is empty
    -- stderr
    16 videos checked, 1 broken
    mjpeg: 15 videos, 16.0 frames per second
    the broken videos are now on the directory's quarantine list; training leaves them out
    ");
    let report = program.json(&["data", "check", "clips", "--json"]);
    let file = &report["files"][0];
    assert_eq!((&file["codec"], &file["frames"], &file["slow"]), (&"mjpeg".into(), &4.into(), &false.into()));
}

#[test]
fn a_data_set_goes_into_one_file() {
    let program = Program::new().with_shapes();
    std::fs::write(program.path(&program.image()), "not an image").unwrap();
    let told = program.told(&["data", "pack", "data", "data.mnpack", "--max-side", "24"]);
    assert!(told.contains("test/checkered_circle/00000.jpg: a text file, not an image"), "{told}");
    assert!(
        told.contains("71 images (train: 48, test: 23) in data.mnpack")
            && told.contains("\nleft out: 1 broken image, named above\n"),
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
    let image =
        std::fs::read_dir(program.path("odd/train/cat")).unwrap().next().unwrap().unwrap().file_name();
    let list = format!("train/cat/gone.jpg cat\ntrain/cat/{} cat\n", image.display());
    std::fs::write(program.path("odd/test.txt"), list).unwrap();
    let told = program.told(&["data", "check", "odd"]);
    assert!(told.contains("\ntrain/cat/gone.jpg: No such file"), "{told}");
    assert!(told.contains("\nnote: train: `cat` is the only class\n"), "{told}");
    assert!(told.contains("\nnote: test: the split exists twice: odd/test.tar and odd/test.txt\n"), "{told}");
}

#[test]
fn a_data_set_is_not_written_over() {
    let program = Program::new().with_shapes();
    assert_snapshot!(program.told(&["data", "make", "shapes", "data"]), @r#"
    exit 1
    -- stdout
    -- stderr
    error: not an empty directory: data
    hint: name a new directory, or empty this one
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
    error: cannot use cifar/train.bin/2: label 2 is not a class: they are numbered from 0 to 1
    hint: `mutualnet data check DIR` lists broken files and writes a quarantine list, which leaves them out
    "#);
    assert_snapshot!(program.told(&["data", "check", "cifar"]), @r#"
    exit 0
    -- stdout
    train.bin/2: label 2 is not a class: they are numbered from 0 to 1
    -- stderr
    6 images checked, 1 broken
    the broken images are now on the directory's quarantine list; training leaves them out
    "#);
    let told = program.told(&["plan", "recipe.toml", "--no-timing"]);
    assert!(told.contains("3 training and 2 test images, 2 classes"), "{told}");
}

#[test]
fn a_check_that_finds_nothing_but_broken_images_fails_and_writes_no_list() {
    let program = Program::new();
    std::fs::create_dir_all(program.path("data/train/cat")).unwrap();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    std::fs::write(program.path("data/train/cat/1.jpg"), pointer).unwrap();
    assert_snapshot!(program.told(&["data", "check", "data"]), @r#"
    exit 1
    -- stdout
    train/cat/1.jpg: a Git LFS pointer, not an image
    -- stderr
    1 image checked, 1 broken
    error: no image in data can be used, of 1; the first: train/cat/1.jpg: a Git LFS pointer, not an image
    hint: `git lfs pull` downloads the file that the pointer stands for
    "#);
    assert!(!program.path("data/quarantine.tsv").exists());
}

#[test]
fn a_check_brings_a_list_up_to_date_and_points_at_others() {
    let program = Program::new().with_shapes();
    let image = program.image().strip_prefix("data/").unwrap().to_owned();
    let in_split = image.strip_prefix("test/").unwrap();
    let line = |name: &str| format!("{name}\tthe file is empty\tdata check\n");
    std::fs::write(program.path("data/quarantine.tsv"), line(&image)).unwrap();
    std::fs::write(program.path("data/test/quarantine.tsv"), line(in_split)).unwrap();
    assert_snapshot!(program.told(&["data", "check", "data"]), @r#"
    exit 0
    -- stdout
    -- stderr
    72 images checked, 0 broken
    1 image is no longer broken; removed from the quarantine list
    warning: data/test/quarantine.tsv leaves out 1 image that is not broken: run `mutualnet data check data/test`, or delete it
    "#);
    assert!(!program.path("data/quarantine.tsv").exists());
}

#[test]
fn a_missing_part_fails_a_check() {
    let program = Program::new().with_shapes();
    std::fs::create_dir(program.path("parts")).unwrap();
    std::fs::copy(program.path(&program.image()), program.path("parts/1.jpg")).unwrap();
    std::fs::write(program.path("parts/train-00000-of-00002.tar"), [0; 1024]).unwrap();
    assert_snapshot!(program.told(&["data", "check", "parts"]), @r#"
    exit 1
    -- stdout
    1 of 2 parts is missing: train-00001-of-00002.tar
    -- stderr
    1 image checked, 0 broken
    error: 1 of 2 parts is missing: train-00001-of-00002.tar
    hint: fetch the missing files, or drop `-of-` from the names if there are no more parts
    "#);
}

#[test]
fn what_is_not_packed_is_named() {
    let program = Program::new().with_shapes();
    let class = std::path::Path::new(&program.image()).parent().unwrap().to_owned();
    for name in ["1.bmp", "2.BMP", "Thumbs.db"] {
        std::fs::write(program.dir.path().join(&class).join(name), "x").unwrap();
    }
    std::fs::write(program.path("data/quarantine.tsv"), program.image().strip_prefix("data/").unwrap())
        .unwrap();
    std::fs::create_dir_all(program.path("data/valid/cat")).unwrap();
    let told = program.told(&["data", "pack", "data", "data.mnpack"]);
    let left_out = "\nleft out: 1 image on a quarantine list; files that are not JPEG, PNG or WebP (2 .bmp); \
                    other splits (valid), which are packed only if --split names them\n";
    assert!(told.contains(left_out), "{told}");
}

#[cfg(unix)]
#[test]
fn a_test_split_that_is_the_training_split_is_a_warning() {
    let program = Program::new().with_shapes();
    std::fs::remove_dir_all(program.path("data/test")).unwrap();
    std::os::unix::fs::symlink("train", program.path("data/test")).unwrap();
    let told = program.told(&["data", "check", "data"]);
    assert!(told.contains("\nwarning: test: all 48 images are training images as well; "), "{told}");
}

#[test]
fn a_network_tells_its_cost() {
    let program = Program::new();
    let report = program.json(&["inspect", "network", "mobilenet_v1", "--json"]);
    assert_eq!((report["macs"].as_u64(), report["params"].as_u64()), (Some(568_790_528), Some(4_231_976)));
    assert_eq!(report["layers"].as_array().unwrap().len(), 84);
    // The cost at 256 px that SlowFast's authors publish, and that of half as many frames.
    let slowfast =
        ["inspect", "network", "slowfast_r50_4x16", "--resolution", "256", "--classes", "400", "--json"];
    let macs = |more: &[&str]| program.json(&[&slowfast[..], more].concat())["macs"].as_u64().unwrap() as f64;
    let published = macs(&["--frames", "4", "--fast-frames", "32", "--fast-resolution", "256"]);
    assert!((published / 36.098e9 - 1.0).abs() < 1e-3, "{published}");
    let halved = macs(&["--frames", "2", "--fast-frames", "16", "--fast-resolution", "256"]);
    assert!((halved / published - 0.5).abs() < 1e-2, "{halved}");
    let told = program.told(&["inspect", "network", "x3d_xs", "--fast-frames", "8"]);
    assert!(
        told.contains("error: network `x3d_xs` has no Fast pathway\nhint: remove --fast-frames"),
        "{told}"
    );
    let args = ["inspect", "network", "mobilenet_v2", "--width", "0.7", "--resolution", "128", "--json"];
    assert_eq!(program.json(&args)["macs"].as_u64(), Some(57_582_080));
    let told = program.told(&["inspect", "network", "x3d_xs", "--resolution", "160", "--frames", "4"]);
    assert!(told.contains("24×4×80×80"), "{told}");
    let told = program.told(&["inspect", "network", "mobilenet_v2", "--width", "0.35", "--resolution", "96"]);
    assert_snapshot!(told.lines().nth(2).unwrap(), @r#"layer                    operation    output     MACs  parameters"#);
}
