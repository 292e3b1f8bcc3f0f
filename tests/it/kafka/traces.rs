//! The trace of an event goes by way of the topics to what it causes.

use std::collections::BTreeMap;

use super::rig::{Rig, post_with, ready};
use crate::broker::Broker;

const START_MS: i64 = 1_700_000_000_000;

/// The trace of this number.
fn trace(number: u32) -> String {
    format!("00-0af7651916cd43dd8448eb21{number:08x}-b7ad6b7169203331-01")
}

fn event(user: &str, kind: &str, at_ms: i64) -> String {
    format!(
        r#"{{"eventId":"{user}-{at_ms}","kind":"{kind}","userId":"{user}","itemId":"i","createdAt":{at_ms}}}"#
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_belongs_to_the_trace_of_its_cause_whatever_crashes() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 1).await;
    let mut shop = rig.shop(9);
    let mut send = |user: &str, kind: &str, at_ms: i64, headers: &[(&str, &str)]| {
        shop.send_with(user, &event(user, kind, at_ms), at_ms, headers);
    };
    send(
        "ann",
        "add_to_cart",
        START_MS,
        &[("traceparent", &trace(1))],
    );
    send(
        "bob",
        "add_to_cart",
        START_MS,
        &[("ce_traceparent", &trace(2))],
    );
    send(
        "cyd",
        "add_to_cart",
        START_MS,
        &[("traceparent", "00-none-01")],
    );
    send(
        "dan",
        "add_to_cart",
        START_MS,
        &[("traceparent", &trace(4))],
    );
    send(
        "eve",
        "add_to_cart",
        START_MS,
        &[("traceparent", &trace(5))],
    );
    let envelope = format!(
        r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","traceparent":"{}","data":{}}}"#,
        trace(6),
        event("fay", "add_to_cart", START_MS)
    );
    let structured = [("content-type", "application/cloudevents+json")];
    shop.send_with("fay", &envelope, START_MS, &structured);
    shop.flush();
    let mut process = rig.serve(&[]);
    ready(&process).await;
    rig.settled().await;
    process.kill();

    let mut send = |user: &str, kind: &str, at_ms: i64, headers: &[(&str, &str)]| {
        shop.send_with(user, &event(user, kind, at_ms), at_ms, headers);
    };
    let later_ms = START_MS + 60_000;
    send("dan", "cart_view", later_ms, &[]);
    send("eve", "cart_view", later_ms, &[("traceparent", &trace(7))]);
    send("gil", "product_view", START_MS + 7_200_000, &[]);
    // It comes behind the watermark, and takes back what was said to ann.
    send("ann", "purchase", later_ms, &[("traceparent", &trace(8))]);
    shop.flush();
    let process = rig.serve(&[]);
    ready(&process).await;
    rig.settled().await;
    let said: BTreeMap<(String, bool), String> = rig
        .read("triggers")
        .iter()
        .map(|found| {
            let record = found.json();
            let header = found.header("traceparent");
            assert_eq!(record["traceparent"].as_str().unwrap_or(""), header);
            let fires = record["kind"] == "TRIGGER_KIND_FIRE";
            let user = record["userId"].as_str().unwrap().to_owned();
            ((user, fires), header.to_owned())
        })
        .collect();
    let expected = [
        ("ann", false, trace(8)),
        ("ann", true, trace(1)),
        ("bob", true, trace(2)),
        ("cyd", true, String::new()),
        ("dan", true, String::new()),
        ("eve", true, trace(7)),
        ("fay", true, trace(6)),
    ];
    let expected = expected.map(|(user, fires, trace)| ((user.to_owned(), fires), trace));
    assert_eq!(said, BTreeMap::from(expected));

    let header = format!("traceparent: {}\r\n", trace(9));
    let view = event("hal", "product_view", START_MS + 7_200_000);
    let (status, body) = post_with(&process, "/v1/events", &header, &view);
    assert!(status == 200 && body.contains("ACCEPTED"), "{body}");
    let events = rig.read("events");
    let handed_over = events.iter().find(|found| found.key == b"hal").unwrap();
    assert_eq!(handed_over.header("traceparent"), trace(9));
}
