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
    test/checkered_circle/00000.jpg: neither JPEG nor PNG (begins with not an i)
    -- stderr
    72 images checked, 1 broken
    the broken ones are on a quarantine list in that directory; training leaves them out
    "#);
    let report = program.json(&["data", "check", "data", "--json"]);
    assert_eq!((report["images"].as_u64(), report["broken"].as_array().unwrap().len()), (Some(72), 1));
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
