//! What a server refused is put back when the reason is gone.

use std::process::Command;

use impulse::clock::Clock;
use impulse::domain::HOUR_MS;
use impulse::wire::proto::event_service_client::EventServiceClient;
use impulse::wire::proto::{Event, EventKind, EventResult, EventStatus, RecordEventsRequest};
use serde_json::Value;

use crate::process::Process;

/// An event may lie ten minutes behind the newest, no more.
const STRICT: &[(&str, &str)] = &[("IMPULSE__ENGINE__QUALITY__HORIZON_MS", "600000")];

fn event(id: &str, at_ms: i64) -> Event {
    Event {
        event_id: id.to_owned(),
        kind: EventKind::SearchQuery.into(),
        user_id: "ann".to_owned(),
        query: "shoes".to_owned(),
        created_at: Some(impulse::wire::event::timestamp(impulse::domain::Millis(
            at_ms,
        ))),
        ..Event::default()
    }
}

/// What `impulse dlq` answers with.
fn dlq(process: &Process, arguments: &[&str]) -> Vec<Value> {
    let http = process.started["http"].as_str().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_impulse"));
    command.args(["dlq", arguments[0], "--output", "json"]);
    command.args(["--http", &format!("http://{http}")]);
    if arguments[0] == "replay" {
        command.args(["--to", &process.grpc()]);
    }
    let done = command.args(&arguments[1..]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let text = String::from_utf8(done.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_put_back_once_the_reason_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let now = Clock::system().now().0;
    let mut process = Process::serve(dir.path(), STRICT);
    let mut client = EventServiceClient::connect(process.grpc()).await.unwrap();
    let unusable = Event {
        user_id: String::new(),
        ..event("e3", now)
    };
    let events = vec![event("e1", now), event("e2", now - HOUR_MS), unusable];
    let answer = client
        .record_events(RecordEventsRequest { events })
        .await
        .unwrap();
    let statuses: Vec<_> = answer
        .get_ref()
        .results
        .iter()
        .map(EventResult::status)
        .collect();
    assert_eq!(
        statuses,
        [
            EventStatus::Accepted,
            EventStatus::Rejected,
            EventStatus::Rejected
        ]
    );
    assert_eq!(dlq(&process, &["list"]).len(), 2);
    assert_eq!(dlq(&process, &["list", "--reason", "too_old"]).len(), 1);
    let told = dlq(&process, &["replay", "--reason", "too_old"]);
    assert_eq!(
        (&told[0]["accepted"], &told[0]["refused"]),
        (&0.into(), &1.into())
    );
    process.kill();

    let process = Process::serve(dir.path(), &[]);
    let plan = dlq(&process, &["replay", "--dry-run"]);
    assert_eq!(plan, dlq(&process, &["list"]));
    let told = dlq(&process, &["replay"]);
    let counts = ["accepted", "duplicates", "refused"].map(|name| told[0][name].as_u64().unwrap());
    assert_eq!(
        counts,
        [1, 1, 1],
        "twice in the log, taken once; without a shopper it is no event"
    );
    assert_eq!(
        dlq(&process, &["replay", "--reason", "too_old"])[0]["duplicates"],
        2
    );
}
