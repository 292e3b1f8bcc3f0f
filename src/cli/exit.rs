//! Exit codes, as in sysexits.

use std::fmt;

/// What was compared differs.
#[cfg(feature = "kafka")]
pub(crate) const DIFFERENT: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// Data that cannot be used.
pub(crate) const DATA: u8 = 65;
/// A file that is not there or cannot be opened.
pub(crate) const NO_INPUT: u8 = 66;
/// A server that cannot be reached or does not answer.
pub(crate) const UNAVAILABLE: u8 = 69;
/// A bug of ours.
pub(crate) const SOFTWARE: u8 = 70;
/// Something cannot be created.
pub(crate) const CANNOT_CREATE: u8 = 73;
/// Reading or writing failed.
pub(crate) const IO: u8 = 74;
/// Settings that are wrong.
pub(crate) const CONFIG: u8 = 78;

/// Why a command did not do what it should.
#[derive(Debug)]
pub struct Failure {
    /// What the process exits with.
    pub code: u8,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        Self {
            code,
            message: message.to_string(),
        }
    }

    /// An exit code that is an answer: all was said on standard output.
    #[cfg(feature = "kafka")]
    pub(crate) fn silent(code: u8) -> Self {
        Self::new(code, "")
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // A closed pipe is how a reader says that it has enough.
        let code = if error.kind() == std::io::ErrorKind::BrokenPipe {
            0
        } else {
            IO
        };
        Self::new(code, error)
    }
}
