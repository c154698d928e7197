//! Signatures of file formats, and the formats that need a closer look.
//!
//! Invariant: the first rule that fits decides; rules with little to go by (text, ONNX) come after those with more.

use super::FileKind;

/// Bytes at a place that no other format has there.
const SIGNATURES: &[(usize, &[u8], FileKind)] = &[
    (0, b"version https://git-lfs", FileKind::GitLfsPointer),
    (0, b"\x00\x05\x16\x07", FileKind::AppleDouble),
    (0, b"\xff\xd8\xff", FileKind::Jpeg),
    (0, b"\x89PNG\r\n\x1a\n", FileKind::Png),
    (0, b"GIF87a", FileKind::Gif),
    (0, b"GIF89a", FileKind::Gif),
    (0, b"II*\0", FileKind::Tiff),
    (0, b"MM\0*", FileKind::Tiff),
    (0, b"II+\0", FileKind::Tiff),
    (0, b"MM\0+", FileKind::Tiff),
    (0, b"\xff\x0a", FileKind::JpegXl),
    (0, b"\0\0\0\x0cJXL ", FileKind::JpegXl),
    (0, b"\0\0\0\x0cjP  ", FileKind::Jpeg2000),
    (0, b"\xff\x4f\xff\x51", FileKind::Jpeg2000),
    (0, b"8BPS", FileKind::Psd),
    (0, b"\0\0\x01\0", FileKind::Ico),
    (0, b"\0\0\x02\0", FileKind::Ico),
    (0, b"\x76\x2f\x31\x01", FileKind::OpenExr),
    (0, b"%PDF", FileKind::Pdf),
    (0, b"\x1a\x45\xdf\xa3", FileKind::Video),
    (0, b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
    (0, b"GGUF", FileKind::Gguf),
    (4, b"TFL3", FileKind::TensorFlow),
    (0, b"\x93NUMPY", FileKind::Numpy),
    (0, b"mnpack\0", FileKind::Packed),
    (0, b"PAR1", FileKind::Parquet),
    (0, b"ARROW1", FileKind::Arrow),
    (257, b"ustar", FileKind::Tar),
    (0, b"PK\x05\x06", FileKind::Zip),
    (0, b"\x1f\x8b", FileKind::Gzip),
    (0, b"\xfd7zXZ\0", FileKind::Compressed),
    (0, b"BZh", FileKind::Compressed),
    (0, b"\x28\xb5\x2f\xfd", FileKind::Compressed),
    (0, b"7z\xbc\xaf\x27\x1c", FileKind::Compressed),
    (0, b"Rar!\x1a\x07", FileKind::Compressed),
];

pub(super) fn kind(start: &[u8]) -> FileKind {
    if start.is_empty() {
        return FileKind::Empty;
    }
    if start.iter().all(|&byte| byte == 0) {
        return FileKind::Zeros;
    }
    let has = |&&(at, signature, _): &&(usize, &[u8], FileKind)| {
        start.get(at..).is_some_and(|rest| rest.starts_with(signature))
    };
    let rules = [riff, media, bmp, zip, pickle, text, protobuf];
    let signed = || SIGNATURES.iter().find(has).map(|&(_, _, kind)| kind);
    // Its first two bytes are any number, such as those of gzip or of a pickle.
    safetensors(start)
        .or_else(signed)
        .or_else(|| rules.iter().find_map(|rule| rule(start)))
        .unwrap_or(FileKind::Unknown)
}

fn riff(start: &[u8]) -> Option<FileKind> {
    match (start.get(..4)?, start.get(8..12)?) {
        (b"RIFF", b"WEBP") => Some(FileKind::Webp),
        (b"RIFF", b"AVI ") => Some(FileKind::Video),
        _ => None,
    }
}

/// ISO media files: the `ftyp` box lists brands.
fn media(start: &[u8]) -> Option<FileKind> {
    if start.get(4..8)? != b"ftyp" {
        return None;
    }
    let length = u32::from_be_bytes(*start.first_chunk()?) as usize;
    let brands = start.get(8..length.min(start.len()))?;
    let has =
        |names: &[&[u8; 4]]| brands.chunks_exact(4).any(|brand| names.iter().any(|name| *name == brand));
    // AVIF has the brands of HEIF, too.
    if has(&[b"avif", b"avis"]) {
        Some(FileKind::Avif)
    } else if has(&[b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"]) {
        Some(FileKind::Heic)
    } else {
        Some(FileKind::Video)
    }
}

/// Two letters would be too little: the length of the second header is one of a few.
fn bmp(start: &[u8]) -> Option<FileKind> {
    let header = *start.get(14..)?.first_chunk()?;
    let known = matches!(u32::from_le_bytes(header), 12 | 16 | 40 | 52 | 56 | 64 | 108 | 124);
    (start.starts_with(b"BM") && known).then_some(FileKind::Bmp)
}

/// The name of a zip archive's first entry tells what wrote it.
fn zip(start: &[u8]) -> Option<FileKind> {
    let rest = start.strip_prefix(b"PK\x03\x04")?;
    let Some(length) = rest.get(22..24) else { return Some(FileKind::Zip) };
    let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
    let name = rest.get(26..).unwrap_or_default();
    let name = String::from_utf8_lossy(&name[..length.min(name.len())]);
    let inside = name.split_once('/').map(|(_, inside)| inside);
    Some(match inside {
        Some("constants.pkl") => FileKind::TorchScript,
        Some(inside) if inside.starts_with("code/") || inside.starts_with("constants/") => {
            FileKind::TorchScript
        }
        Some("data.pkl" | "version" | "byteorder" | ".format_version" | ".data/serialization_id") => {
            FileKind::TorchZip
        }
        Some(inside) if inside.starts_with("data/") => FileKind::TorchZip,
        _ if name.ends_with(".npy") => FileKind::NumpyZip,
        _ if name == "metadata.json" || name == "model.weights.h5" => FileKind::Keras,
        _ => FileKind::Zip,
    })
}

/// Protocols 2 to 5 begin with their number; older ones are not told from text.
fn pickle(start: &[u8]) -> Option<FileKind> {
    /// 0x1950a86a20f9469cfc6c as the integer of a pickle.
    const TORCH: &[u8] = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    let [0x80, 2..=5, ..] = start else { return None };
    let torch = start[..start.len().min(32)].windows(TORCH.len()).any(|window| window == TORCH);
    Some(if torch { FileKind::TorchLegacy } else { FileKind::Pickle })
}

/// The length of a JSON header, then the header.
fn safetensors(start: &[u8]) -> Option<FileKind> {
    /// The longest header that the library reads.
    const MAX_HEADER: u64 = 100_000_000;
    let length = u64::from_le_bytes(*start.first_chunk()?);
    let header = start.get(8..).filter(|header| header.starts_with(b"{"))?;
    if length > MAX_HEADER {
        return None;
    }
    let bundle = b"\"mutualnet-bundle\"";
    let is_bundle = header.windows(bundle.len()).any(|window| window == bundle);
    Some(if is_bundle { FileKind::Bundle } else { FileKind::Safetensors })
}

/// UTF-8, cut off anywhere, or UTF-16 with its mark.
fn text(start: &[u8]) -> Option<FileKind> {
    if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        return Some(FileKind::Text);
    }
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // A character of several bytes may be cut off at the end.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return pnm(start),
    };
    if text.is_empty() || text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()) {
        return pnm(start);
    }
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let lower = text.to_ascii_lowercase();
    let begins = |tags: &[&str]| tags.iter().any(|tag| lower.starts_with(tag));
    let kind = if begins(&["<!doctype html", "<html", "<head", "<body", "<script", "<title"]) {
        FileKind::Html
    } else if begins(&["<?xml", "<!--", "<svg", "<!doctype svg"]) {
        match lower.contains("<svg") {
            true => FileKind::Svg,
            false if lower.contains("<html") => FileKind::Html,
            false => FileKind::Xml,
        }
    } else if begins(&["{", "[{", "[\""]) {
        FileKind::Json
    } else if text.lines().any(is_recipe_line) {
        FileKind::Recipe
    } else {
        return pnm(start).or(Some(FileKind::Text));
    };
    Some(kind)
}

