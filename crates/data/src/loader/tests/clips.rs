//! Batches of clips.

use mutualnet_core::{ClipSampling, Frames, Task, Views};
use mutualnet_image::encode_png;

use super::*;
use crate::Split;
use crate::clips::{ClipsSpec, clip, generate};

const SPEC: ClipsSpec = ClipsSpec { seed: 5, train: 16, test: 8, side: 16, frames: 6 };

fn clips() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    generate(dir.path(), &SPEC).unwrap();
    dir
}

fn open(dir: &Path, split: Split, config: LoaderConfig) -> Loader {
    let dataset = Dataset::open_for(Task::Classify, Rank::Clip, dir, split.folder()).unwrap();
    Loader::new(Arc::new(dataset), config).unwrap()
}

fn sampling(frames: u32, stride: u32) -> Preprocess {
    let clip = Some(ClipSampling { frames: Frames::new(frames).unwrap(), stride });
    Preprocess { clip, ..Preprocess::center_crop(Resolution::new(16).unwrap(), [0.5; 3], [0.25; 3]) }
}

/// Only a crop of everything, which differs from clip to clip by its frames alone.
fn plain() -> TrainTransform {
    TrainTransform { crop: TrainCrop::Center, flip: false, ..TrainTransform::default() }
}

/// The number of the drawn frame that each frame of a clip shows, by the nearest pixels.
fn shown(clip: &[f32], drawn: &[Image]) -> Vec<usize> {
    let distance = |frame: &[f32], image: &Image| -> f32 {
        let pixels = image.pixels().iter().map(|&value| (f32::from(value) / 255.0 - 0.5) / 0.25);
        frame.iter().zip(pixels).map(|(a, b)| (a - b).abs()).sum()
    };
    let nearest = |frame: &[f32]| {
        (0..drawn.len()).min_by(|&a, &b| distance(frame, &drawn[a]).total_cmp(&distance(frame, &drawn[b])))
    };
    clip.chunks_exact(16 * 16 * 3).map(|frame| nearest(frame).unwrap()).collect()
}

#[test]
fn a_test_clip_is_the_middle_of_its_video() {
    let dir = clips();
    for (frames, stride, expected) in [(3, 2, vec![0, 2, 4]), (2, 1, vec![2, 3]), (4, 3, vec![0, 3, 5, 5])] {
        let loader = open(dir.path(), Split::Test, config(1));
        for batch in loader.evaluate(&sampling(frames, stride)).unwrap() {
            let batch = batch.unwrap();
            assert_eq!((batch.frames, batch.size), (Some(frames as usize), [16; 2]));
            let (labels, _) = batch.targets.classes().unwrap();
            let clips = batch.images.chunks_exact(batch.images.len() / batch.n);
            for (clip_of_batch, &label) in clips.zip(labels) {
                // The folders are in alphabetical order, the clips in that of the motions.
                let name = &loader.dataset().classes()[label as usize];
                let i = crate::clips::class_names().iter().position(|class| class == name).unwrap();
                assert_eq!(shown(clip_of_batch, &clip(&SPEC, Split::Test, i)), expected, "{name}");
            }
        }
    }
}

#[test]
fn several_views_of_a_video_are_next_to_each_other() {
    let dir = clips();
    let preprocess = Preprocess { views: Views { clips: 3, crops: 1 }, ..sampling(2, 1) };
    let loader = open(dir.path(), Split::Test, config(2));
    let batches: Vec<_> = loader.evaluate(&preprocess).unwrap().map(|batch| batch.unwrap()).collect();
    let indices: Vec<_> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
    assert_eq!(indices, (0..8).flat_map(|i| [i; 3]).collect::<Vec<_>>());
    assert!(batches.iter().all(|batch| batch.views == 3 && batch.indices.len() == batch.n));
    let drawn = clip(&SPEC, Split::Test, 0);
    let first = crate::clips::class_names()[0];
    let classes = loader.dataset().classes();
    let begin = 3 * classes.iter().position(|class| class == first).unwrap();
    let all: Vec<f32> = batches.iter().flat_map(|batch| batch.images.to_vec()).collect();
    let clips = all.chunks_exact(2 * 768).skip(begin).take(3);
    let shown: Vec<_> = clips.map(|clip| shown(clip, &drawn)).collect();
    assert_eq!(shown, [[0, 1], [2, 3], [4, 5]]);
}

