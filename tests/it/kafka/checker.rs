//! Judges a deployment by its topics alone: what the events oblige it to say, and what it said.
//!
//! The model knows nothing of the engine but the rule: a cart that lies still for an hour is spoken of once. Each
//! partition has its own time, which its events move; it is complete up to five seconds before the newest of them. An
//! event that is in the topic twice counts once: a broker that is killed may forget what a producer sent, and take it
//! again.

use std::collections::{BTreeMap, BTreeSet};

use super::rig::{Found, Rig};

const WAIT_MS: i64 = 60 * 60_000;
const OUT_OF_ORDERNESS_MS: i64 = 5_000;

/// Everything that can be seen of a deployment from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) events: Vec<Found>,
    pub(crate) triggers: Vec<Found>,
    pub(crate) suppressions: Vec<Found>,
    pub(crate) dead_letters: Vec<Found>,
    pub(crate) late: Vec<Found>,
    pub(crate) commits: Vec<Found>,
    pub(crate) positions: Vec<i64>,
}

impl Observed {
    pub(crate) fn of(rig: &Rig) -> Self {
        Self {
            events: rig.read("events"),
            triggers: rig.read("triggers"),
            suppressions: rig.read("suppressions"),
            dead_letters: rig.read("dead_letters"),
            late: rig.read("late"),
            commits: rig.read("commits"),
            positions: rig.positions(),
        }
    }
}

/// How much was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) events: usize,
    /// Of these, events that the topic holds again.
    pub(crate) repeated: usize,
    pub(crate) triggers: usize,
    pub(crate) suppressions: usize,
    pub(crate) dead_letters: usize,
    pub(crate) transactions: usize,
}

/// What is wrong, one sentence each; how much there was to judge if nothing is.
pub(crate) fn judge(observed: &Observed) -> Result<Judged, Vec<String>> {
    let mut wrong = Vec::new();
    judge_triggers(observed, &mut wrong);
    judge_numbers(observed, &mut wrong);
    judge_dead_letters(observed, &mut wrong);
    judge_transactions(observed, &mut wrong);
    if !observed.late.is_empty() {
        wrong.push(format!(
            "{} late events, and none was sent",
            observed.late.len()
        ));
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Judged {
        events: observed.events.len(),
        repeated: repeated(&observed.events),
        triggers: observed.triggers.len(),
        suppressions: observed.suppressions.len(),
        dead_letters: observed.dead_letters.len(),
        transactions: observed.commits.len(),
    })
}

/// How many events the topic holds again.
fn repeated(events: &[Found]) -> usize {
    let ids = events.iter().filter_map(|event| {
        let id = event.json()["eventId"].as_str()?.to_owned();
        Some((event.partition, id))
    });
    let (all, once) = (ids.clone().count(), ids.collect::<BTreeSet<_>>().len());
    all - once
}

/// As [`judge`], but for what depends on the clock: whether the log agrees with itself.
pub(crate) fn judge_log(observed: &Observed) -> Vec<String> {
    let mut wrong = Vec::new();
    judge_numbers(observed, &mut wrong);
    judge_dead_letters(observed, &mut wrong);
    judge_transactions(observed, &mut wrong);
    wrong
}

/// Partition, kind, shopper and deadline of a trigger record.
type Said = (i32, String, String, i64);

fn judge_triggers(observed: &Observed, wrong: &mut Vec<String>) {
    let mut said = Vec::new();
    let mut ids = BTreeSet::new();
    for found in observed.triggers.iter().chain(&observed.suppressions) {
        let record = found.json();
        let kind = record["kind"].as_str().unwrap_or_default().to_owned();
        let id = record["triggerId"].as_str().unwrap_or_default();
        if id != found.header("ce_id") {
            wrong.push(format!("the id of {record} is not that of its header"));
        }
        if !ids.insert((kind.clone(), id.to_owned())) {
            wrong.push(format!("duplicate: {kind} of {id}"));
        }
        let user = record["userId"].as_str().unwrap_or_default().to_owned();
        let deadline = rfc3339_ms(record["deadline"].as_str().unwrap_or_default());
        said.push((found.partition, kind, user, deadline));
    }
    let mut obliged = Vec::new();
    let partitions: BTreeSet<i32> = observed
        .events
        .iter()
        .map(|event| event.partition)
        .collect();
    for partition in partitions {
        let events = observed.events.iter();
        let mut model = Model::new(partition);
        events
            .filter(|event| event.partition == partition)
            .for_each(|event| model.apply(event));
        obliged.extend(model.finish());
    }
    compare(obliged, said, wrong);
}

