//! A broker that asks who calls, encrypts and grants rights: what it refuses is told with what to do, is tried again and
//! loses nothing; what it grants works.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use impulse::stream::kafka::{Config, Safeguards, Topics, Version, safeguards};
use tempfile::TempDir;

use super::checker::{Observed, judge};
use super::rig::{Rig, get, metric, post, ready, tells};
use crate::broker::{self, Broker};
use crate::process::Process;

const PASSWORD: &str = "correct-horse-7";
const WRONG: &str = "wrong-battery-8";
/// Password of the files that hold keys.
const STORE: &str = "staple-store-9";
const WITH_TLS: bool = cfg!(feature = "kafka-tls");

/// A broker whose plain listener may do everything, so that tests see all. One listener has users with passwords, one
/// TLS besides.
#[derive(Debug)]
struct Guarded {
    broker: Broker,
    files: TempDir,
    port: u16,
}

impl Guarded {
    fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Result<Guarded, String>> = OnceLock::new();
        let shared = SHARED.get_or_init(Self::start);
        shared.as_ref().map_err(|reason| broker::skip(reason)).ok()
    }

    /// `engine` may do what the engine needs, `outsider` not join a group, `mute` not take a transactional id.
    fn start() -> Result<Self, String> {
        let files = tempfile::tempdir().unwrap();
        if WITH_TLS {
            make_key(files.path(), "broker");
            make_key(files.path(), "stranger");
        }
        let broker = Broker::with_listeners(|port| settings(port, files.path()))?;
        let (_, port) = broker.bootstrap().rsplit_once(':').unwrap();
        let port = port.parse().unwrap();
        let guarded = Self {
            broker,
            files,
            port,
        };
        let topics = ["--topic", "shop-"];
        guarded.grant(
            &["engine", "outsider", "mute"],
            &topics,
            &["Read", "Write", "Describe"],
        );
        guarded.grant(&["engine"], &topics, &["DescribeConfigs"]);
        guarded.grant(&["engine", "mute"], &["--group", "shop-"], &["Read"]);
        guarded.grant(&["engine"], &["--transactional-id", "shop-"], &["Write"]);
        if WITH_TLS {
            guarded.broker.run(&[
                "tool",
                "kafka.admin.ConfigCommand",
                "--bootstrap-server",
                guarded.broker.bootstrap(),
                "--alter",
                "--entity-type",
                "users",
                "--entity-name",
                "engine",
                "--add-config",
                &format!("SCRAM-SHA-512=[password={PASSWORD}]"),
            ]);
        }
        Ok(guarded)
    }

    /// Grants rights on everything whose name begins so.
    fn grant(&self, users: &[&str], prefix: &[&str], operations: &[&str]) {
        let users: Vec<String> = users.iter().map(|user| format!("User:{user}")).collect();
        let mut arguments = vec!["tool", "AclCommand", "--bootstrap-server"];
        arguments.extend([self.broker.bootstrap(), "--add"]);
        arguments.extend(["--resource-pattern-type", "prefixed"]);
        arguments.extend(prefix);
        for user in &users {
            arguments.extend(["--allow-principal", user]);
        }
        for operation in operations {
            arguments.extend(["--operation", operation]);
        }
        self.broker.run(&arguments);
    }

    /// Where users with passwords are served.
    fn users(&self) -> String {
        format!("127.0.0.1:{}", self.port + 2)
    }

    /// Where TLS is served.
    fn tls(&self) -> String {
        format!("127.0.0.1:{}", self.port + 3)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Starts the engine with these settings; its log is the file with this name.
    fn serve(&self, rig: &Rig, log: &str, brokers: &str, properties: &[(&str, &str)]) -> Process {
        let mut environment = rig.environment();
        let mut set = |key: &str, value: &str| {
            environment.push((format!("IMPULSE__KAFKA__{key}"), value.to_owned()));
        };
        set("BROKERS", brokers);
        set("REQUEST_TIMEOUT_MS", "2000");
        for (name, value) in properties {
            let variable = name.to_uppercase().replace('.', "_");
            set(&format!("PROPERTIES__{variable}"), value);
        }
        let environment: Vec<(&str, &str)> = environment
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        let log = File::create(self.file(log)).unwrap();
        Process::serve_logged(log, &std::env::temp_dir(), &environment)
    }

    /// What a process has logged, in which there must be no secret.
    fn logged(&self, log: &str) -> String {
        let text = fs::read_to_string(self.file(log)).unwrap();
        has_no_secret(&text);
        text
    }
}