#[test]
fn three_squares_of_a_clip_lie_along_its_longer_side() {
    let dir = tempfile::tempdir().unwrap();
    // Every column of 40 has a color of its own.
    let (columns, rows) = (40, 20);
    let pixels: Vec<_> = (0..rows * columns).flat_map(|at| [(at % columns * 6) as u8; 3]).collect();
    let frame = encode_png(&Image::new(columns, rows, pixels));
    let frames = dir.path().join("test/a/clip");
    fs::create_dir_all(&frames).unwrap();
    (0..2).for_each(|number| fs::write(frames.join(format!("{number}.png")), &frame).unwrap());
    let square = |crops| {
        let preprocess = Preprocess {
            views: Views { clips: 1, crops },
            resize: Some(Resolution::new(20).unwrap()),
            ..sampling(2, 1)
        };
        let loader = open(dir.path(), Split::Test, config(1));
        loader.evaluate(&preprocess).unwrap().map(|batch| batch.unwrap()).next().unwrap()
    };
    let (one, three) = (square(1), square(3));
    assert_eq!((three.n, three.views, three.indices.len()), (3, 3, 3));
    let first_columns =
        three.images.chunks_exact(768).map(|frame| ((frame[0] * 0.25 + 0.5) * 255.0 / 6.0).round());
    assert_eq!(first_columns.collect::<Vec<_>>(), [0.0, 0.0, 12.0, 12.0, 24.0, 24.0]);
    assert_eq!(three.images[2 * 768..4 * 768], one.images[..]);
}

#[test]
fn training_clips_begin_anywhere_and_their_frames_are_augmented_alike() {
    let dir = clips();
    let images = |workers, transform, stride| -> Vec<Vec<f32>> {
        let loader = open(dir.path(), Split::Train, config(workers));
        let batches = loader.train(transform, &sampling(2, stride), Position::default(), 4).unwrap();
        batches.map(|batch| batch.unwrap().images.to_vec()).collect()
    };
    let transform = TrainTransform { mixup: 0.2, ..transform() };
    assert_eq!(images(1, transform, 2), images(3, transform, 2), "threads do not matter");
    // With a stride of 5 only the first of 6 frames leaves room for a clip, whose two frames then differ.
    let clips: Vec<Vec<f32>> =
        images(1, plain(), 5).concat().chunks(2 * 16 * 16 * 3).map(<[f32]>::to_vec).collect();
    assert!(clips.iter().all(|clip| clip[..768] != clip[768..]), "a clip holds one frame");
    let firsts: Vec<_> =
        images(1, plain(), 1).concat().chunks(2 * 768).map(|clip| clip[..768].to_vec()).collect();
    let distinct: std::collections::BTreeSet<_> = firsts.iter().map(|frame| format!("{frame:?}")).collect();
    assert!(distinct.len() > 16 * 2, "16 videos over 4 epochs show {} first frames", distinct.len());
    // The same frame twice stays the same frame twice, whatever is drawn for it.
    let still = ClipSampling { frames: Frames::new(3).unwrap(), stride: 256 };
    let preprocess = Preprocess { clip: Some(still), ..sampling(1, 1) };
    let loader = open(dir.path(), Split::Train, config(2));
    for batch in loader.train(super::transform(), &preprocess, Position::default(), 1).unwrap() {
        for clip in batch.unwrap().images.chunks_exact(3 * 768) {
            assert_ne!(clip[..768], clip[768..2 * 768]);
            assert_eq!(clip[768..2 * 768], clip[2 * 768..]);
        }
    }
}

#[test]
fn broken_videos_are_replaced_in_training_and_left_out_of_tests() {
    let dir = clips();
    for split in ["train", "test"] {
        fs::write(dir.path().join(split).join("left/00000.avi"), b"").unwrap();
    }
    let train = open(dir.path(), Split::Train, config(2));
    let indices: Vec<_> = train
        .train(plain(), &sampling(2, 1), Position::default(), 1)
        .unwrap()
        .flat_map(|batch| batch.unwrap().indices)
        .collect();
    let broken = train.broken_files();
    assert_eq!(broken[0].to_string(), "left/00000.avi: the file is empty");
    assert_eq!(indices.len(), 16);
    let test = open(dir.path(), Split::Test, config(2));
    let n: usize = test.evaluate(&sampling(2, 1)).unwrap().map(|batch| batch.unwrap().n).sum();
    assert_eq!(n, 7);
}

#[test]
fn images_and_videos_are_told_apart() {
    let dir = clips();
    let open = |rank| Dataset::open_for(Task::Classify, rank, dir.path(), "train");
    let error = open(Rank::Image).unwrap_err();
    assert!(error.to_string().starts_with("no JPEG, PNG or WebP files of the 8 classes in"), "{error}");
    let loader = Loader::new(Arc::new(open(Rank::Clip).unwrap()), config(1)).unwrap();
    let error = loader.evaluate(&preprocess()).unwrap_err();
    assert!(error.to_string().ends_with("has clips, but the network reads images"), "{error}");
    let images = data(6);
    fs::create_dir(dir.path().join("images")).unwrap();
    fs::rename(images.path().join("ant"), dir.path().join("images/ant")).unwrap();
    let error = Dataset::open_for(Task::Classify, Rank::Clip, dir.path(), "images").unwrap_err();
    assert!(error.to_string().starts_with("no videos of the only class in"), "{error}");
    fs::write(dir.path().join("shards.tar"), b"").unwrap();
    let error = Dataset::open_for(Task::Classify, Rank::Clip, dir.path(), "shards").unwrap_err();
    assert!(error.to_string().starts_with("split `shards` of") && error.hint().is_some(), "{error}");
}

