//! File kinds: what a file is, recognized from its first bytes.
//!
//! Images, checkpoints and bundles are refused with the same names and remedies, so the table is here, once.
//! Invariant: a pure function of the bytes, which never fails; a kind says what a file looks like, not that it is whole.

mod recognize;

/// What a file looks like from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// No bytes at all.
    Empty,
    /// Nothing but zero bytes.
    Zeros,
    /// What Git checks out in place of a large file that has not been downloaded.
    GitLfsPointer,
    /// A web page.
    Html,
    /// XML that is neither a web page nor a drawing.
    Xml,
    /// JSON text.
    Json,
    /// A recipe of ours.
    Recipe,
    /// Any other text.
    Text,
    /// What macOS puts beside a file on a foreign file system (`._photo.jpg`).
    AppleDouble,
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
    /// HEIC or HEIF, as iPhones take them.
    Heic,
    /// AVIF.
    Avif,
    /// GIF.
    Gif,
    /// BMP.
    Bmp,
    /// TIFF, or the raw file of a camera, which is built like one.
    Tiff,
    /// JPEG XL.
    JpegXl,
    /// JPEG 2000.
    Jpeg2000,
    /// Photoshop.
    Psd,
    /// SVG.
    Svg,
    /// PBM, PGM, PPM and their relatives.
    Pnm,
    /// An icon or cursor of Windows.
    Ico,
    /// OpenEXR.
    OpenExr,
    /// PDF.
    Pdf,
    /// MP4, QuickTime, Matroska, WebM or AVI.
    Video,
    /// A bundle of ours.
    Bundle,
    /// Tensors in a safetensors file.
    Safetensors,
    /// A checkpoint of PyTorch since 1.6.
    TorchZip,
    /// A checkpoint of PyTorch before 1.6.
    TorchLegacy,
    /// A TorchScript archive.
    TorchScript,
    /// A Python pickle.
    Pickle,
    /// An ONNX model.
    Onnx,
    /// A TensorFlow SavedModel or a TensorFlow Lite model.
    TensorFlow,
    /// A Keras model since version 3.
    Keras,
    /// HDF5, which older versions of Keras write.
    Hdf5,
    /// GGUF.
    Gguf,
    /// A NumPy array.
    Numpy,
    /// A zip archive of NumPy arrays.
    NumpyZip,
    /// A packed data set of ours.
    Packed,
    /// Parquet.
    Parquet,
    /// An Arrow file.
    Arrow,
    /// A tar archive.
    Tar,
    /// Any other zip archive.
    Zip,
    /// Compressed with gzip.
    Gzip,
    /// Compressed with xz, bzip2, Zstandard, 7-Zip or RAR.
    Compressed,
    /// None of these.
    Unknown,
}

/// What a file was supposed to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// An image to be decoded.
    Image,
    /// A video to be decoded.
    Video,
    /// A checkpoint to be imported.
    Checkpoint,
    /// A bundle to be run.
    Bundle,
    /// A recipe to be trained.
    Recipe,
}

impl FileKind {
    /// How many bytes of a file [`Self::of`] looks at; more do no harm.
    pub const START_BYTES: usize = 1024;

    /// The kind of a file that begins with these bytes.
    pub fn of(start: &[u8]) -> Self {
        recognize::kind(&start[..start.len().min(Self::START_BYTES)])
    }

    /// Whether it is an image, of a format that is read or not.
    pub fn is_image(self) -> bool {
        matches!(
            self,
            Self::Jpeg
                | Self::Png
                | Self::Webp
                | Self::Heic
                | Self::Avif
                | Self::Gif
                | Self::Bmp
                | Self::Tiff
                | Self::JpegXl
                | Self::Jpeg2000
                | Self::Psd
                | Self::Svg
                | Self::Pnm
                | Self::Ico
                | Self::OpenExr
        )
    }

    /// Whether it is a model or the weights of one, other than a bundle.
    pub fn is_model(self) -> bool {
        matches!(
            self,
            Self::Safetensors
                | Self::TorchZip
                | Self::TorchLegacy
                | Self::TorchScript
                | Self::Pickle
                | Self::Onnx
                | Self::TensorFlow
                | Self::Keras
                | Self::Hdf5
                | Self::Gguf
                | Self::Numpy
                | Self::NumpyZip
        )
    }

