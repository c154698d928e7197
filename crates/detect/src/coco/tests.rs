//! What is read, and everything that can be wrong with it.

use serde_json::{Value, json};

use super::*;
use crate::evaluate::Compare;
use crate::{Error, Extent, Rle};

fn file(annotations: Value) -> Value {
    json!({
        "info": {"year": 2017}, "licenses": [],
        "images": [
            {"id": 9, "file_name": "b.jpg", "height": 4, "width": 5, "license": 1},
            {"id": 2, "file_name": "a.jpg", "height": 10, "width": 20},
        ],
        "categories": [{"id": 7, "name": "cat", "supercategory": "animal"}, {"id": 3, "name": "dog"}],
        "annotations": annotations,
    })
}

fn object(id: i64) -> Value {
    json!({"id": id, "image_id": 9, "category_id": 7, "bbox": [1, 1, 2.5, 2], "area": 4.5, "iscrowd": 0})
}

/// An annotation with some keys changed; null takes one away.
fn with(id: i64, changes: Value) -> Value {
    let mut object = object(id);
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else {
            object[key] = value.clone();
        }
    }
    object
}

fn read(file: &Value) -> Instances {
    Instances::from_json(file.to_string().as_bytes()).unwrap()
}

fn told(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(Problem::to_string).collect()
}

#[test]
fn images_and_categories_are_in_the_order_of_their_ids() {
    let dog = with(5, json!({"category_id": 3, "image_id": 2, "iscrowd": 1}));
    let truth = read(&file(json!([object(4), dog, object(1)])));
    assert_eq!(truth.images().iter().map(|image| image.id).collect::<Vec<_>>(), [2, 9]);
    assert_eq!(truth.images()[1].extent, Extent { height: 4, width: 5 });
    assert_eq!(truth.categories()[0], Category { id: 3, name: "dog".to_owned() });
    let ids = |image| truth.of_image(image).iter().map(|annotation| annotation.id).collect::<Vec<_>>();
    assert_eq!((ids(0), ids(1)), (vec![5], vec![4, 1]));
    let Annotation { category, bounds, area, is_crowd, .. } = &truth.annotations()[0];
    assert_eq!((*category, *bounds, *area, *is_crowd), (0, [1.0, 1.0, 2.5, 2.0], 4.5, true));
    assert_eq!(told(truth.problems()), Vec::<String>::new());
}

#[test]
fn every_form_of_a_mask_is_read() {
    let extent = Extent { height: 4, width: 5 };
    let square = [[1.0, 1.0], [1.0, 3.0], [3.0, 3.0], [3.0, 1.0]];
    let mask = Rle::from_polygon(extent, &square).unwrap();
    assert_eq!(mask.counts(), [5, 2, 2, 2, 9]);
    for segmentation in [
        json!([[1, 1, 1, 3, 3, 3, 3, 1]]),
        json!([[1, 1, 1, 3, 2, 3, 2, 1], [2.0, 1, 2, 3, 3, 3, 3, 1]]),
        json!({"size": [4, 5], "counts": [5, 2, 2, 2, 9]}),
        json!({"counts": mask.to_text(), "size": [4, 5]}),
    ] {
        let truth = read(&file(json!([
            with(1, json!({"segmentation": segmentation})),
            with(2, json!({"category_id": 3}))
        ])));
        let shape = truth.annotations()[0].shape.as_ref().unwrap();
        assert_eq!(shape.mask(extent).unwrap(), mask, "{segmentation}");
        assert_eq!(told(truth.problems()), Vec::<String>::new());
    }
}

