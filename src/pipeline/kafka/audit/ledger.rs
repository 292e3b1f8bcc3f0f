//! What one partition has written, as it is read back: every transaction must hold what its commit record says.
//!
//! Topics are read at different paces, and the marks that end a transaction reach them one after the other. So nothing is
//! called missing before its time is up and the topic was then read to an end that everything written before lies below.

use std::collections::BTreeMap;

use crate::domain::Seq;
use crate::stream::kafka::{CommitRecord, OutputTopic};

use super::finding::{Finding, Tally};
use super::source::{Since, Source};
use super::transaction::{Look, Transaction};

/// Transactions that wait for their rest.
const TRANSACTIONS_MAX: usize = 4_096;
/// Numbers of trigger records that wait with them.
const NUMBERS_MAX: usize = 200_000;

/// Compares what one partition wrote with what its commit records say.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Of the last commit record.
    txn: u64,
    seq: Seq,
    next: i64,
    open: BTreeMap<u64, Transaction>,
    /// Numbers of trigger records in `open`.
    numbers: usize,
    /// Nothing is said any more of transactions up to this one.
    given_up: u64,
    /// The commit records have a gap: what belongs to what is not known any more.
    is_blind: bool,
    /// Everything that was written up to such a moment has been read.
    reached_ms: BTreeMap<Source, u64>,
    tally: Tally,
}

impl Ledger {
    pub(super) fn new(since: &Since) -> Self {
        Self {
            txn: since.txn,
            seq: since.seq,
            next: since.next,
            open: BTreeMap::new(),
            numbers: 0,
            given_up: 0,
            is_blind: false,
            reached_ms: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// A record of an output topic was read; `seq` is its number, if records of its topic have one.
    pub(super) fn output(&mut self, topic: OutputTopic, txn: u64, seq: Option<Seq>, now_ms: u64) {
        if self.is_blind || txn > 0 && txn <= self.given_up {
            return;
        }
        if txn <= self.txn && !self.open.contains_key(&txn) {
            // Nothing is missing in it, or it was before reading back began.
            self.tally.found(Finding::Extra, txn, || {
                format!("{topic:?} holds a record besides those of transaction {txn}")
            });
            return;
        }
        let open = self.open.entry(txn);
        let open = open.or_insert_with(|| Transaction::new(now_ms));
        self.numbers += usize::from(open.output(topic, seq));
        self.look(txn);
        self.hold_limits();
    }

    /// A commit record was read.
    pub(super) fn commit(&mut self, record: &CommitRecord, now_ms: u64) {
        if self.is_blind {
            self.unaudited(record.txn, "after a gap in the commit records");
            return;
        }
        // Retention may have removed events before anybody read them: what is skipped is no matter of this log.
        let follows = record.txn == self.txn.saturating_add(1)
            && record.seq_before == self.seq
            && record.from >= self.next;
        if !follows {
            let last = (self.txn, self.seq, self.next);
            self.gap(record.txn, || {
                format!(
                    "after transaction, number and offset {last:?} comes {:?}",
                    (record.txn, record.seq_before, record.from)
                )
            });
            return;
        }
        (self.txn, self.seq, self.next) = (record.txn, record.seq, record.to);
        if record.txn <= self.given_up {
            return;
        }
        let open = self.open.entry(record.txn);
        let open = open.or_insert_with(|| Transaction::new(now_ms));
        open.commit(record, now_ms);
        self.look(record.txn);
        self.hold_limits();
    }

    /// A record of the commits topic was read that is no commit record.
    pub(super) fn unreadable(&mut self, why: &str) {
        if !self.is_blind {
            self.gap(self.txn, || format!("no commit record: {why}"));
        }
    }

    /// The brokers no longer hold what was to be read next.
    pub(super) fn cut_off(&mut self) {
        self.tally.found(Finding::Missing, self.txn, || {
            "the brokers no longer hold what was to be read back next".to_owned()
        });
    }

    /// Whether something is overdue that can only be decided once this source was read to its end.
    pub(super) fn waits_for(&self, source: Source, now_ms: u64) -> bool {
        let reached = self.reached(source);
        self.open.values().any(|open| {
            let due = open.due_ms();
            due <= now_ms && reached < due && open.waits_for(source)
        })
    }

    /// Everything that this source held at that time has been read.
    pub(super) fn reached_end(&mut self, source: Source, at_ms: u64) {
        let reached = self.reached_ms.entry(source).or_default();
        *reached = at_ms.max(*reached);
    }

    /// What came out since this was last asked.
    pub(super) fn judge(&mut self, now_ms: u64) -> Tally {
        let overdue: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, open)| self.is_overdue(open, now_ms))
            .map(|(txn, _)| *txn)
            .collect();
        for txn in overdue {
            let Some(open) = self.close(txn) else {
                continue;
            };
            let (found, wanted) = open.counts();
            if open.is_committed() {
                self.tally.found(Finding::Missing, txn, || {
                    format!("transaction {txn} has {found} of its {wanted} records")
                });
            } else {
                self.tally.found(Finding::Extra, txn, || {
                    format!("transaction {txn} has no commit record, and {found} records")
                });
            }
        }
        std::mem::take(&mut self.tally)
    }