fn settings(port: u16, files: &Path) -> String {
    let plain = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let users = ["engine", "outsider", "mute"];
    let users = users.map(|user| format!("user_{user}=\"{PASSWORD}\""));
    let mut listeners = format!(
        "PLAINTEXT://127.0.0.1:{port},USERS://127.0.0.1:{}",
        port + 2
    );
    let mut tls = String::new();
    if WITH_TLS {
        listeners += &format!(",TLS://127.0.0.1:{}", port + 3);
        tls = format!(
            "listener.name.tls.ssl.keystore.type=PKCS12
listener.name.tls.ssl.keystore.location={}
listener.name.tls.ssl.keystore.password={STORE}
listener.name.tls.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.tls.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
            files.join("broker.p12").display()
        );
    }
    format!(
        "listeners={listeners},CONTROLLER://127.0.0.1:{}
advertised.listeners={listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT,TLS:SASL_SSL
listener.name.users.sasl.enabled.mechanisms=PLAIN
listener.name.users.plain.sasl.jaas.config={plain} {};
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
{tls}",
        port + 1,
        users.join(" ")
    )
}

/// A key with a certificate for loopback, signed by itself: `NAME.p12` for the broker, `NAME.pem` for who trusts it.
fn make_key(folder: &Path, name: &str) {
    let keytool = |arguments: &[&str]| {
        let output = Command::new("keytool")
            .current_dir(folder)
            .args(arguments)
            .args(["-alias", "key", "-storepass", STORE])
            .args(["-keystore", &format!("{name}.p12")])
            .output()
            .expect("keytool comes with Java");
        assert!(output.status.success(), "{output:?}");
    };
    let named = ["-dname", "CN=127.0.0.1", "-ext", "san=ip:127.0.0.1"];
    let kind = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1"];
    keytool(&[&kind[..], &["-storetype", "PKCS12"], &named].concat());
    keytool(&["-exportcert", "-rfc", "-file", &format!("{name}.pem")]);
}

fn password<'a>(user: &'a str, password: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanisms", "PLAIN"),
        ("sasl.username", user),
        ("sasl.password", password),
    ]
}

fn scram<'a>(authority: &'a Path, password: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("security.protocol", "SASL_SSL"),
        ("ssl.ca.location", authority.to_str().unwrap()),
        ("sasl.mechanisms", "SCRAM-SHA-512"),
        ("sasl.username", "engine"),
        ("sasl.password", password),
    ]
}