#[test]
fn broken_annotations_are_named_and_left_out() {
    for (changes, says) in [
        (json!({"image_id": 3}), "there is no image 3"),
        (json!({"image_id": "9"}), "its `image_id` is missing or not a whole number"),
        (json!({"category_id": null}), "its `category_id` is missing or not a whole number"),
        (json!({"bbox": null}), "has no box of four numbers"),
        (json!({"bbox": [1, 2, 3]}), "has no box of four numbers"),
        (json!({"bbox": [1, 2, "3", 4]}), "the box has a number that is not finite"),
        (json!({"bbox": [1, 1e308, 3, 1.7e308]}), "the box has a number that is not finite"),
        (json!({"bbox": [1, 2, 0, 4]}), "the box is 0 wide and 4 high"),
        (json!({"bbox": [1, 2, 2, -1]}), "the box is 2 wide and -1 high"),
        (json!({"bbox": [5, 0, 2, 1]}), "the box is outside of the image"),
        (json!({"bbox": [0, -3, 2, 3]}), "the box is outside of the image"),
    ] {
        let truth = read(&file(json!([with(40, changes), object(41), with(42, json!({"category_id": 3}))])));
        assert_eq!(told(truth.problems()), [format!("annotation 40: {says}; it is left out")]);
        assert_eq!(truth.annotations().len(), 2);
    }
    let truth =
        read(&file(json!([object(1), with(1, json!({"category_id": 3})), with(2, json!({"id": null}))])));
    assert_eq!(
        told(truth.problems()),
        [
            "annotation 1: another one before it has the same id; it is left out",
            "annotation number 3 of the list: its `id` is missing or not a whole number; it is left out",
            "category 3: has no annotations",
        ]
    );
}

#[test]
fn what_python_writes_for_nan_is_named_too() {
    let text = file(json!([object(1), with(2, json!({"category_id": 3, "bbox": "here"}))])).to_string();
    let text = text.replace("\"here\"", "[1, NaN, 2, 2]");
    let truth = Instances::from_json(text.as_bytes()).unwrap();
    assert_eq!(
        told(truth.problems())[0],
        "annotation 2: the box has a number that is not finite; it is left out"
    );
}

#[test]
fn boxes_that_leave_the_image_and_areas_that_are_missing_are_told() {
    let beyond = with(1, json!({"bbox": [-0.5, 1, 8, 2], "area": null}));
    let truth = read(&file(json!([beyond, with(2, json!({"category_id": 3}))])));
    assert_eq!(
        told(truth.problems()),
        [
            "annotation 1: the box leaves the image by 2.5 pixels",
            "annotation 1: its `area` is missing or not a number from 0 on, so that of the box counts",
        ]
    );
    assert_eq!(truth.annotations()[0].area, 16.0);
}

#[test]
fn masks_that_cannot_be_used_leave_the_box() {
    let polygon = "the segmentation has no polygon with three corners";
    for (segmentation, says) in [
        (json!([]), vec![format!("{polygon}; only its box is used")]),
        (json!({}), vec!["the mask is NaN by NaN pixels, but the image 4 by 5; only its box is used".to_owned()]),
        (json!(5), vec!["the segmentation is neither a list of polygons nor an object with `size` and `counts`; only its box is used".to_owned()]),
        (
            json!([[1, 1, 2, 2], 7]),
            vec![
                "polygon 1 has fewer than three corners; that polygon is left out".to_owned(),
                "polygon 2 has fewer than three corners; that polygon is left out".to_owned(),
                format!("{polygon}; only its box is used"),
            ],
        ),
        (
            json!({"size": [5, 4], "counts": [20]}),
            vec!["the mask is 5 by 4 pixels, but the image 4 by 5; only its box is used".to_owned()],
        ),
        (
            json!({"size": [4, 5], "counts": [3, -1, 18]}),
            vec!["the mask cannot be read: run number 1 is no length; only its box is used".to_owned()],
        ),
        (
            json!({"size": [4, 5], "counts": "abc"}),
            vec!["the mask cannot be read: the compressed runs end within a number; only its box is used".to_owned()],
        ),
    ] {
        let broken = with(8, json!({"segmentation": segmentation}));
        let truth = read(&file(json!([broken, with(2, json!({"category_id": 3}))])));
        let says: Vec<_> = says.iter().map(|says| format!("annotation 8: {says}")).collect();
        assert_eq!(told(truth.problems()), says);
        assert_eq!(truth.annotations()[0].shape, None);
    }
    let part = json!([[1, 1, 2, 2, 3], [0, 0, 0, "x", 3, 3], [0, 0, 0, 3, 3, 3]]);
    let truth =
        read(&file(json!([with(8, json!({"segmentation": part})), with(2, json!({"category_id": 3}))])));
    assert_eq!(
        told(truth.problems()),
        [
            "annotation 8: polygon 1 has an x without a y; that polygon is left out",
            "annotation 8: polygon 2 has a number that is not finite; that polygon is left out",
        ]
    );
    assert!(
        matches!(truth.annotations()[0].shape.as_ref(), Some(Shape::Polygons(polygons)) if polygons.len() == 1)
    );
}