    fn reached(&self, source: Source) -> u64 {
        self.reached_ms.get(&source).copied().unwrap_or(0)
    }

    fn is_overdue(&self, open: &Transaction, now_ms: u64) -> bool {
        let due = open.due_ms();
        let mut sources = Source::ALL
            .into_iter()
            .filter(|source| open.waits_for(*source));
        due <= now_ms && sources.all(|source| self.reached(source) >= due)
    }

    /// Whether a transaction is complete now.
    fn look(&mut self, txn: u64) {
        let look = self.open.get(&txn).map_or(Look::Waits, Transaction::look);
        match look {
            Look::Waits => {}
            Look::Whole => {
                self.close(txn);
                self.tally.whole += 1;
            }
            Look::Wrong(finding) => {
                let (found, wanted) = self.close(txn).map_or((0, 0), |open| open.counts());
                self.tally.found(finding, txn, || {
                    format!("transaction {txn} has {found} records, says {wanted}")
                });
            }
        }
    }

    fn close(&mut self, txn: u64) -> Option<Transaction> {
        let open = self.open.remove(&txn)?;
        self.numbers -= open.numbers();
        Some(open)
    }

    /// The oldest transactions are given up where too much waits.
    fn hold_limits(&mut self) {
        while self.open.len() > TRANSACTIONS_MAX || self.numbers > NUMBERS_MAX {
            let Some(txn) = self.open.keys().next().copied() else {
                return;
            };
            self.close(txn);
            self.given_up = self.given_up.max(txn);
            self.unaudited(txn, "too many transactions wait for their rest");
        }
    }

    fn gap(&mut self, txn: u64, detail: impl FnOnce() -> String) {
        self.tally.found(Finding::Gap, txn, detail);
        self.is_blind = true;
        while let Some((txn, _)) = self.open.pop_first() {
            self.unaudited(txn, "before a gap in the commit records");
        }
        self.numbers = 0;
    }

