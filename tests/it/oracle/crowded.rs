//! Rows that overflow: what a bounded row may forget, and by how much it may be wrong.

use std::collections::BTreeMap;

use impulse::domain::{Id, Query, Record};

use super::carts::CartRule;
use super::compare::{PLACEMENT, feed};
use super::pairs::pairs;
use super::subject::{Honest, Subject};

/// Partners that a row holds.
const ROW_MAX: usize = 100;
/// Relative rounding of weights held as `f32`.
const ROUNDING: f64 = 1e-3;

/// Rows stay within their bound; no kept weight is below the true one, and none is above it by more than the whole
/// weight of the row over its length, nor is anything heavier than that forgotten.
pub(crate) fn stays_within_its_bounds(records: &[Record]) -> Result<(), String> {
    let mut engine = Honest::new(&CartRule::default());
    let (journal, _) = feed(&mut engine, records)?;
    let pairs = pairs(&journal);
    let view = engine.view();
    let mut sources: Vec<&Id> = pairs.sessions.keys().collect();
    sources.sort_by(|a, b| pairs.n(b).total_cmp(&pairs.n(a)));
    for a in sources.into_iter().take(2) {
        let query = Query {
            placement: PLACEMENT.into(),
            context_items: vec![a.clone()],
            limit: 10,
            ..Query::default()
        };
        let mut kept: BTreeMap<&Id, f64> = BTreeMap::new();
        for c in pairs.sessions.keys().filter(|c| *c != a) {
            let explanation = view.explain(&query, c).map_err(|error| error.to_string())?;
            let terms = explanation.ok_or_else(|| format!("{c} is unknown"))?.terms;
            if let Some(term) = terms.iter().find(|term| term.source == *a) {
                let factor = pairs.n(a) / term.source_sessions;
                kept.insert(c, term.co_occurrence * factor);
            }
        }
        if kept.len() > ROW_MAX {
            return Err(format!("{} partners in the row of {a}", kept.len()));
        }
        let whole: f64 = pairs
            .sessions
            .keys()
            .filter(|c| *c != a)
            .map(|c| pairs.co(a, c))
            .sum();
        // The diagonal may stand in the row and take one of its places.
        let error_max = whole / 99.0 + whole * ROUNDING;
        for c in pairs.sessions.keys().filter(|c| *c != a) {
            let expected = pairs.co(a, c);
            match kept.get(c) {
                Some(found) if *found < expected * (1.0 - ROUNDING) => {
                    return Err(format!("co[{a}][{c}] is {found}, below {expected}"));
                }
                Some(found) if *found > expected + error_max => {
                    return Err(format!("co[{a}][{c}] is {found}, far above {expected}"));
                }
                None if expected > error_max => {
                    return Err(format!("co[{a}][{c}] is forgotten, but was {expected}"));
                }
                Some(_) | None => {}
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Journal, Verdict};
    use super::super::pairs::pairs;
    use super::super::streams::{Plan, stream};
    use super::ROW_MAX;

    #[test]
    fn the_streams_overflow_rows() {
        let mut overflowing = 0;
        for seed in 1..11 {
            let mut journal = Journal::default();
            for record in &stream(seed, Plan::crowded) {
                let verdict = journal.judge(record);
                if matches!(verdict, Verdict::Applied { .. }) {
                    journal.accept(record, &verdict);
                }
            }
            let pairs = pairs(&journal);
            let widest = pairs
                .sessions
                .keys()
                .map(|a| {
                    pairs
                        .together
                        .keys()
                        .filter(|(source, _)| source == a)
                        .count()
                })
                .max();
            overflowing += u32::from(widest > Some(ROW_MAX));
        }
        assert!(overflowing >= 8, "{overflowing} of 10");
    }
}