/// A section of a recipe, or a key with its section.
fn is_recipe_line(line: &str) -> bool {
    let line = line.trim();
    let key = line.strip_prefix('[').unwrap_or(line);
    let section = ["network", "data", "train"].iter().find_map(|section| key.strip_prefix(section));
    match section {
        Some(rest) if line.starts_with('[') => rest.starts_with([']', '.']),
        Some(rest) => rest.starts_with('.') && rest.contains('='),
        None => false,
    }
}

/// `P` and a digit, white space, and the number of columns or a comment.
fn pnm(start: &[u8]) -> Option<FileKind> {
    let [b'P', b'1'..=b'7', space, rest @ ..] = start else { return None };
    let after = rest.iter().find(|byte| !byte.is_ascii_whitespace())?;
    let is_pnm = space.is_ascii_whitespace() && (after.is_ascii_digit() || matches!(after, b'#' | b'W'));
    is_pnm.then_some(FileKind::Pnm)
}

/// ONNX and TensorFlow both begin with a small version, as field 1, and then differ.
fn protobuf(start: &[u8]) -> Option<FileKind> {
    /// Tag of a number as field 1.
    const VERSION: u8 = 0x08;
    /// Tag of bytes as field 2: ONNX has the producer's name there, TensorFlow a graph.
    const SECOND: u8 = 0x12;
    /// ONNX without a producer: its version, the domain, the graph or the operator set.
    const LATER: [u8; 4] = [0x1a, 0x22, 0x3a, 0x42];
    let &[VERSION, version @ 1..=32, tag, length, ref rest @ ..] = start else { return None };
    let name = &rest[..rest.len().min(length.into())];
    match tag {
        SECOND if name.iter().all(|byte| (b' '..=b'~').contains(byte)) => Some(FileKind::Onnx),
        SECOND if version == 1 => Some(FileKind::TensorFlow),
        tag if LATER.contains(&tag) => Some(FileKind::Onnx),
        _ => None,
    }
}
