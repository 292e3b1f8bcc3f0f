//! Which trace an event belongs to.

use std::fmt;

/// A `traceparent` of W3C Trace Context, version 00: whoever handles what an event causes can go on with its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traceparent {
    /// The trace; not all zero.
    pub trace_id: [u8; 16],
    /// The span within it; not all zero.
    pub span_id: [u8; 8],
    /// Such as whether it is sampled.
    pub flags: u8,
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        for byte in self.trace_id {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("-")?;
        for byte in self.span_id {
            write!(f, "{byte:02x}")?;
        }
        write!(f, "-{:02x}", self.flags)
    }
}
