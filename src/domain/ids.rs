//! Names of things and places in logs.

use compact_str::CompactString;

/// An id given by the shop: of a shopper, an item, an event, a session. Up to 24 bytes need no allocation.
pub type Id = CompactString;

/// Longest id accepted, in bytes.
pub const ID_BYTES_MAX: usize = 256;

/// Number of input records applied so far; the position after a record, from 1. 0 is the empty log.
pub type Position = u64;

/// Place in the trigger or dead-letter log, gap-free from 1.
pub type Seq = u64;