fn compare(obliged: Vec<Said>, said: Vec<Said>, wrong: &mut Vec<String>) {
    let mut count: BTreeMap<Said, i64> = BTreeMap::new();
    for one in obliged {
        *count.entry(one).or_default() += 1;
    }
    for one in said {
        *count.entry(one).or_default() -= 1;
    }
    for (one, left) in count {
        if left > 0 {
            wrong.push(format!("lost: {one:?}"));
        }
        if left < 0 {
            wrong.push(format!("phantom or duplicate: {one:?}"));
        }
    }
}

/// The numbers of each partition's trigger records have no gap and do not repeat.
fn judge_numbers(observed: &Observed, wrong: &mut Vec<String>) {
    let mut numbers: BTreeMap<i32, Vec<u64>> = BTreeMap::new();
    for found in observed.triggers.iter().chain(&observed.suppressions) {
        let seq = found.header("impulse-seq").parse().unwrap_or(0);
        numbers.entry(found.partition).or_default().push(seq);
    }
    for (partition, mut numbers) in numbers {
        numbers.sort_unstable();
        let expected: Vec<u64> = (1..=numbers.len() as u64).collect();
        if numbers != expected {
            wrong.push(format!(
                "partition {partition} numbers its records {numbers:?}"
            ));
        }
    }
}

/// Every record that cannot be read is a dead letter once, byte for byte. What the door refused was no record.
fn judge_dead_letters(observed: &Observed, wrong: &mut Vec<String>) {
    let place = |found: &Found| (found.partition, found.key.clone(), found.value.clone());
    let unreadable = observed.events.iter();
    let mut obliged: Vec<_> = unreadable
        .filter(|event| event.value.starts_with(b"poison"))
        .map(place)
        .collect();
    let records = observed.dead_letters.iter();
    let letters: Vec<&Found> = records
        .filter(|letter| letter.header("impulse-source").is_empty())
        .collect();
    let mut buried: Vec<_> = letters.iter().map(|letter| place(letter)).collect();
    obliged.sort();
    buried.sort();
    if obliged != buried {
        wrong.push(format!(
            "{} dead letters for {} records that cannot be read, or not the same",
            buried.len(),
            obliged.len()
        ));
    }
    let events: BTreeMap<(i32, i64), &Found> = observed
        .events
        .iter()
        .map(|event| ((event.partition, event.offset), event))
        .collect();
    for letter in letters {
        let offset: i64 = letter
            .header("__connect.errors.offset")
            .parse()
            .unwrap_or(-1);
        let origin = events.get(&(letter.partition, offset));
        if origin.is_none_or(|event| event.value != letter.value) {
            wrong.push(format!(
                "a dead letter names offset {offset}, which holds something else"
            ));
        }
    }
}

