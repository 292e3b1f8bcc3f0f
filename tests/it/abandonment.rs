//! Abandoned carts of a real shop, counted straight from its file, beside what the engine fires.

use std::{collections::BTreeMap, fs, path::Path};

use impulse::domain::HOUR_MS;

/// The rule's wait, as in `topology/triggers.yaml`.
const WAIT_MS: i64 = HOUR_MS;

/// A cart that was left: visitor, when it was due, what it held, first added first.
type Abandonment = (String, i64, Vec<String>);

/// Every abandoned cart of a file in `RetailRocket`'s layout, by deadline, then visitor.
///
/// After the last line comes silence, so whatever waits then is due.
fn expected_abandonments(path: &Path, wait_ms: i64) -> Vec<Abandonment> {
    let text = fs::read_to_string(path).unwrap();
    let mut visitors: BTreeMap<&str, Vec<(i64, &str, &str)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [time, visitor, event, item, ..] = fields[..] else {
            panic!("not an event: {line}")
        };
        visitors
            .entry(visitor)
            .or_default()
            .push((time.parse().unwrap(), event, item));
    }
    let mut found = Vec::new();
    for (visitor, mut events) in visitors {
        events.sort_by_key(|(time, _, _)| *time);
        let mut cart: Vec<String> = Vec::new();
        // When the cart in hand is due; `None` once it was.
        let mut deadline = None;
        for (time, event, item) in events {
            if let Some(due) = deadline.filter(|due| *due < time) {
                found.push((visitor.to_owned(), due, cart.clone()));
                deadline = None;
            }
            if event == "addtocart" {
                if cart.is_empty() || deadline.is_some() {
                    deadline = Some(time + wait_ms);
                }
                if !cart.iter().any(|held| held == item) {
                    cart.push(item.to_owned());
                }
            } else if event == "transaction" {
                cart.clear();
                deadline = None;
            }
        }
        found.extend(deadline.map(|due| (visitor.to_owned(), due, cart)));
    }
    found.sort_by(|one, other| (one.1, &one.0).cmp(&(other.1, &other.0)));
    found
}

#[test]
fn carts_are_counted_as_a_person_would() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = [
        "timestamp,visitorid,event,itemid,transactionid",
        "1000,ann,view,shoe,",
        "2000,ann,addtocart,shoe,",
        "2500,ann,addtocart,hat,",
        "2600,ann,addtocart,shoe,",
        // Bob buys in time, then leaves another cart.
        "3000,bob,addtocart,sock,",
        "4000,bob,transaction,sock,7",
        "5000,bob,addtocart,belt,",
        // Cid buys at the very deadline, Dan a moment after it.
        "1000,cid,addtocart,shoe,",
        "11000,cid,transaction,shoe,8",
        "1000,dan,addtocart,shoe,",
        "11001,dan,transaction,shoe,9",
        "12000,dan,addtocart,hat,",
        // Eve comes back to the same cart: it was spoken of once.
        "1000,eve,addtocart,shoe,",
        "50000,eve,addtocart,hat,",
    ];
    fs::write(file.path(), lines.join("\n")).unwrap();
    let found = expected_abandonments(file.path(), 10_000);
    let found: Vec<(&str, i64, String)> = found
        .iter()
        .map(|(visitor, deadline, items)| (visitor.as_str(), *deadline, items.join(" ")))
        .collect();
    let expected = [
        ("dan", 11_000, "shoe"),
        ("eve", 11_000, "shoe"),
        ("ann", 12_600, "shoe hat"),
        ("bob", 15_000, "belt"),
        ("dan", 22_000, "hat"),
    ];
    assert_eq!(
        found,
        expected.map(|(visitor, due, items)| (visitor, due, items.to_owned()))
    );
}

#[test]
fn a_real_shop_has_abandoned_carts() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/retailrocket_8d/events.csv");
    if !path.exists() {
        println!("SKIPPED: {} is not here", path.display());
        return;
    }
    let found = expected_abandonments(&path, WAIT_MS);
    println!("{} abandoned carts", found.len());
    assert!(found.len() > 100);
}