#[test]
fn a_list_may_name_videos() {
    let dir = clips();
    fs::write(dir.path().join("few.txt"), "train/left/00000.avi 0\ntrain/right/00001.avi 1\n").unwrap();
    let dataset = Dataset::open_for(Task::Classify, Rank::Clip, dir.path(), "few").unwrap();
    assert_eq!((dataset.rank(), dataset.samples().len()), (Rank::Clip, 2));
    let loader = Loader::new(Arc::new(dataset), config(1)).unwrap();
    let batch = loader.evaluate(&sampling(2, 1)).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.targets.classes().unwrap().0, [0, 1]);
    fs::write(dir.path().join("pairs.csv"), "train/up/00000.avi,climbs\ntrain/down/00001.avi,falls\n")
        .unwrap();
    let dataset = Dataset::open_for(Task::Classify, Rank::Clip, dir.path(), "pairs").unwrap();
    assert_eq!(dataset.classes(), ["climbs", "falls"]);
    // In the folder of this name are videos too, but the list says which are meant.
    fs::write(dir.path().join("test.csv"), "test/up/00000.avi 0\ntest/down/00000.avi 1\n").unwrap();
    let dataset = Dataset::open_for(Task::Classify, Rank::Clip, dir.path(), "test").unwrap();
    assert_eq!(dataset.samples().len(), 2);
    fs::write(dir.path().join("few.csv"), "train/left/00000.avi 0\n").unwrap();
    let error = Dataset::open_for(Task::Classify, Rank::Clip, dir.path(), "few").unwrap_err();
    assert!(error.to_string().starts_with("the split exists twice"), "{error}");
}

/// Writes the frames of the first training clips as folders of files, beside the videos of the others.
fn unpacked() -> tempfile::TempDir {
    let dir = clips();
    for i in 0..8 {
        let class = crate::clips::class_names()[i];
        let folder = dir.path().join("train").join(class).join("00000");
        fs::create_dir(&folder).unwrap();
        for (number, frame) in clip(&SPEC, Split::Train, i).iter().enumerate() {
            fs::write(folder.join(format!("{}.png", number + 5)), encode_png(frame)).unwrap();
        }
        fs::remove_file(folder.with_extension("avi")).unwrap();
    }
    dir
}

#[test]
fn folders_of_frames_are_clips_beside_videos() {
    let dir = unpacked();
    // Beside the clips of a class, and not in one of them.
    fs::write(dir.path().join("train/left/cover.png"), b"x").unwrap();
    let loader = open(dir.path(), Split::Train, config(2));
    let names: Vec<_> = loader.dataset().samples().iter().map(|sample| sample.place.name()).collect();
    assert_eq!(names.len(), 16);
    let i = names.iter().position(|name| name == Path::new("left/00000")).unwrap();
    assert_eq!(names[i + 1], Path::new("left/00001.avi"));
    assert!(loader.dataset().notices().iter().any(|notice| notice.to_string().contains("1 .png")));
    let label = crate::clips::class_names().iter().position(|&class| class == "left").unwrap();
    let drawn = clip(&SPEC, Split::Train, label);
    let batches: Vec<_> = loader.evaluate(&sampling(3, 2)).unwrap().map(|batch| batch.unwrap()).collect();
    let (indices, images): (Vec<_>, Vec<_>) =
        batches.iter().map(|batch| (batch.indices.clone(), batch.images.to_vec())).unzip();
    let at = indices.concat().iter().position(|&index| index as usize == i).unwrap();
    let len = 3 * 16 * 16 * 3;
    // `5.png` to `10.png`, of which the middle is taken.
    assert_eq!(shown(&images.concat()[at * len..(at + 1) * len], &drawn), [0, 2, 4]);
    let hash = loader.dataset().hash();
    fs::write(dir.path().join("train/left/00000/7.png"), b"").unwrap();
    let loader = open(dir.path(), Split::Train, config(2));
    assert_ne!(loader.dataset().hash(), hash);
    let n: usize = loader.evaluate(&sampling(3, 2)).unwrap().map(|batch| batch.unwrap().n).sum();
    assert_eq!(
        (n, loader.broken_files()[0].to_string().as_str()),
        (15, "left/00000: 7.png: the file is empty")
    );
}

#[test]
fn a_list_may_name_folders_of_frames() {
    let dir = unpacked();
    fs::write(dir.path().join("few.txt"), "train/left/00000 0\ntrain/right/00001.avi 1\n").unwrap();
    let dataset = Dataset::open_for(Task::Classify, Rank::Clip, dir.path(), "few").unwrap();
    let files = fs::read_dir(dir.path().join("train/left/00000")).unwrap();
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert_eq!(dataset.samples()[0].place.bytes(), bytes);
    let loader = Loader::new(Arc::new(dataset), config(1)).unwrap();
    let batch = loader.evaluate(&sampling(2, 1)).unwrap().next().unwrap().unwrap();
    assert_eq!(batch.n, 2);
}