/// Transactions follow each other without a gap, cover every event once, and hold what they say; the group's position
/// is that of the last one.
fn judge_transactions(observed: &Observed, wrong: &mut Vec<String>) {
    let mut outputs: BTreeMap<(i32, &str), i64> = BTreeMap::new();
    for output in [
        &observed.triggers,
        &observed.suppressions,
        &observed.dead_letters,
    ]
    .into_iter()
    .flatten()
    {
        let transaction = (output.partition, output.header("impulse-transaction"));
        *outputs.entry(transaction).or_default() += 1;
    }
    for (partition, position) in (0..).zip(&observed.positions) {
        let mut before = (0, 0, 0, 0);
        for found in observed.commits.iter().filter(|c| c.partition == partition) {
            let record = found.json();
            let number = |name: &str| record[name].as_i64().unwrap_or(-1);
            let (txn, from, to) = (number("txn"), number("from"), number("to"));
            let (epoch, seq_before, seq) = (number("epoch"), number("seq_before"), number("seq"));
            if txn != before.0 + 1 || from != before.1 || seq_before != before.2 || epoch < before.3
            {
                wrong.push(format!(
                    "partition {partition}: after {before:?} comes {record}"
                ));
            }
            before = (txn, to, seq, epoch);
            let sent = number("triggers") + number("suppressions") + number("dead_letters");
            let name = txn.to_string();
            let own = outputs.get(&(partition, name.as_str()));
            let own = own.copied().unwrap_or(0);
            if own != sent + number("repaired") {
                wrong.push(format!(
                    "partition {partition}: transaction {txn} has {own} records: {record}"
                ));
            }
        }
        if before.0 > 0 && *position != before.1 {
            wrong.push(format!(
                "partition {partition}: the group stands at {position}, the last transaction at {}",
                before.1
            ));
        }
    }
}

/// What the events of one partition oblige the deployment to say.
struct Model {
    partition: i32,
    now_ms: i64,
    seen: BTreeSet<String>,
    /// Deadline of each shopper's cart, and whether it can still be spoken of.
    carts: BTreeMap<String, (i64, bool)>,
    said: Vec<Said>,
    /// The newest event takes its effect when time is five seconds past it.
    newest: Option<(String, String)>,
}

impl Model {
    fn new(partition: i32) -> Self {
        Self {
            newest: None,
            partition,
            now_ms: i64::MIN / 2,
            seen: BTreeSet::new(),
            carts: BTreeMap::new(),
            said: Vec::new(),
        }
    }

    fn apply(&mut self, event: &Found) {
        let Ok(event) = serde_json::from_slice::<serde_json::Value>(&event.value) else {
            return;
        };
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        if let Some(id) = event["eventId"].as_str()
            && !self.seen.insert(id.to_owned())
        {
            return;
        }
        if let Some((user, kind)) = self.newest.take() {
            self.settle(user, &kind);
        }
        self.now_ms = event["createdAt"].as_i64().unwrap();
        self.speak();
        self.newest = Some((text("userId"), text("kind")));
    }

    fn settle(&mut self, user: String, kind: &str) {
        let cart = self.carts.get_mut(&user);
        match (kind, cart) {
            ("add_to_cart", None) => {
                self.carts.insert(user, (self.now_ms + WAIT_MS, true));
            }
            ("add_to_cart", Some(cart)) if cart.1 => cart.0 = self.now_ms + WAIT_MS,
            ("purchase", Some((deadline, waits))) => {
                if *waits {
                    let kind = "TRIGGER_KIND_SUPPRESSED".to_owned();
                    self.said
                        .push((self.partition, kind, user.clone(), *deadline));
                }
                self.carts.remove(&user);
            }
            _ => {}
        }
    }

    fn speak(&mut self) {
        let complete_ms = self.now_ms - OUT_OF_ORDERNESS_MS;
        for (user, (deadline, waits)) in &mut self.carts {
            if *waits && *deadline <= complete_ms {
                *waits = false;
                let kind = "TRIGGER_KIND_FIRE".to_owned();
                self.said
                    .push((self.partition, kind, user.clone(), *deadline));
            }
        }
    }

    fn finish(self) -> Vec<Said> {
        self.said
    }
}

/// Milliseconds since 1970 of `2023-11-14T22:13:20.123Z`.
fn rfc3339_ms(text: &str) -> i64 {
    let time: pbjson_types::Timestamp =
        serde_json::from_value(serde_json::Value::String(text.to_owned())).unwrap_or_default();
    time.seconds * 1_000 + i64::from(time.nanos) / 1_000_000
}
