//! Files to a running server and back: the commands as people call them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::process::Process;

const IMPULSE: &str = env!("CARGO_BIN_EXE_impulse");
const DAY_MS: u64 = 86_400_000;
const START_MS: u64 = 1_700_000_000_000;

/// A server of its own process, ended with the test.
struct Served {
    process: Process,
    grpc: String,
    http: String,
}

impl Served {
    fn start(dir: &Path, grpc: &str) -> Self {
        let process = Process::serve_on(grpc, dir, &[]);
        let address = |name: &str| process.started[name].as_str().unwrap().to_owned();
        Self {
            grpc: address("grpc"),
            http: address("http"),
            process,
        }
    }

    fn import(&self, file: &Path, format: &str, more: &[&str]) -> Command {
        let mut command = Command::new(IMPULSE);
        command
            .args(["import", "--output", "json", "--format", format, "--to"])
            .arg(format!("grpc://{}", self.grpc))
            .arg(file)
            .args(more);
        command
    }

    fn http(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(&self.http).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Events in the profile of a shopper.
    fn events_of(&self, user: &str) -> u64 {
        let answer = self.http(&format!(
            "GET /v1/users/{user}/profile HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
        ));
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        let events = answer["profile"]["events"].as_str();
        events.map_or(0, |events| events.parse().unwrap())
    }

    fn kill(mut self) {
        self.process.kill();
    }
}

#[track_caller]
fn summary(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("{text} {}", String::from_utf8_lossy(&output.stderr)))
}

fn view(user: &str, item: &str, time_ms: u64) -> String {
    format!(
        r#"{{"kind":"product_view","user_id":"{user}","item_id":"{item}","created_at":{time_ms}}}"#
    )
}