    fn unaudited(&mut self, txn: u64, why: &str) {
        self.tally.found(Finding::Unaudited, txn, || why.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::super::transaction::GRACE_MS;
    use super::*;

    const LATER_MS: u64 = 2 * GRACE_MS;

    /// A ledger behind transaction 4, which ended with number 10 and offset 100.
    fn ledger() -> Ledger {
        Ledger::new(&Since {
            txn: 4,
            seq: 10,
            next: 100,
            ..Since::default()
        })
    }

    /// A transaction of one trigger, two suppressions and a dead letter.
    fn record(txn: u64) -> CommitRecord {
        let after = txn - 5;
        CommitRecord {
            txn,
            seq_before: 10 + 3 * after,
            seq: 13 + 3 * after,
            from: 100,
            to: 100,
            triggers: 1,
            suppressions: 2,
            dead_letters: 1,
            ..CommitRecord::default()
        }
    }

    /// The outputs of [`record`].
    fn outputs(txn: u64) -> Vec<(OutputTopic, Option<Seq>)> {
        let before = record(txn).seq_before;
        vec![
            (OutputTopic::Suppressions, Some(before + 1)),
            (OutputTopic::Suppressions, Some(before + 3)),
            (OutputTopic::DeadLetters, None),
            (OutputTopic::Triggers, Some(before + 2)),
        ]
    }

    fn write(ledger: &mut Ledger, txn: u64, outputs: &[(OutputTopic, Option<Seq>)]) {
        for (topic, seq) in outputs {
            ledger.output(*topic, txn, *seq, 0);
        }
    }

    fn reach_all(ledger: &mut Ledger, at_ms: u64) {
        for source in Source::ALL {
            ledger.reached_end(source, at_ms);
        }
    }

    fn found(tally: &Tally) -> Vec<(Finding, u64)> {
        let findings = tally.findings.iter();
        findings.map(|(kind, found)| (*kind, found.count)).collect()
    }

    #[test]
    fn a_log_that_agrees_is_whole_whatever_is_read_first() {
        let mut ledger = ledger();
        write(&mut ledger, 5, &outputs(5));
        ledger.commit(&record(5), 0);
        ledger.commit(&record(6), 0);
        write(&mut ledger, 7, &outputs(7));
        write(&mut ledger, 6, &outputs(6));
        ledger.commit(&record(7), 0);
        reach_all(&mut ledger, LATER_MS);
        let tally = ledger.judge(LATER_MS);
        assert_eq!((tally.whole, found(&tally)), (3, vec![]));
        assert_eq!((ledger.open.len(), ledger.numbers), (0, 0));
    }

    #[test]
    fn what_is_missing_is_told_after_the_grace_and_when_its_topic_was_read_to_the_end() {
        let mut ledger = ledger();
        ledger.commit(&record(5), 1_000);
        write(&mut ledger, 5, &outputs(5)[..3]);
        let triggers = Source::Output(OutputTopic::Triggers);
        reach_all(&mut ledger, GRACE_MS);
        assert_eq!(found(&ledger.judge(GRACE_MS)), vec![], "within the grace");
        assert!(!ledger.waits_for(triggers, GRACE_MS));
        assert_eq!(
            found(&ledger.judge(LATER_MS)),
            vec![],
            "the end was reached too early"
        );
        assert!(ledger.waits_for(triggers, LATER_MS));
        assert!(
            !ledger.waits_for(Source::Output(OutputTopic::DeadLetters), LATER_MS),
            "those are all there"
        );
        ledger.reached_end(triggers, LATER_MS);
        assert!(!ledger.waits_for(triggers, LATER_MS));
        let tally = ledger.judge(LATER_MS);
        assert_eq!(found(&tally), [(Finding::Missing, 1)]);
        let missing = &tally.findings[&Finding::Missing];
        assert!(missing.words.contains("3 of its 4"), "{missing:?}");
        assert_eq!((missing.txn, tally.doubt().is_some()), (5, true));
    }

    #[test]
    fn what_comes_within_the_grace_is_whole() {
        let mut ledger = ledger();
        ledger.commit(&record(5), 0);
        write(&mut ledger, 5, &outputs(5)[..3]);
        assert_eq!(ledger.judge(GRACE_MS - 1), Tally::default());
        write(&mut ledger, 5, &outputs(5)[3..]);
        let tally = ledger.judge(GRACE_MS);
        assert_eq!((tally.whole, found(&tally)), (1, vec![]));
    }

    #[test]
    fn an_output_too_many_is_told() {
        let mut ledger = ledger();
        ledger.commit(&record(5), 0);
        write(&mut ledger, 5, &outputs(5));
        write(&mut ledger, 5, &outputs(5)[2..3]);
        write(&mut ledger, 3, &outputs(5)[2..3]);
        write(&mut ledger, 0, &outputs(5)[2..3]);
        let tally = ledger.judge(0);
        assert_eq!((tally.whole, found(&tally)), (1, vec![(Finding::Extra, 3)]));

        write(&mut ledger, 6, &[(OutputTopic::Late, None)]);
        ledger.commit(&record(6), 0);
        assert_eq!(found(&ledger.judge(0)), [(Finding::Extra, 1)]);
    }

    #[test]
    fn an_output_without_a_commit_record_is_told_when_none_can_come_any_more() {
        let mut ledger = ledger();
        write(&mut ledger, 99, &outputs(5)[..1]);
        ledger.commit(&record(5), 0);
        write(&mut ledger, 5, &outputs(5));
        assert!(ledger.waits_for(Source::Commits, GRACE_MS));
        assert_eq!(found(&ledger.judge(LATER_MS)), vec![], "it may still come");
        ledger.reached_end(Source::Commits, GRACE_MS);
        let tally = ledger.judge(LATER_MS);
        assert_eq!((tally.whole, found(&tally)), (0, vec![(Finding::Extra, 1)]));
    }

    #[test]
    fn a_gap_in_the_commit_records_is_told_once_and_nothing_is_judged_after_it() {
        let skipped = record(6);
        let mut other_number = record(5);
        other_number.seq_before = 9;
        let mut goes_back = record(5);
        goes_back.from = 99;
        for odd in [skipped, other_number, goes_back] {
            let mut ledger = ledger();
            write(&mut ledger, 5, &outputs(5)[..1]);
            ledger.commit(&odd, 0);
            ledger.commit(&record(7), 0);
            write(&mut ledger, 7, &outputs(7)[..1]);
            reach_all(&mut ledger, LATER_MS);
            let found = found(&ledger.judge(LATER_MS));
            assert_eq!(found, [(Finding::Gap, 1), (Finding::Unaudited, 2)]);
        }
        let mut ledger = ledger();
        ledger.unreadable("nonsense");
        ledger.unreadable("nonsense");
        let tally = ledger.judge(0);
        assert_eq!(found(&tally), [(Finding::Gap, 1)]);
        assert_eq!(tally.doubt(), None, "a take-over could not be done");
    }

    #[test]
    fn events_that_expired_unread_leave_no_gap() {
        let mut ledger = ledger();
        let mut later = record(5);
        (later.from, later.to) = (150, 160);
        ledger.commit(&later, 0);
        write(&mut ledger, 5, &outputs(5));
        assert_eq!(ledger.judge(0).whole, 1);
    }

    #[test]
    fn what_is_repaired_counts_in_any_topic_with_its_old_number() {
        let mut ledger = ledger();
        let mut repairs = record(5);
        repairs.repaired = 2;
        ledger.commit(&repairs, 0);
        write(&mut ledger, 5, &[(OutputTopic::Triggers, Some(7))]);
        write(&mut ledger, 5, &outputs(5));
        assert_eq!(ledger.judge(0), Tally::default(), "one more is to come");
        write(&mut ledger, 5, &[(OutputTopic::Late, None)]);
        let tally = ledger.judge(0);
        assert_eq!((tally.whole, found(&tally)), (1, vec![]));
        write(&mut ledger, 5, &[(OutputTopic::Late, None)]);
        assert_eq!(found(&ledger.judge(0)), [(Finding::Extra, 1)]);
    }

    #[test]
    fn what_is_torn_leaves_its_numbers_out() {
        let mut ledger = ledger();
        let mut torn = record(5);
        (torn.triggers, torn.torn) = (0, 1);
        ledger.commit(&torn, 0);
        write(&mut ledger, 5, &outputs(5)[..3]);
        let tally = ledger.judge(0);
        assert_eq!((tally.whole, found(&tally)), (1, vec![]));
    }

    #[test]
    fn a_number_outside_or_twice_or_none_is_told() {
        for number in [Some(10), Some(14), Some(11), None] {
            let mut ledger = ledger();
            write(&mut ledger, 5, &outputs(5)[..3]);
            write(&mut ledger, 5, &[(OutputTopic::Triggers, number)]);
            ledger.commit(&record(5), 0);
            let tally = ledger.judge(0);
            let wanted = vec![(Finding::Misnumbered, 1)];
            assert_eq!((tally.whole, found(&tally)), (0, wanted), "{number:?}");
        }
    }

    #[test]
    fn too_much_that_waits_is_given_up_oldest_first() {
        let mut ledger = ledger();
        let count = TRANSACTIONS_MAX as u64 + 7;
        for txn in 5..5 + count {
            write(&mut ledger, txn, &outputs(txn)[..1]);
        }
        assert_eq!(ledger.open.len(), TRANSACTIONS_MAX);
        assert_eq!(ledger.numbers, TRANSACTIONS_MAX);
        for txn in 5..5 + count {
            write(&mut ledger, txn, &outputs(txn)[1..]);
            ledger.commit(&record(txn), 0);
        }
        let tally = ledger.judge(0);
        assert_eq!(found(&tally), [(Finding::Unaudited, 7)]);
        assert_eq!(tally.whole, TRANSACTIONS_MAX as u64);
    }

    #[test]
    fn too_many_numbers_that_wait_are_given_up() {
        let mut ledger = ledger();
        for seq in 0..=NUMBERS_MAX as u64 {
            ledger.output(OutputTopic::Triggers, 5, Some(11 + seq), 0);
        }
        assert_eq!(found(&ledger.judge(0)), [(Finding::Unaudited, 1)]);
        assert_eq!((ledger.open.len(), ledger.numbers), (0, 0));
    }
}
