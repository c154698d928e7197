//! Beginnings of files as programs write them.

use super::*;

/// A zip archive's first local header, up to the name of the entry.
fn zip(name: &str) -> Vec<u8> {
    let mut start = b"PK\x03\x04".to_vec();
    start.resize(26, 0);
    start.extend((name.len() as u16).to_le_bytes());
    start.extend([0, 0]);
    start.extend(name.as_bytes());
    start.extend(b"content");
    start
}

/// A safetensors file with this header.
fn safetensors(header: &str) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes()].concat()
}

/// The `ftyp` box of an ISO media file.
fn media(brands: &[u8]) -> Vec<u8> {
    [&(8 + brands.len() as u32).to_be_bytes(), b"ftyp".as_slice(), brands, b"moredata"].concat()
}

fn tar() -> Vec<u8> {
    let mut start = b"train/0001.jpg".to_vec();
    start.resize(257, 0);
    start.extend(b"ustar\0");
    start
}

fn bmp() -> Vec<u8> {
    [b"BM\xf6\x12\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".as_slice(), &[0; 40]].concat()
}

#[test]
fn kinds_by_their_beginnings() {
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    let bundle = safetensors(r#"{"__metadata__":{"format":"mutualnet-bundle","format_version":"1"}}"#);
    let cases: &[(&[u8], FileKind)] = &[
        (b"", FileKind::Empty),
        (&[0; 600], FileKind::Zeros),
        (lfs, FileKind::GitLfsPointer),
        (b"<!DOCTYPE html><html><title>Google Drive</title>", FileKind::Html),
        (b"\xef\xbb\xbf\n <HTML lang=en>", FileKind::Html),
        (b"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", FileKind::Html),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", FileKind::Xml),
        (b"<?xml version='1.0'?>\n<svg width='1'>", FileKind::Svg),
        (b"{\"error\": \"rate limit\"}", FileKind::Json),
        (b"# my recipe\n[network]\nname = \"resnet18\"\n", FileKind::Recipe),
        (b"train.epochs = 3\n", FileKind::Recipe),
        (b"trained with epochs = 3\n", FileKind::Text),
        ("Grüße".as_bytes(), FileKind::Text),
        (&"Grüße".as_bytes()[..3], FileKind::Text),
        (b"\xff\xfeh\0i\0", FileKind::Text),
        (b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ", FileKind::AppleDouble),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", FileKind::Jpeg),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", FileKind::Png),
        (b"RIFF\x24\0\0\0WEBPVP8 ", FileKind::Webp),
        (b"RIFF\x24\0\0\0AVI LIST", FileKind::Video),
        (b"RIFF\x24\0\0\0WAVEfmt ", FileKind::Unknown),
        (&media(b"heic\0\0\0\0mif1heic"), FileKind::Heic),
        (&media(b"mif1\0\0\0\0mif1avif"), FileKind::Avif),
        (&media(b"isom\0\0\0\0isomavc1"), FileKind::Video),
        (b"GIF87a(\0(\0", FileKind::Gif),
        (b"GIF89a(\0(\0", FileKind::Gif),
        (&bmp(), FileKind::Bmp),
        (b"BMW is a maker of cars", FileKind::Text),
        (b"II*\0\x08\0\0\0", FileKind::Tiff),
        (b"MM\0*\0\0\0\x08", FileKind::Tiff),
        (b"\xff\x0a\xfa\x1f", FileKind::JpegXl),
        (b"\0\0\0\x0cjP  \r\n\x87\n", FileKind::Jpeg2000),
        (b"8BPS\0\x01", FileKind::Psd),
        (b"P6\n640 480\n255\n\xff\xfe", FileKind::Pnm),
        (b"P5\n# made by GIMP\n", FileKind::Pnm),
        (b"P6 is a chip", FileKind::Text),
        (b"\0\0\x01\0\x01\0\x10\x10", FileKind::Ico),
        (b"%PDF-1.7\n", FileKind::Pdf),
        (b"\x1a\x45\xdf\xa3\x01", FileKind::Video),
        (&bundle, FileKind::Bundle),
        (&safetensors(r#"{"fc.bias":{"dtype":"F32","shape":[2],"#), FileKind::Safetensors),
        (b"\x0f\xff\xff\xff\xff\0\0\0{\"a\":", FileKind::Unknown),
        // Lengths of headers that are the beginnings of other formats.
        (b"\x80\x02\0\0\0\0\0\0{\"a\":", FileKind::Safetensors),
        (b"\x1f\x8b\0\0\0\0\0\0{\"a\":", FileKind::Safetensors),
        (&zip("archive/data.pkl"), FileKind::TorchZip),
        (&zip("best.pt/data/0"), FileKind::TorchZip),
        (&zip("scripted/code/__torch__/net.py"), FileKind::TorchScript),
        (&zip("scripted/constants.pkl"), FileKind::TorchScript),
        (&zip("arr_0.npy"), FileKind::NumpyZip),
        (&zip("metadata.json"), FileKind::Keras),
        (&zip("photos/1.jpg"), FileKind::Zip),
        (b"PK\x03\x04", FileKind::Zip),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.", FileKind::TorchLegacy),
        (b"\x80\x04\x95\x0b\0\0\0\0\0\0\0}", FileKind::Pickle),
        (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", FileKind::Onnx),
        (b"\x08\x0a\x3a\x80\x10", FileKind::Onnx),
        (b"\x08\x01\x12\x80\x02\x0a\x10", FileKind::TensorFlow),
        (b"\x20\0\0\0TFL3\0\0", FileKind::TensorFlow),
        (b"\x89HDF\r\n\x1a\n\0\0", FileKind::Hdf5),
        (b"GGUF\x03\0\0\0", FileKind::Gguf),
        (b"\x93NUMPY\x01\0v\0{", FileKind::Numpy),
        (b"mnpack\0\x01", FileKind::Packed),
        (b"PAR1\x15\x04", FileKind::Parquet),
        (b"ARROW1\0\0", FileKind::Arrow),
        (&tar(), FileKind::Tar),
        (b"\x1f\x8b\x08\0", FileKind::Gzip),
        (b"BZh91AY", FileKind::Compressed),
        (b"\x7fELF\x02\x01\x01", FileKind::Unknown),
    ];
    for (start, kind) in cases {
        assert_eq!(FileKind::of(start), *kind, "{:?}", String::from_utf8_lossy(start));
    }
}

#[test]
fn what_lies_behind_the_start_does_not_count() {
    let mut long = vec![b' '; FileKind::START_BYTES];
    long.extend(b"\0\xff");
    assert_eq!(FileKind::of(&long), FileKind::Text);
    long[FileKind::START_BYTES - 1] = 0;
    assert_eq!(FileKind::of(&long), FileKind::Unknown);
}

#[test]
fn hints_depend_on_what_was_wanted() {
    let hint = |kind: FileKind, wanted| kind.hint(wanted).unwrap_or_default();
    for wanted in [Wanted::Image, Wanted::Video, Wanted::Checkpoint, Wanted::Bundle, Wanted::Recipe] {
        assert!(hint(FileKind::GitLfsPointer, wanted).contains("git lfs pull"));
    }
    assert!(hint(FileKind::Heic, Wanted::Image).contains("magick"));
    assert!(hint(FileKind::Bundle, Wanted::Image).contains("predict model.mnb photo.jpg"));
    assert!(hint(FileKind::Png, Wanted::Bundle).contains("predict model.mnb photo.jpg"));
    assert!(hint(FileKind::TorchZip, Wanted::Bundle).contains("mutualnet import"));
    assert!(hint(FileKind::TorchScript, Wanted::Checkpoint).contains("torch.jit.load"));
    assert!(hint(FileKind::Onnx, Wanted::Checkpoint).contains("state_dict"));
    assert_eq!(FileKind::Unknown.hint(Wanted::Image), None);
}

proptest::proptest! {
    #[test]
    fn any_bytes_have_a_kind_and_a_cut_beginning_too(
        start in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..1100),
    ) {
        assert!(!FileKind::of(&start).name().is_empty());
    }

    #[test]
    fn signatures_cut_off_anywhere(cut in 0_usize..300) {
        for whole in [zip("archive/data.pkl"), media(b"heic\0\0\0\0mif1heic"), bmp(), tar(), safetensors("{")] {
            let _ = FileKind::of(&whole[..cut.min(whole.len())]);
        }
    }
}