#[test]
fn broken_images_and_categories_are_named() {
    let mut broken = file(json!([object(1), with(2, json!({"image_id": 4, "category_id": 3}))]));
    let images = broken["images"].as_array_mut().unwrap();
    images.push(json!({"id": 9, "file_name": "c.jpg", "height": 4, "width": 5}));
    images.push(json!({"id": 4, "file_name": "c.jpg", "height": 0, "width": 5}));
    images.push(json!({"id": 5, "file_name": "c.jpg", "height": 4, "width": 70000}));
    images.push(json!({"id": 6, "height": 4, "width": 5}));
    images.push(json!({"file_name": "c.jpg", "height": 4, "width": 5}));
    let categories = broken["categories"].as_array_mut().unwrap();
    categories.push(json!({"id": 3, "name": "bird"}));
    categories.push(json!({"id": 4, "name": "cat"}));
    categories.push(json!({"id": 5, "name": 3}));
    categories.push(json!({"name": "fish"}));
    let sides = "which must be whole numbers from 1 to 65535; it is left out";
    assert_eq!(
        told(read(&broken).problems()),
        [
            "image 9: another one before it has the same id; it is left out",
            &format!("image 4: has a height of 0 and a width of 5, {sides}"),
            &format!("image 5: has a height of 4 and a width of 70000, {sides}"),
            "image 6: has no `file_name`; it is left out",
            "image number 7 of the list: its `id` is missing or not a whole number; it is left out",
            "category 3: another one before it has the same id; it is left out",
            "category 4: another one before it has the same name, `cat`; where data are trained on, both are one class",
            "category 5: has no `name`; it is left out",
            "category number 6 of the list: its `id` is missing or not a whole number; it is left out",
            "annotation 2: there is no image 4; it is left out",
            "category 3: has no annotations",
            "category 4: has no annotations",
        ]
    );
}

#[test]
fn images_without_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("a.jpg"), b"").unwrap();
    let missing = read(&file(json!([]))).missing_files(dir.path());
    assert_eq!(told(&missing), ["image 9: there is no file `b.jpg`; it is left out"]);
}

