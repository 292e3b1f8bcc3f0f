//! What the door refuses is kept as a dead letter too; it is of no transaction, and harms none.

use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::{Event, RecordEventsRequest};
use prost::Message as _;

use super::checker::{Observed, judge_log};
use super::letters::dlq;
use super::rig::{Found, Rig, metric, post, ready, the_log_is_as_it_should_be};
use crate::broker::Broker;

const SEARCH: &str = r#"{"eventId":"e1","kind":"search_query","userId":"ann","query":"shoes"}"#;
const BAD_PRICE: &str =
    r#"{"eventId":"e2","kind":"product_view","userId":"ann","itemId":"i","price":-1}"#;
const NO_KIND: &str = r#"{"eventId":"e3","kind":"nonsense","userId":"ann"}"#;
const NO_JSON: &str = "{\"no event\"";

/// Without a snapshot whoever takes over looks at every output.
const NO_SNAPSHOT: &[(&str, &str)] = &[("IMPULSE__KAFKA__SNAPSHOT_INTERVAL_S", "3600")];

fn letter<'a>(letters: &'a [Found], value: &[u8]) -> &'a Found {
    let mut with_value = letters.iter().filter(|letter| letter.value == value);
    let found = with_value.next().expect("it is kept");
    assert_eq!(with_value.next(), None, "and kept once");
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_callers_are_refused_is_kept_listed_and_put_back() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 3).await;
    let mut process = rig.serve(NO_SNAPSHOT);
    ready(&process).await;
    // Two letters in one partition: neither may be taken for a repetition of the other.
    let batch = format!("[{SEARCH},{BAD_PRICE},{NO_KIND}]");
    let (_, body) = post(&process, "/v1/events", &batch);
    assert!(
        body.contains("ACCEPTED") && body.contains("REJECTED"),
        "{body}"
    );
    assert_eq!(post(&process, "/v1/events", NO_JSON).0, 400);
    let unknown = Event {
        kind: 99,
        visitor_id: "bob".to_owned(),
        ..Event::default()
    };
    let mut client = EventServiceClient::connect(process.grpc()).await.unwrap();
    let events = vec![unknown.clone()];
    let answer = client.record_events(RecordEventsRequest { events }).await;
    assert_eq!(
        answer.unwrap().into_inner().results[0].reason,
        "unknown_kind"
    );

    are_kept(&rig, &unknown.encode_to_vec());
    let counted = "impulse_dead_letters_total{reason=\"invalid_value\"}";
    assert!((metric(&process, counted) - 1.0).abs() < 0.1);

    let mut shop = rig.shop(3);
    shop.send_one("ann", "poison", 1_700_000_000_000);
    shop.flush();
    rig.settled().await;
    process.kill();
    let process = rig.serve(NO_SNAPSHOT);
    ready(&process).await;
    the_log_is_as_it_should_be(&process);
    assert_eq!(judge_log(&Observed::of(&rig)), Vec::<String>::new());
    are_put_back(&rig).await;
}

/// Every one with its bytes and its reason, where its shopper is.
fn are_kept(rig: &Rig, unknown: &[u8]) {
    let letters = rig.read("dead_letters");
    assert_eq!(letters.len(), 4);
    let ann = letter(&letters, BAD_PRICE.as_bytes());
    assert_eq!(ann.key, b"ann");
    let other = letter(&letters, NO_KIND.as_bytes());
    assert_eq!(other.partition, ann.partition);
    assert_eq!(ann.partition, rig.read("events")[0].partition);
    assert_eq!(ann.header("content-type"), "application/json");
    assert_eq!(ann.header("impulse-source"), "http");
    assert_eq!(ann.header("impulse-field"), "price");
    assert_eq!(letter(&letters, NO_JSON.as_bytes()).key, b"");
    let bob = letter(&letters, unknown);
    assert_eq!(
        (bob.key.as_slice(), bob.header("impulse-source")),
        (&b"bob"[..], "grpc")
    );
    for letter in &letters {
        assert_ne!(letter.header("impulse-reason"), "");
        let named = |name: &str| letter.headers.iter().any(|(key, _)| key == name);
        for absent in ["__connect.errors.topic", "impulse-identity"] {
            assert!(!named(absent), "{absent}");
        }
    }
}

/// They are listed with the way they came, and become records.
async fn are_put_back(rig: &Rig) {
    let listed = dlq(rig, &["list"]);
    let came: Vec<&str> = listed
        .iter()
        .map(|one| one["from"].as_str().unwrap())
        .collect();
    assert_eq!(came.iter().filter(|from| **from == "http").count(), 3);
    assert!(came.len() == 5 && came.contains(&"grpc"), "{came:?}");
    assert_eq!(dlq(rig, &["replay"])[0]["accepted"], 5);
    rig.settled().await;
    let again = dlq(rig, &["list", "--reason", "invalid_value"]);
    let from = again.iter().map(|one| one["from"].as_str().unwrap());
    let records = from.filter(|from| from.starts_with(&rig.topic("events")));
    assert_eq!((again.len(), records.count()), (2, 1), "{again:?}");
}
