//! A directory that is gone when the demo is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;

/// Attempts at a name nobody has.
const ATTEMPTS_MAX: u32 = 100;

/// The demo's data directory.
#[derive(Debug)]
pub(super) enum DataDir {
    /// Given by the user; stays.
    Given(PathBuf),
    /// Ours; removed with its content when this is dropped.
    Scratch(PathBuf),
}

impl DataDir {
    /// `given`, or a new directory of our own under that for temporary files.
    ///
    /// # Errors
    ///
    /// If none can be made, or the given one holds something: the demo's shop begins empty.
    pub(super) fn open(given: Option<&Path>) -> io::Result<Self> {
        if let Some(given) = given {
            refuse_used(given)?;
            return Ok(Self::Given(given.to_owned()));
        }
        let base = std::env::temp_dir();
        for attempt in 0..ATTEMPTS_MAX {
            let path = base.join(format!("impulse-demo-{}-{attempt}", process::id()));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self::Scratch(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Given(path) | Self::Scratch(path) => path,
        }
    }
}

fn refuse_used(path: &Path) -> io::Result<()> {
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if entries.next().is_none() {
        return Ok(());
    }
    let path = path.display();
    Err(io::Error::new(
        io::ErrorKind::DirectoryNotEmpty,
        format!("{path} is not empty; the demo begins with an empty one"),
    ))
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if let Self::Scratch(path) = self
            && let Err(error) = fs::remove_dir_all(&*path)
        {
            tracing::warn!(path = %path.display(), %error, "the demo's directory stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DataDir;

    #[test]
    fn a_scratch_directory_is_new_and_goes_away() {
        let first = DataDir::open(None).unwrap();
        let second = DataDir::open(None).unwrap();
        assert_ne!(first.path(), second.path());
        let path = first.path().to_owned();
        std::fs::write(path.join("file"), "x").unwrap();
        assert!(path.is_dir());
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_given_directory_stays() {
        let given = tempfile::tempdir().unwrap();
        drop(DataDir::open(Some(given.path())).unwrap());
        assert!(given.path().is_dir());
    }

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let given = tempfile::tempdir().unwrap();
        assert!(DataDir::open(Some(&given.path().join("new"))).is_ok());
        std::fs::write(given.path().join("file"), "x").unwrap();
        let refused = DataDir::open(Some(given.path())).unwrap_err();
        assert!(refused.to_string().contains("is not empty"), "{refused}");
    }
}