#[test]
fn files_of_another_kind_are_errors() {
    let fails = |json: &str| Instances::from_json(json.as_bytes()).unwrap_err();
    assert_eq!(fails(" \n").to_string(), "the file is empty");
    assert_eq!(fails("{\"images\": [").to_string(), "the file ends in the middle, at line 1, column 12");
    assert_eq!(fails("[]").to_string(), "not COCO instances: this is a list, as results are");
    assert!(["", "[", "{"].iter().all(|json| fails(json).hint().is_some()));
    assert_eq!(fails("{}").to_string(), "not COCO instances: there is no list `images`");
    assert_eq!(fails("{\"images\": []}").to_string(), "not COCO instances: there is no list `categories`");
    assert!(fails("{}").hint().unwrap().contains("`annotations`"));
    let deep = "[".repeat(100_000);
    assert!(matches!(fails(&format!("{{\"info\": {deep}")), Error::CutOff { .. }));
    let truth = read(&file(json!([])));
    let results = Detections::from_json(b"{}", &truth, Compare::Masks).unwrap_err();
    assert!(results.to_string().starts_with("not COCO results: invalid type: map"), "{results}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    assert!(Instances::read(&path).unwrap_err().to_string().starts_with("cannot read "));
    std::fs::write(&path, [b"\xef\xbb\xbf", file(json!([])).to_string().as_bytes()].concat()).unwrap();
    assert_eq!(Instances::read(&path).unwrap().images().len(), 2, "a byte-order mark is read over");
    std::fs::write(&path, b"7").unwrap();
    let error = Instances::read(&path).unwrap_err();
    assert!(error.to_string().ends_with("x.json") && error.hint().is_some(), "{error}");
}

#[test]
fn detections_have_boxes_or_masks() {
    let truth = read(&file(json!([object(1)])));
    let mask = Rle::from_box(truth.images()[1].extent, [1.0, 1.0, 2.0, 3.0]).unwrap();
    let entry = |segmentation: Option<Rle>, bbox| ResultEntry {
        image_id: 9,
        category_id: 3,
        bbox,
        score: 0.5,
        segmentation,
    };
    let both = entry(Some(mask.clone()), [0.0, 0.0, 5.0, 4.0]);
    let only_box = entry(None, [0.5, 0.0, 1.0, 2.0]);
    let mut only_mask = json!(both);
    only_mask.as_object_mut().unwrap().remove("bbox");
    let polygon = json!({
        "image_id": 9, "category_id": 3, "score": 1, "bbox": [],
        "segmentation": [[1, 1, 1, 4, 3, 4, 3, 1]],
    });
    let json = json!([both, only_box, only_mask, polygon]).to_string();
    let Detections { found, problems } =
        Detections::from_json(json.as_bytes(), &truth, Compare::Masks).unwrap();
    assert_eq!(told(&problems), Vec::<String>::new());
    let areas: Vec<_> = found.iter().map(|found| found.area).collect();
    assert_eq!(areas, [20.0, 2.0, 6.0, 6.0]);
    assert_eq!(found[2].bounds, [1.0, 1.0, 2.0, 3.0]);
    assert_eq!((found[0].image, found[0].category, found[0].mask.as_ref()), (1, 0, Some(&mask)));
    assert_eq!((found[1].mask.as_ref(), found[3].mask.as_ref()), (None, Some(&mask)));
    let boxes = Detections::from_json(json.as_bytes(), &truth, Compare::Boxes).unwrap().found;
    assert_eq!((boxes[0].mask.as_ref(), boxes[3].mask.as_ref()), (None, Some(&mask)));
}

#[test]
fn broken_detections_are_named_by_their_place() {
    let truth = read(&file(json!([object(1)])));
    let found = |changes: Value| {
        let mut detection = json!({"image_id": 9, "category_id": 7, "bbox": [1, 1, 2, 2], "score": 0.5});
        for (key, value) in changes.as_object().unwrap() {
            detection[key] = value.clone();
        }
        detection
    };
    let list = json!([
        found(json!({"image_id": 1})),
        found(json!({})),
        found(json!({"category_id": 1})),
        found(json!({"score": null})),
        found(json!({"bbox": [1, 1, null, 2]})),
        found(json!({"bbox": [1, 1]})),
        found(json!({"bbox": null})),
        found(json!({"segmentation": {"size": [4, 5], "counts": [21]}})),
    ]);
    let Detections { found, problems } =
        Detections::from_json(list.to_string().as_bytes(), &truth, Compare::Masks).unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(
        told(&problems),
        [
            "detection number 1 of the list: there is no image 1; it is left out",
            "detection number 3 of the list: there is no category 1; it is left out",
            "detection number 4 of the list: has no finite score; it is left out",
            "detection number 5 of the list: the box has a number that is not finite; it is left out",
            "detection number 6 of the list: has no box of four numbers; it is left out",
            "detection number 7 of the list: has no box of four numbers; it is left out",
            "detection number 8 of the list: the mask cannot be read: the runs cover 21 of 20 pixels; only its box is used",
        ]
    );
}
