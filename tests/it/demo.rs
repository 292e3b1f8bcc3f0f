//! `impulse demo` opens a shop, serves its page, sums up and leaves nothing behind.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use serde_json::Value;
use tempfile::TempDir;

/// A demo that runs, in a temporary directory of its own.
struct Running {
    child: Child,
    /// Where `--data-dir` is not given, the demo's directory is in here.
    temporary: TempDir,
    stderr: BufReader<std::process::ChildStderr>,
}

fn demo(arguments: &[&str]) -> Running {
    let temporary = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_impulse"))
        .arg("demo")
        .args([
            "--no-browser",
            "--grpc-listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ])
        .args(arguments)
        .env("TMPDIR", temporary.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    Running {
        child,
        temporary,
        stderr,
    }
}

impl Running {
    /// Reads on until a line has `word`; the line.
    fn line_with(&mut self, word: &str) -> String {
        let mut seen = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.stderr.read_line(&mut line).unwrap() > 0,
                "no {word} in:\n{seen}"
            );
            if line.contains(word) {
                return line;
            }
            seen.push_str(&line);
        }
    }

    /// Waits for its end; what it said at last, and what is left of its directory.
    fn end(mut self) -> (Option<i32>, String, String, usize) {
        // Nobody must wait for the other to read.
        let mut stderr = self.stderr;
        let said = thread::spawn(move || {
            let mut text = String::new();
            let read = stderr.read_to_string(&mut text);
            read.map(|_| text)
        });
        let mut out = String::new();
        self.child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut out)
            .unwrap();
        let status = self.child.wait().unwrap();
        let left = fs::read_dir(self.temporary.path()).unwrap().count();
        (status.code(), out, said.join().unwrap().unwrap(), left)
    }
}

/// The answer to `GET path`, head and body.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    text.split(before)
        .nth(1)
        .and_then(|rest| rest.split(after).next())
        .unwrap()
}

#[test]
fn a_short_demo_serves_its_page_sums_up_and_leaves_nothing_behind() {
    let mut demo = demo(&["--for", "6s", "--output", "json", "--visitors", "1500"]);
    let look = demo.line_with("Look");
    let address = between(&look, "http://", "/").to_owned();
    let page = get(&address, "/");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    assert!(page.contains("<title>Impulse</title>"));
    let user = between(&demo.line_with("Ask"), "/recommendations/", "?").to_owned();
    let profile = get(&address, &format!("/v1/users/{user}/profile"));
    assert!(profile.contains("\"preferredCategories\":[\""), "{profile}");
    let episodes = get(&address, "/v1/episodes?limit=3");
    assert!(
        episodes.contains("\"deadline\":\""),
        "nobody has left a cart: {episodes}"
    );

    let (code, out, said, left) = demo.end();
    assert_eq!(code, Some(0), "{out}\n{said}");
    assert_eq!(
        left, 0,
        "something is left in the directory for temporary files"
    );
    let summary: Value = serde_json::from_str(&out).unwrap();
    let count = |path: &str| summary.pointer(path).and_then(Value::as_u64).unwrap();
    assert!(count("/events/accepted") > 20, "{out}");
    assert_eq!(count("/events/rejected"), 0, "{out}");
    assert_eq!(count("/events/duplicates"), 0, "{out}");
    assert!(count("/answers") > 0, "{out}");
    assert_eq!(count("/answers_failed"), 0, "{out}");
    assert!(count("/impressions") >= count("/clicks"), "{out}");
    let shop_seconds = summary["shop_seconds"].as_f64().unwrap();
    assert!((400.0..5_000.0).contains(&shop_seconds), "{out}");
}

#[test]
fn a_directory_in_use_and_wrong_flags_are_refused() {
    let used = tempfile::tempdir().unwrap();
    fs::write(used.path().join("file"), "x").unwrap();
    let (code, out, said, _) = demo(&["--data-dir", used.path().to_str().unwrap()]).end();
    assert_eq!((code, out.as_str()), (Some(73), ""));
    assert!(said.contains("is not empty"), "{said}");
    for wrong in [["--speed", "0"], ["--visitors", "0"], ["--for", "soon"]] {
        let (code, out, said, _) = demo(&wrong).end();
        assert_eq!((code, out.as_str()), (Some(2), ""), "{wrong:?}");
        assert!(said.contains(wrong[0]), "{said}");
    }
}