#[test]
fn a_file_is_imported_and_every_line_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("state"), "127.0.0.1:0");
    let file = dir.path().join("events.jsonl");
    let bad = r#"{"kind":"product_view","user_id":"u","item_id":"i","price":-1}"#;
    let lines = [
        view("ann", "a", START_MS),
        view("ann", "b", START_MS + 2_000),
        bad.to_owned(),
        view("bob", "a", START_MS + 1_000),
        view("bob", "c", START_MS - 60 * DAY_MS),
        "no json".to_owned(),
        view("ann", "c", START_MS + 3_000),
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let rejects = dir.path().join("rejects.txt");
    let first = served
        .import(&file, "jsonl", &["--rejects", rejects.to_str().unwrap()])
        .output()
        .unwrap();
    let said = summary(&first);
    assert!(first.status.success());
    assert_eq!(said["sorted"], true);
    assert_eq!(
        (&said["accepted"], &said["duplicates"]),
        (&5.into(), &0.into())
    );
    assert_eq!(said["rejectedByReason"]["invalid_value"], 1);
    assert_eq!(said["rejectedByReason"]["malformed_json"], 1);
    assert_eq!(served.events_of("ann"), 3);
    assert_eq!(served.events_of("bob"), 2);
    let kept = fs::read_to_string(&rejects).unwrap();
    let raw: Vec<&str> = kept.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(raw, [bad, "no json"]);
    let comment = kept.lines().next().unwrap();
    assert!(
        comment.contains("events.jsonl:3\tinvalid_value\tprice\t"),
        "{comment}"
    );

    let again = served
        .import(&file, "jsonl", &["--rejects", rejects.to_str().unwrap()])
        .output()
        .unwrap();
    let said = summary(&again);
    assert_eq!(
        (&said["accepted"], &said["duplicates"]),
        (&0.into(), &4.into())
    );
    assert_eq!(
        said["rejectedByReason"]["too_old"], 1,
        "60 days behind what the server has seen"
    );
    let kept = fs::read_to_string(&rejects).unwrap();
    let refused = kept
        .lines()
        .skip_while(|line| !line.contains("too_old"))
        .nth(1)
        .unwrap();
    assert!(refused.contains(r#""userId":"bob""#), "{refused}");

    let skipped = served
        .import(&file, "jsonl", &["--skip", "3"])
        .output()
        .unwrap();
    assert_eq!(summary(&skipped)["duplicates"], 2);
}

#[test]
fn without_a_server_a_directory_is_filled_for_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let file = dir.path().join("events.jsonl");
    let lines = [
        view("ann", "a", START_MS),
        view("ann", "b", START_MS + 2_000),
        view("bob", "a", START_MS + 1_000),
        "no json".to_owned(),
        view("bob", "c", START_MS - 60 * DAY_MS),
    ];
    fs::write(&file, lines.join("\n")).unwrap();
    let import = |more: &[&str]| {
        let mut command = Command::new(IMPULSE);
        command
            .args(["import", "--output", "json", "--format", "jsonl"])
            .arg("--data-dir")
            .arg(&state)
            .arg(&file)
            .args(more);
        command.output().unwrap()
    };
    let first = import(&[]);
    assert!(first.status.success());
    let said = summary(&first);
    assert_eq!(
        (&said["accepted"], &said["duplicates"], &said["sorted"]),
        (&4.into(), &0.into(), &true.into())
    );
    assert_eq!(said["rejectedByReason"]["malformed_json"], 1);
    let again = summary(&import(&["--skip", "1"]));
    assert_eq!(
        (&again["accepted"], &again["duplicates"]),
        (&0.into(), &3.into())
    );
    assert_eq!(
        import(&["--to", "grpc://127.0.0.1:1"]).status.code(),
        Some(2)
    );

    let served = Served::start(&state, "127.0.0.1:0");
    let started = &served.process.started;
    let position = |of: &Value| of["position"].as_u64().unwrap();
    assert!(position(started) >= position(&said), "{started}");
    assert_eq!(started["snapshot"], started["position"], "a last snapshot");
    assert_eq!((served.events_of("ann"), served.events_of("bob")), (2, 2));
    let locked = import(&[]);
    assert_eq!(locked.status.code(), Some(69));
    let why = String::from_utf8_lossy(&locked.stderr);
    assert!(why.contains("state"), "{why}");
}

#[test]
fn refused_messages_are_listed() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("state"), "127.0.0.1:0");
    let list = |output: &str, from: &str| {
        let out = Command::new(IMPULSE)
            .args(["dlq", "list", "--output", output, "--from", from, "--http"])
            .arg(format!("http://{}", served.http))
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(list("table", "1"), "nothing was refused from there on\n");
    let body = r#"{"userId":"u","eventType":"teleport"}"#;
    let answer = served.http(&format!(
        "POST /track-event HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let table = list("table", "1");
    assert!(
        table.contains("unknown_kind") && table.contains("teleport"),
        "{table}"
    );
    let letter: Value = serde_json::from_str(&list("json", "1")).unwrap();
    assert_eq!(
        (&letter["field"], &letter["source"]),
        (&"kind".into(), &"http".into())
    );
    assert_eq!(list("json", "2"), "");
}

#[test]
fn a_server_that_dies_meanwhile_is_found_again_and_nothing_is_lost() {
    const USERS: u64 = 50;
    const EVENTS: u64 = 40_000;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let served = Served::start(&state, "127.0.0.1:0");
    let grpc = served.grpc.clone();
    let file = dir.path().join("events.jsonl");
    let lines: Vec<String> = (0..EVENTS)
        .map(|n| {
            view(
                &format!("u{}", n % USERS),
                &format!("i{}", n % 997),
                START_MS + n * 1_000,
            )
        })
        .collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let import = served
        .import(&file, "jsonl", &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while served.events_of("u7") < EVENTS / USERS / 4 {
        std::thread::sleep(Duration::from_millis(5));
    }
    served.kill();
    let served = Served::start(&state, &grpc);
    let said = summary(&import.wait_with_output().unwrap());
    let count = |name: &str| said[name].as_u64().unwrap();
    assert_eq!(count("accepted") + count("duplicates"), EVENTS, "{said}");
    for user in 0..USERS {
        assert_eq!(
            served.events_of(&format!("u{user}")),
            EVENTS / USERS,
            "u{user}"
        );
    }
}

#[test]
fn exit_codes_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(&dir.path().join("state"), "127.0.0.1:0");
    let csv = dir.path().join("x.csv");
    fs::write(&csv, "id,name\n1,x\n").unwrap();
    let junk = dir.path().join("junk.jsonl");
    fs::write(&junk, "junk\n").unwrap();
    let code = |mut command: Command| command.output().unwrap().status.code();
    assert_eq!(code(served.import(&csv, "retailrocket", &[])), Some(65));
    assert_eq!(code(served.import(&junk, "jsonl", &[])), Some(65));
    assert_eq!(
        code(served.import(&dir.path().join("none"), "jsonl", &[])),
        Some(66)
    );
    assert_eq!(code(served.import(&csv, "excel", &[])), Some(2));
    let address = format!("grpc://{}", served.grpc);
    served.kill();
    let mut import = Command::new(IMPULSE);
    import
        .args(["import", "--format", "jsonl", "--to", &address])
        .arg(&junk);
    assert_eq!(code(import), Some(69));
    let mut list = Command::new(IMPULSE);
    list.args(["dlq", "list", "--http", "http://127.0.0.1:1"]);
    assert_eq!(code(list), Some(69));
}