fn has_no_secret(text: &str) {
    for secret in [PASSWORD, WRONG, STORE] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// How often something was in the way for this reason, once that is as often.
async fn troubled(process: &Process, reason: &str, times: f64) {
    let series = format!("impulse_kafka_troubles_total{{reason=\"{reason}\"}}");
    for _ in 0..600 {
        if metric(process, &series) >= times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{series} is {}", metric(process, &series));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_and_tried_again_and_with_the_right_one_nothing_is_lost() {
    let Some(guarded) = Guarded::shared() else {
        return;
    };
    let rig = Rig::new(&guarded.broker, 2).await;
    let mut shop = rig.shop(21);
    shop.send(1_500);
    shop.flush();
    let wrong = password("engine", WRONG);
    let mut process = guarded.serve(&rig, "wrong.log", &guarded.users(), &wrong);
    tells(&process, "the broker refused the credentials").await;
    tells(&process, "kafka.properties").await;
    troubled(&process, "authentication", 3.0).await;
    let (status, said) = get(&process, "/readyz");
    assert_eq!(status, 503);
    has_no_secret(&said);
    assert_eq!(get(&process, "/livez").0, 200);
    let event = r#"{"eventId":"e","kind":"product_view","userId":"u","itemId":"i"}"#;
    let (_, answer) = post(&process, "/v1/events", event);
    assert!(!answer.contains("ACCEPTED"), "{answer}");
    process.terminate();
    let log = guarded.logged("wrong.log");
    assert!(log.contains("refused the credentials"), "{log}");
    assert!(rig.positions().iter().all(|position| *position <= 0));

    let right = password("engine", PASSWORD);
    let mut process = guarded.serve(&rig, "right.log", &guarded.users(), &right);
    ready(&process).await;
    rig.settled().await;
    let judged = judge(&Observed::of(&rig)).unwrap();
    assert!(judged.events >= 1_500 && judged.triggers > 20, "{judged:?}");
    let weakened = "impulse_guarantee_info{level=\"weakened\",reason=\"kafka_one_copy\"}";
    assert!(metric(&process, weakened) > 0.0);
    process.terminate();
    let log = guarded.logged("right.log");
    assert_eq!(log.matches("the guarantee is weaker").count(), 1, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_missing_is_named_and_once_it_is_granted_the_engine_goes_on() {
    let Some(guarded) = Guarded::shared() else {
        return;
    };
    let rig = Rig::new(&guarded.broker, 1).await;
    let mute = password("mute", PASSWORD);
    let process = guarded.serve(&rig, "mute.log", &guarded.users(), &mute);
    tells(&process, "the broker does not allow it").await;
    tells(&process, "grant WRITE on the transactional ids").await;
    troubled(&process, "authorization", 2.0).await;
    assert_eq!(get(&process, "/readyz").0, 503);
    assert_eq!(get(&process, "/livez").0, 200);
    drop(process);
    guarded.logged("mute.log");

    let rig = Rig::new(&guarded.broker, 1).await;
    let mut shop = rig.shop(22);
    shop.send(200);
    shop.flush();
    let outsider = password("outsider", PASSWORD);
    let process = guarded.serve(&rig, "outsider.log", &guarded.users(), &outsider);
    tells(&process, "the broker does not allow it").await;
    tells(&process, "grant READ on kafka.group").await;
    troubled(&process, "authorization", 1.0).await;
    assert_eq!(get(&process, "/readyz").0, 503);
    guarded.grant(&["outsider"], &["--group", &rig.name], &["Read"]);
    guarded.grant(
        &["outsider"],
        &["--transactional-id", &rig.name],
        &["Write"],
    );
    ready(&process).await;
    rig.settled().await;
    judge(&Observed::of(&rig)).unwrap();
    guarded.logged("outsider.log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_keeps_records_is_known_as_far_as_we_may_ask() {
    let Some(guarded) = Guarded::shared() else {
        return;
    };
    let rig = Rig::new(&guarded.broker, 1).await;
    let asked = |brokers: &str, properties: Vec<(&str, &str)>| {
        let mut config = Config {
            brokers: brokers.to_owned(),
            topics: Topics {
                events: rig.topic("events"),
                triggers: rig.topic("triggers"),
                suppressions: rig.topic("suppressions"),
                dead_letters: rig.topic("dead_letters"),
                late: rig.topic("late"),
                commits: rig.topic("commits"),
                snapshots: rig.topic("snapshots"),
            },
            ..Config::default()
        };
        let texts = properties
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        config.properties.extend(texts);
        let asked = std::thread::spawn(move || safeguards(&Arc::new(config)));
        asked.join().unwrap().unwrap()
    };
    let all = Safeguards {
        min_insync: Some(1),
        unclean_election: Some(false),
        version: Version::Recent,
    };
    assert_eq!(asked(guarded.broker.bootstrap(), Vec::new()), all);
    let of_topics = Safeguards {
        version: Version::Unknown,
        ..all
    };
    let users = guarded.users();
    assert_eq!(asked(&users, password("engine", PASSWORD)), of_topics);
    let nothing = Safeguards::default();
    assert_eq!(asked(&users, password("mute", PASSWORD)), nothing);
}

#[test]
fn the_commands_for_topics_say_what_the_broker_refuses() {
    let Some(guarded) = Guarded::shared() else {
        return;
    };
    let run = |action: &str, further: &[&str]| -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_impulse"))
            .args(["topology", action, "--brokers", &guarded.users()])
            .args(["--replication", "1", "--timeout", "5s"])
            .args(further)
            .output()
            .unwrap();
        said(&output)
    };
    let wrong = [
        "-X",
        "security.protocol=SASL_PLAINTEXT",
        "-X",
        "sasl.mechanisms=PLAIN",
        "-X",
        "sasl.username=engine",
        "-X",
        &format!("sasl.password={WRONG}"),
    ];
    for action in ["diff", "apply"] {
        let (code, said) = run(action, &wrong);
        assert_eq!(code, Some(69), "{said}");
        assert!(
            said.contains("uthentication failed") && said.contains("sasl."),
            "{said}"
        );
    }
    // A file is how a secret comes to a command that others may see.
    let file = guarded.file("impulse.toml");
    let properties: String = password("engine", PASSWORD)
        .iter()
        .map(|(key, value)| format!("\"{key}\" = \"{value}\"\n"))
        .collect();
    fs::write(&file, format!("[kafka.properties]\n{properties}")).unwrap();
    let from_file = ["--config", file.to_str().unwrap()];
    let (code, said) = run("diff", &from_file);
    assert_eq!(code, Some(1), "{said}");
    let (code, said) = run("apply", &from_file);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("uthorization failed"), "{said}");
}

/// Exit code and everything said, in which there must be no secret.
fn said(output: &Output) -> (Option<i32>, String) {
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    has_no_secret(&said);
    (output.status.code(), said)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_and_scram_events_become_triggers_and_a_stranger_is_told_apart() {
    if !WITH_TLS {
        println!("SKIPPED TLS: built without the feature kafka-tls");
        return;
    }
    let Some(guarded) = Guarded::shared() else {
        return;
    };
    let rig = Rig::new(&guarded.broker, 2).await;
    let mut shop = rig.shop(23);
    shop.send(1_500);
    shop.flush();
    let trusted = guarded.file("broker.pem");
    let strange = guarded.file("stranger.pem");
    let process = guarded.serve(
        &rig,
        "strange.log",
        &guarded.tls(),
        &scram(&strange, PASSWORD),
    );
    tells(&process, "no connection to the broker that can be trusted").await;
    tells(&process, "ssl.ca.location").await;
    troubled(&process, "tls", 2.0).await;
    assert_eq!(get(&process, "/readyz").0, 503);
    drop(process);
    guarded.logged("strange.log");

    let process = guarded.serve(&rig, "scram.log", &guarded.tls(), &scram(&trusted, WRONG));
    tells(&process, "the broker refused the credentials").await;
    drop(process);
    guarded.logged("scram.log");

    let process = guarded.serve(&rig, "tls.log", &guarded.tls(), &scram(&trusted, PASSWORD));
    ready(&process).await;
    rig.settled().await;
    let judged = judge(&Observed::of(&rig)).unwrap();
    assert!(judged.triggers > 20, "{judged:?}");
    guarded.logged("tls.log");
}
