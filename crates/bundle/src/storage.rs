//! Reads and writes whole files: reads are bounded, writes happen completely or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::{Error, Result};

/// Largest file of tensors that is read.
pub(crate) const MAX_FILE_BYTES: u64 = 4 << 30;

/// The error with its path.
pub(crate) fn at(path: &Path, cause: Error) -> Error {
    Error::File { path: path.to_owned(), cause: Box::new(cause) }
}

fn io(action: &'static str) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { action, source }
}

/// The bytes of a regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    // Opening a pipe would wait for its other end.
    let found = std::fs::metadata(path).map_err(io("open"))?;
    if !found.is_file() {
        return Err(Error::NotAFile);
    }
    let file = File::open(path).map_err(io("open"))?;
    let bytes = file.metadata().map_err(io("open"))?.len();
    if bytes > limit {
        return Err(Error::TooLarge { what: "the file", bytes, limit });
    }
    let mut content = Vec::with_capacity(bytes as usize);
    file.take(bytes).read_to_end(&mut content).map_err(io("read"))?;
    Ok(content)
}

/// Writes beside `path`, syncs, renames, and syncs the folder: afterwards there is either the old file or the complete
/// new one.
///
/// # Errors
/// The file cannot be written; the error has the path.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes).map_err(|cause| at(path, cause))
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = create_in(folder).map_err(io("create"))?;
    // The error of the temporary file itself would name it.
    file.as_file_mut().write_all(bytes).map_err(io("write"))?;
    file.as_file().sync_all().map_err(io("sync"))?;
    file.persist(path).map_err(|error| Error::Io { action: "rename", source: error.error })?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("sync the folder of"))
}

/// A file with the permissions of any other, not the owner-only ones of temporary files.
fn create_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(".writing-").tempfile_in(folder)
}
