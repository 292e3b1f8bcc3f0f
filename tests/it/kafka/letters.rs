//! Dead letters of a cluster, listed and put back by the program.

use std::process::Command;

use serde_json::Value;

use super::rig::{Rig, get, ready};
use crate::broker::Broker;

/// The lines that `impulse dlq` answers with.
pub(super) fn dlq(rig: &Rig, arguments: &[&str]) -> Vec<Value> {
    let done = Command::new(env!("CARGO_BIN_EXE_impulse"))
        .args([
            "dlq",
            arguments[0],
            "--output",
            "json",
            "--brokers",
            &rig.bootstrap,
        ])
        .args(&arguments[1..])
        .envs(rig.environment())
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    let text = String::from_utf8(done.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_is_listed_and_put_back_once() {
    let Some(broker) = Broker::shared() else {
        return;
    };
    let rig = Rig::new(broker, 2).await;
    let mut shop = rig.shop(7);
    let long = format!(
        r#"{{"eventId":"e1","kind":"search_query","userId":"ann","query":"{}","createdAt":1700000000000}}"#,
        "shoes ".repeat(50)
    );
    shop.send_one("ann", &long, 1_700_000_000_000);
    shop.send_one("bob", "{\"no event\"", 1_700_000_000_000);
    shop.flush();
    let mut process = rig.serve(&[("IMPULSE__KAFKA__RECORD_BYTES_MAX", "256")]);
    ready(&process).await;
    rig.settled().await;
    process.terminate();

    let all = dlq(&rig, &["list"]);
    assert_eq!(all.len(), 2);
    let too_long = dlq(&rig, &["list", "--reason", "too_long"]);
    assert_eq!(too_long.len(), 1);
    assert_eq!(
        (&too_long[0]["key"], &too_long[0]["value"]),
        (&"ann".into(), &long.into())
    );
    assert_eq!(dlq(&rig, &["list", "--limit", "1"]).len(), 1);
    assert_eq!(dlq(&rig, &["replay", "--dry-run"]), all);
    assert_eq!(
        rig.ends().iter().sum::<i64>(),
        2,
        "a dry run writes nothing"
    );

    let process = rig.serve(&[]);
    ready(&process).await;
    for put_back in [2, 3] {
        let told = dlq(&rig, &["replay"]);
        assert_eq!(told[0]["accepted"], put_back);
        rig.settled().await;
    }
    let (status, profile) = get(&process, "/v1/users/ann/profile");
    assert_eq!(status, 200, "{profile}");
    let profile: Value = serde_json::from_str(&profile).unwrap();
    let events = &profile["profile"]["events"];
    assert!(
        events == "1",
        "what was put back twice counts once: {profile}"
    );
    let again = dlq(&rig, &["list", "--reason", "malformed_json"]);
    assert_eq!(
        again.len(),
        4,
        "what is still wrong is refused each time: {again:?}"
    );
    let origin = again.last().unwrap()["from"].as_str().unwrap();
    assert!(origin.starts_with(&rig.topic("events")), "{origin}");
}
