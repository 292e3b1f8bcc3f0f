//! Offline evaluation: how well a ranker foretells the next item of recorded sessions.
//!
//! Two protocols. *Split*: learn from one file, then predict every item of every session of another from the items before
//! it, with or without learning on. *Prequential*: one file, whose first part only teaches; after it every event is
//! predicted, then learned. Each point counts by two rules: the shopper's current item may be recommended, or may not;
//! with the second, a shopper who looks at the same item again is always a miss.
//!
//! All known items compete for each place, and ties go to the item that was seen first.

mod read;
mod ranker;
mod tally;
mod run;
mod report;
mod plot;

pub use self::plot::svg;
pub use self::ranker::{Ranker, RankerKind, UnknownRanker};
pub use self::read::{Format, ItemEvent, Log, ReadError, UnknownFormat};
pub use self::report::{AtCutoff, Percentiles, Report, Rule, Run, Settings};
pub use self::run::{Protocol, evaluate};