    /// The name with its article, as in "this is a Git LFS pointer".
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "an empty file",
            Self::Zeros => "a file of zero bytes only",
            Self::GitLfsPointer => "a Git LFS pointer",
            Self::Html => "an HTML page",
            Self::Xml => "an XML document",
            Self::Json => "a JSON file",
            Self::Recipe => "a recipe",
            Self::Text => "a text file",
            Self::AppleDouble => "macOS metadata (AppleDouble)",
            Self::Jpeg => "a JPEG image",
            Self::Png => "a PNG image",
            Self::Webp => "a WebP image",
            Self::Heic => "a HEIC image",
            Self::Avif => "an AVIF image",
            Self::Gif => "a GIF image",
            Self::Bmp => "a BMP image",
            Self::Tiff => "a TIFF image",
            Self::JpegXl => "a JPEG XL image",
            Self::Jpeg2000 => "a JPEG 2000 image",
            Self::Psd => "a Photoshop document",
            Self::Svg => "an SVG drawing",
            Self::Pnm => "a PNM image",
            Self::Ico => "a Windows icon",
            Self::OpenExr => "an OpenEXR image",
            Self::Pdf => "a PDF document",
            Self::Video => "a video",
            Self::Bundle => "a MutualNet bundle",
            Self::Safetensors => "a safetensors file",
            Self::TorchZip | Self::TorchLegacy => "a PyTorch checkpoint",
            Self::TorchScript => "a TorchScript archive",
            Self::Pickle => "a Python pickle",
            Self::Onnx => "an ONNX model",
            Self::TensorFlow => "a TensorFlow model",
            Self::Keras => "a Keras model",
            Self::Hdf5 => "an HDF5 file",
            Self::Gguf => "a GGUF model",
            Self::Numpy => "a NumPy array",
            Self::NumpyZip => "a NumPy archive",
            Self::Packed => "a packed data set",
            Self::Parquet => "a Parquet file",
            Self::Arrow => "an Arrow file",
            Self::Tar => "a tar archive",
            Self::Zip => "a zip archive",
            Self::Gzip => "a gzip-compressed file",
            Self::Compressed => "a compressed archive",
            Self::Unknown => "a file of unknown format",
        }
    }

    /// What to do about a file of this kind where another one was wanted.
    ///
    /// `None` when nothing better can be said than that it is something else.
    pub fn hint(self, wanted: Wanted) -> Option<&'static str> {
        let file = match self {
            Self::Empty | Self::Zeros => "the download or copy did not finish: fetch the file again",
            Self::GitLfsPointer => "`git lfs pull` downloads the file that the pointer stands for",
            Self::Html => {
                "the server sent a web page instead of the file: download it again by its direct link"
            }
            Self::Xml | Self::Json if wanted != Wanted::Recipe => {
                "if this is a download, the server may have sent an error message: open it in a text editor"
            }
            Self::AppleDouble => "delete it: it belongs to the file of the same name without `._`",
            Self::Gzip | Self::Compressed => "unpack it first",
            Self::Tar | Self::Zip if wanted != Wanted::Checkpoint => "unpack it first",
            _ => return self.hint_for(wanted),
        };
        Some(file)
    }

    /// What to do about a whole file that has another purpose.
    fn hint_for(self, wanted: Wanted) -> Option<&'static str> {
        let hint = match (wanted, self) {
            (Wanted::Image, Self::Bundle) => {
                "the bundle comes first: `mutualnet predict model.mnb photo.jpg`"
            }
            (Wanted::Image, Self::Pdf) => "convert the page to PNG: `pdftoppm -png document.pdf page`",
            (Wanted::Image, Self::Video) => "take its frames as images: `ffmpeg -i video.mp4 frame-%05d.jpg`",
            (Wanted::Image, kind) if kind.is_image() => {
                "convert it to JPEG, PNG or WebP, for example with ImageMagick: `magick INPUT output.png`"
            }
            (Wanted::Video, Self::Bundle) => "the bundle comes first: `mutualnet predict model.mnb clip.mp4`",
            (Wanted::Video, kind) if kind.is_image() => {
                "a folder with an image for every frame is a clip too; a single image is none"
            }
            (Wanted::Bundle, kind) if kind.is_image() => {
                "the bundle comes first: `mutualnet predict model.mnb photo.jpg`"
            }
            (Wanted::Bundle, Self::Recipe) => {
                "`mutualnet train` trains a recipe, `mutualnet tabulate` writes the bundle of the run"
            }
            (Wanted::Bundle, Self::Safetensors | Self::TorchZip | Self::TorchLegacy) => {
                "weights become a bundle by training: `mutualnet import` them, name the result in `train.init` of a \
                 recipe, then `mutualnet train` and `mutualnet tabulate`"
            }
            (Wanted::Bundle, kind) if kind.is_model() => {
                "`mutualnet tabulate` writes a bundle from a training run; no other format of models is read"
            }
            (Wanted::Checkpoint, Self::Bundle) => {
                "a bundle needs no import: `mutualnet predict` runs it, and `train.init` starts from it"
            }
            (Wanted::Checkpoint, Self::TorchScript) => {
                "load it in Python and save the weights: \
                 `torch.save(torch.jit.load(\"model.pt\").state_dict(), \"weights.pt\")`"
            }
            (Wanted::Checkpoint, kind) if kind.is_model() => {
                "save the weights from PyTorch with `torch.save(model.state_dict(), \"weights.pt\")`, or as safetensors"
            }
            (Wanted::Checkpoint, Self::Recipe) => "give the checkpoint: `mutualnet import model.pt`",
            (Wanted::Recipe, Self::Bundle) => "`mutualnet predict` and `mutualnet table` read a bundle",
            (Wanted::Recipe, kind) if kind.is_model() => "a recipe names weights in `train.init`",
            _ => return None,
        };
        Some(hint)
    }
}

#[cfg(test)]
mod tests;
