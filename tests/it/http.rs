//! HTTP over real connections: every route, every error, and what a careless or hostile caller can do.

use impulse::server::Config;
use impulse::wire::proto;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::serving::{Connection, NOW, Reply, Serving};

/// The server still takes events and answers.
async fn still_answers(serving: &Serving) {
    let event = br#"{"kind":"product_view","userId":"alive","itemId":"i1"}"#;
    let recorded = serving.ask("POST", "/v1/events", event).await.json();
    assert!(recorded["position"].as_u64().unwrap() > 0, "{recorded}");
    let profile = serving.ask("GET", "/v1/users/alive/profile", b"").await;
    assert_eq!(profile.status, 200, "{profile:?}");
}

async fn dead_letters(serving: &Serving) -> Vec<proto::DeadLetter> {
    let page = serving.ask("GET", "/v1/dead-letters", b"").await.json();
    serde_json::from_value(page["deadLetters"].clone()).unwrap()
}

#[tokio::test]
async fn events_come_alone_in_an_array_or_in_an_object() {
    let serving = Serving::start().await;
    let one = json!({"event_id": "a", "kind": "product_view", "user_id": "u", "item_id": "i"});
    let other = json!({"eventId": "b", "kind": "PRODUCT_VIEW", "userId": "u", "itemId": "i"});
    let ask = async |body: &Value| {
        let reply = serving
            .ask("POST", "/v1/events", body.to_string().as_bytes())
            .await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let first = ask(&one).await;
    assert_eq!(
        first["results"],
        json!([{"eventId": "a", "status": "ACCEPTED"}])
    );
    let position = first["position"].as_u64().unwrap();
    let second = ask(&json!([one, other])).await;
    assert_eq!(
        second["results"],
        json!([
            {"eventId": "a", "status": "DUPLICATE"},
            {"eventId": "b", "status": "ACCEPTED"},
        ])
    );
    assert!(second["position"].as_u64().unwrap() > position);
    let third = ask(&json!({"events": [other, {"eventId": "c", "kind": "product_view"}]})).await;
    assert_eq!(third["results"][0]["status"], "DUPLICATE");
    let rejected = &third["results"][1];
    assert_eq!(rejected["status"], "REJECTED");
    assert_eq!(rejected["eventId"], "c");
    assert_eq!(rejected["reason"], "missing_field");
    assert_eq!(rejected["field"], "user_id");
    assert!(!rejected["detail"].as_str().unwrap().is_empty());
    assert_eq!(ask(&json!([])).await["results"], json!([]));
    serving.stop().await;
}

#[tokio::test]
async fn the_two_calls_of_the_brief_work_as_written() {
    let serving = Serving::start().await;
    let event = br#"{"userId":"12345","eventType":"product_view",
                     "metadata":{"productId":"ps5","category":"gaming","price":59.9,"currency":"EUR"}}"#;
    let reply = serving.ask("POST", "/track-event", event).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json(), json!({"status": "event recorded"}));
    assert_eq!(serving.ask("POST", "/track-event", event).await.status, 200);

    let bad = br#"{"userId":"12345","eventType":"teleported"}"#;
    let reply = serving.ask("POST", "/track-event", bad).await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (400, "INVALID_REQUEST")
    );
    assert_eq!(reply.fields(), ["kind"]);
    let letters = dead_letters(&serving).await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].payload, bad);
    assert_eq!(letters[0].content_type, "application/json");
    assert_eq!(letters[0].reason, "unknown_kind");

    let reply = serving
        .ask("GET", "/v1/users/12345/profile", b"")
        .await
        .json();
    assert_eq!(reply["profile"]["userId"], "12345");
    assert_eq!(reply["profile"]["preferredCategories"], json!(["gaming"]));
    assert_eq!(reply["freshness"], "FRESHNESS_LIVE");
    serving.stop().await;
}

#[tokio::test]
async fn recommendations_of_a_shopper_are_a_list_of_items() {
    let serving = Serving::start().await;
    let items: Vec<Value> = (0..8)
        .map(|n| json!({"itemId": format!("i{n}"), "title": format!("Item {n}"), "price": n}))
        .collect();
    let body = Value::from(items).to_string();
    assert_eq!(
        serving
            .ask("POST", "/v1/items", body.as_bytes())
            .await
            .status,
        200
    );
    let reply = serving
        .ask("GET", "/recommendations/newcomer?limit=5", b"")
        .await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let items = reply.json();
    let items = items.as_array().unwrap();
    assert_eq!(items.len(), 5);
    for (place, item) in items.iter().enumerate() {
        assert_eq!(item["rank"], place + 1);
        assert!(item["item"]["title"].as_str().unwrap().starts_with("Item "));
        assert_eq!(item["item"]["itemId"], item["itemId"]);
    }
    let reply = serving
        .ask("GET", "/recommendations/newcomer?limit=many", b"")
        .await;
    assert_eq!(
        (reply.status, reply.fields()),
        (400, vec!["limit".to_owned()])
    );
    let reply = serving
        .ask("GET", "/recommendations/newcomer?placement=nowhere", b"")
        .await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (404, "PLACEMENT_NOT_FOUND")
    );
    serving.stop().await;
}

#[tokio::test]
async fn items_are_added_changed_read_and_taken_out() {
    let serving = Serving::start().await;
    let added = serving
        .ask(
            "POST",
            "/v1/items",
            br#"{"items":[{"item_id":"i1","title":"A","price":5,"brand":"b"}]}"#,
        )
        .await
        .json();
    assert_eq!(added["upserted"], 1);
    let changed = serving
        .ask("POST", "/v1/items", br#"{"itemId":"i1","price":4.5}"#)
        .await;
    assert_eq!(changed.json()["upserted"], 1);
    let item = serving.ask("GET", "/v1/items/i1", b"").await.json();
    assert_eq!(item["item"]["title"], "A");
    assert_eq!(item["item"]["price"], 4.5);
    assert_eq!(item["inCatalog"], true);
    assert_eq!(
        serving.ask("DELETE", "/v1/items/i1", b"").await.json()["deleted"],
        1
    );
    let again = serving.ask("DELETE", "/v1/items/i1", b"").await;
    assert_eq!((again.status, again.json().get("deleted")), (200, None));
    let unknown = serving.ask("GET", "/v1/items/never", b"").await;
    assert_eq!(
        (unknown.status, unknown.reason().as_str()),
        (404, "ITEM_NOT_FOUND")
    );

    let bad = br#"[{"itemId":"i2"},{"itemId":"i3","price":-1}]"#;
    let reply = serving.ask("POST", "/v1/items", bad).await;
    assert_eq!(
        (reply.status, reply.fields()),
        (400, vec!["items[1].price".to_owned()])
    );
    assert_eq!(
        serving.ask("GET", "/v1/items/i2", b"").await.status,
        404,
        "all or none"
    );
    serving.stop().await;
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_kept_byte_for_byte() {
    let serving = Serving::start().await;
    let cases: [(&[u8], &str, &str); 5] = [
        (b"{\"kind\":", "MALFORMED", "malformed_json"),
        (b"\x00\xff\xfe", "MALFORMED", "malformed_json"),
        (b"", "MALFORMED", "malformed_json"),
        (b"\"a text\"", "INVALID_REQUEST", "wrong_type"),
        (b"{\"events\":7}", "INVALID_REQUEST", "wrong_type"),
    ];
    for (number, (body, reason, why)) in cases.into_iter().enumerate() {
        let reply = serving.ask("POST", "/v1/events", body).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (400, reason),
            "{body:?}"
        );
        let letter = &dead_letters(&serving).await[number];
        assert_eq!(
            (letter.payload.as_slice(), letter.reason.as_str()),
            (body, why)
        );
        assert_eq!(letter.source, "http");
    }
    for path in [
        "/v1/recommendations:query",
        "/v1/recommendations:explain",
        "/v1/items",
    ] {
        let reply = serving.ask("POST", path, b"{\"").await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (400, "MALFORMED"),
            "{path}"
        );
    }
    assert_eq!(
        dead_letters(&serving).await.len(),
        cases.len(),
        "only events are kept"
    );
    let reply = serving
        .ask(
            "POST",
            "/v1/recommendations:query",
            br#"{"placement":"home","limit":"many"}"#,
        )
        .await;
    assert_eq!(reply.fields(), ["limit"]);
    still_answers(&serving).await;
    serving.stop().await;
}

#[tokio::test]
async fn bad_values_name_their_fields() {
    let serving = Serving::start().await;
    for (event, reason, field) in [
        (
            json!({"kind": "teleport", "userId": "u"}),
            "unknown_kind",
            "kind",
        ),
        (json!({"userId": "u"}), "missing_field", "kind"),
        (
            json!({"kind": "product_view", "userId": "u"}),
            "missing_field",
            "item_id",
        ),
        (
            json!({"kind": "product_view", "userId": "u\u{0}", "itemId": "i"}),
            "control_character",
            "user_id",
        ),
        (
            json!({"kind": "product_view", "userId": "u", "itemId": "i", "price": -0.01}),
            "invalid_value",
            "price",
        ),
        (
            json!({"kind": "product_view", "userId": "u", "itemId": "x".repeat(300)}),
            "too_long",
            "item_id",
        ),
        (
            json!({"kind": "product_view", "userId": ["u"], "itemId": "i"}),
            "wrong_type",
            "user_id",
        ),
    ] {
        let reply = serving
            .ask("POST", "/v1/events", event.to_string().as_bytes())
            .await;
        let result = &reply.json()["results"][0];
        assert_eq!(reply.status, 200);
        assert_eq!(result["status"], "REJECTED", "{event}");
        assert_eq!(
            (&result["reason"], &result["field"]),
            (&reason.into(), &field.into()),
            "{event}"
        );
        let tracked = serving
            .ask("POST", "/track-event", event.to_string().as_bytes())
            .await;
        assert_eq!(
            (tracked.status, tracked.fields()),
            (400, vec![field.to_owned()]),
            "{event}"
        );
    }
    still_answers(&serving).await;
    serving.stop().await;
}

#[tokio::test]
async fn too_much_at_once_is_refused_with_the_limit() {
    let serving = Serving::start().await;
    let body = vec![b' '; 10 << 20];
    for path in [
        "/v1/events",
        "/track-event",
        "/v1/items",
        "/v1/recommendations:query",
    ] {
        let reply = serving.ask("POST", path, &body).await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (413, "REQUEST_TOO_LARGE"),
            "{path}"
        );
        let json = reply.json();
        assert_eq!(
            json["error"]["details"][0]["metadata"]["limitBytes"],
            (4 << 20).to_string()
        );
    }
    for (path, field) in [("/v1/events", "events"), ("/v1/items", "items")] {
        let many = format!("[{}{{}}]", "{},".repeat(99_999));
        let reply = serving.ask("POST", path, many.as_bytes()).await;
        assert_eq!(
            (reply.status, reply.fields()),
            (400, vec![field.to_owned()]),
            "{path}"
        );
        assert!(reply.text().contains("1000"), "{}", reply.text());
    }
    assert_eq!(
        dead_letters(&serving).await.len(),
        0,
        "the sender can send it again in parts"
    );
    let reached = serving.metric(
        "impulse_limits_reached_total",
        &["limit=\"request_bytes_max\""],
    );
    assert!((reached - 4.0).abs() < 0.1, "{reached}");
    still_answers(&serving).await;
    serving.stop().await;
}

#[tokio::test]
async fn packed_bodies_are_refused_by_name() {
    let serving = Serving::start().await;
    let reply = serving
        .connection()
        .await
        .ask_with(
            "POST",
            "/v1/events",
            "content-encoding: gzip\r\n",
            b"\x1f\x8b",
        )
        .await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (415, "UNSUPPORTED_MEDIA_TYPE")
    );
    serving.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_told_in_the_same_form() {
    let serving = Serving::start().await;
    let reply = serving.ask("GET", "/v2/everything", b"").await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (404, "ROUTE_NOT_FOUND")
    );
    let reply = serving.ask("PATCH", "/v1/events", b"").await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (405, "METHOD_NOT_ALLOWED")
    );
    let reply = serving.ask("GET", "/v1/users/nobody/profile", b"").await;
    assert_eq!(
        (reply.status, reply.reason().as_str()),
        (404, "USER_NOT_FOUND")
    );
    let odd = ["route=\"unknown\"", "status=\"404\""];
    assert!((serving.metric("impulse_http_requests_total", &odd) - 1.0).abs() < 0.1);
    serving.stop().await;
}

#[tokio::test]
async fn the_description_lists_exactly_the_routes() {
    let serving = Serving::start().await;
    let document = serving.ask("GET", "/openapi.json", b"").await.json();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 14, "{:?}", paths.keys());
    for (path, methods) in paths {
        let concrete = path.replace("{userId}", "u").replace("{itemId}", "i");
        for method in ["get", "post", "put", "patch", "delete"] {
            if path == "/v1/stream" && method == "get" {
                continue;
            }
            let reply = serving.ask(&method.to_uppercase(), &concrete, b"").await;
            let offered = reply.status != 405;
            assert_eq!(
                methods.get(method).is_some(),
                offered,
                "{method} {path}: {reply:?}"
            );
            assert!(
                reply.status != 404 || reply.reason() != "ROUTE_NOT_FOUND",
                "{method} {path}"
            );
        }
    }
    serving.stop().await;
}

#[tokio::test]
async fn readiness_says_why_not() {
    let serving = Serving::start().await;
    let ready = serving.ask("GET", "/readyz", b"").await;
    assert_eq!(
        (ready.status, &ready.json()["status"]),
        (200, &"ready".into())
    );
    serving.health.set_behind(NOW, true, "the disk is full");
    let behind = serving.ask("GET", "/readyz", b"").await;
    assert_eq!(behind.status, 200, "reads never stop");
    assert_eq!(behind.json()["behind"], "the disk is full");
    serving.health.set_progress("12 of 100 segments read");
    let starting = serving.ask("GET", "/readyz", b"").await;
    assert_eq!(
        (starting.status, &starting.json()["why"]),
        (503, &"12 of 100 segments read".into())
    );
    let query = serving.ask("GET", "/v1/users/u/profile", b"").await;
    assert_eq!((query.status, query.reason().as_str()), (503, "RESTORING"));
    assert!(query.head.contains("retry-after: 1"), "{}", query.head);
    serving.health.set_draining();
    let draining = serving.ask("GET", "/readyz", b"").await;
    assert_eq!(
        (draining.status, &draining.json()["status"]),
        (503, &"draining".into())
    );
    assert_eq!(serving.ask("GET", "/livez", b"").await.status, 200);
    serving.stop().await;
}

#[tokio::test]
async fn a_deadline_stops_the_wait() {
    let serving = Serving::with(Config {
        query_deadline_ms: 80,
        ..Config::default()
    })
    .await;
    let path = "/v1/users/u/profile?minPosition=99999999";
    for header in [
        "x-request-timeout-ms: 20\r\n",
        "x-request-timeout-ms: 9999999\r\n",
        "",
    ] {
        let reply = serving
            .connection()
            .await
            .ask_with("GET", path, header, b"")
            .await;
        assert_eq!(
            (reply.status, reply.reason().as_str()),
            (504, "POSITION_NOT_REACHED")
        );
        assert_eq!(reply.json()["error"]["status"], "DEADLINE_EXCEEDED");
    }
    let reply = serving
        .connection()
        .await
        .ask_with("GET", path, "x-request-timeout-ms: soon\r\n", b"")
        .await;
    assert_eq!(reply.fields(), ["x-request-timeout-ms"]);
    still_answers(&serving).await;
    serving.stop().await;
}

#[tokio::test]
async fn many_requests_share_one_connection() {
    let serving = Serving::start().await;
    let mut connection = serving.connection().await;
    for number in 0..300 {
        let event =
            format!(r#"{{"eventId":"{number}","kind":"product_view","userId":"u","itemId":"i"}}"#);
        let reply = connection.ask("POST", "/v1/events", event.as_bytes()).await;
        assert_eq!(reply.json()["results"][0]["status"], "ACCEPTED");
        assert!(!reply.head.contains("connection: close"), "{}", reply.head);
    }
    let open = serving.metric("impulse_connections_open", &["protocol=\"http\""]);
    assert!((open - 1.0).abs() < 0.1, "{open}");
    serving.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_their_turn() {
    let serving = Serving::with(Config {
        connections_max: 2,
        ..Config::default()
    })
    .await;
    let mut first = serving.connection().await;
    let mut second = serving.connection().await;
    assert_eq!(first.ask("GET", "/livez", b"").await.status, 200);
    assert_eq!(second.ask("GET", "/livez", b"").await.status, 200);
    let mut third = serving.connection().await;
    third
        .send(b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n")
        .await;
    assert_eq!(first.ask("GET", "/livez", b"").await.status, 200);
    let open = serving.metric("impulse_connections_open", &["protocol=\"http\""]);
    assert!((open - 2.0).abs() < 0.1, "{open}");
    drop(second);
    assert_eq!(third.reply().await.status, 200);
    assert!(serving.metric("impulse_limits_reached_total", &["connections_max"]) >= 1.0);
    drop((first, third));
    serving.stop().await;
}

#[tokio::test]
async fn broken_requests_do_no_harm() {
    let serving = Serving::start().await;
    for bytes in [
        b"NONSENSE\r\n\r\n".as_slice(),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: t\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/events HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ] {
        let mut connection = serving.connection().await;
        connection.send(bytes).await;
    }
    let mut connection = serving.connection().await;
    let headers = "x: y\r\n".repeat(200);
    let head = format!("GET /livez HTTP/1.1\r\nhost: t\r\n{headers}\r\n");
    connection.send(head.as_bytes()).await;
    assert!(connection.head().await.contains(" 431 "));
    // Half a request and away.
    let stream = TcpStream::connect(serving.http).await.unwrap();
    stream
        .try_write(b"POST /v1/events HTTP/1.1\r\nhost: t\r\ncontent-length: 99\r\n\r\n{")
        .unwrap();
    drop(stream);
    still_answers(&serving).await;
    serving.stop().await;
}

#[tokio::test]
async fn metrics_are_what_prometheus_expects() {
    let serving = Serving::start().await;
    still_answers(&serving).await;
    let reply = serving.ask("GET", "/metrics", b"").await;
    assert!(
        reply
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        reply.head
    );
    for series in [
        "impulse_http_requests_total{method=\"POST\",route=\"/v1/events\",status=\"200\"} 1",
        "impulse_events_total{kind=\"product_view\",result=\"applied\",source=\"http\"} 1",
        "impulse_http_request_seconds_bucket{method=\"GET\",route=\"/v1/users/{userId}/profile\",status=\"200\",le=\"0.01\"}",
    ] {
        assert!(reply.text().contains(series), "{series}\n{}", reply.text());
    }
    check_with_promtool(&reply);
    serving.stop().await;
}

fn check_with_promtool(reply: &Reply) {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    let mut command = Command::new("promtool");
    command
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let Ok(mut promtool) = command.spawn() else {
        println!("SKIPPED promtool check metrics: promtool is not installed (Debian: prometheus)");
        return;
    };
    promtool
        .stdin
        .take()
        .unwrap()
        .write_all(&reply.body)
        .unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[tokio::test]
async fn long_answers_are_packed_and_short_ones_are_not() {
    let serving = Serving::start().await;
    let mut connection = serving.connection().await;
    let accept = "accept-encoding: gzip\r\n";
    let long = connection
        .ask_with("GET", "/openapi.json", accept, b"")
        .await;
    assert!(
        long.head.contains("content-encoding: gzip"),
        "{}",
        long.head
    );
    let short = connection.ask_with("GET", "/livez", accept, b"").await;
    assert!(!short.head.contains("content-encoding"), "{}", short.head);
    serving.stop().await;
}

#[tokio::test]
async fn the_stream_tells_accepted_events_and_figures_and_ends_with_the_server() {
    let serving = Serving::start().await;
    let mut stream = serving.connection().await;
    stream
        .send(b"GET /v1/stream HTTP/1.1\r\nhost: t\r\n\r\n")
        .await;
    let head = stream.head().await;
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let event = br#"{"eventId":"e1","kind":"product_view","userId":"u","itemId":"i"}"#;
    assert_eq!(serving.ask("POST", "/v1/events", event).await.status, 200);

    let told = next_of(&mut stream, "event").await;
    assert_eq!(
        (&told["eventId"], &told["kind"]),
        (&"e1".into(), &"product_view".into())
    );
    let figures = next_of(&mut stream, "stats").await;
    for name in [
        "asOf",
        "speed",
        "eventsPerSecond",
        "answers",
        "tookUsP50",
        "tookUsP99",
    ] {
        assert!(figures.get(name).is_some(), "{name} in {figures}");
    }
    serving.stop().await;
    while stream.line_if_open().await.is_some() {}
}

/// What the next server-sent event of this name says.
async fn next_of(stream: &mut Connection, name: &str) -> Value {
    let wanted = format!("event: {name}");
    while stream.line().await != wanted {}
    let line = stream.line().await;
    serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap()
}

#[tokio::test]
async fn an_open_address_is_refused_without_a_word() {
    let config = Config {
        http_listen: "0.0.0.0:0".parse().unwrap(),
        grpc_listen: "127.0.0.1:0".parse().unwrap(),
        ..Config::default()
    };
    let refused = impulse::server::bind(&config)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("--insecure"), "{refused}");
    let insecure = Config {
        insecure: true,
        ..config
    };
    let bound = impulse::server::bind(&insecure).await.unwrap();
    let taken = Config {
        http_listen: format!("127.0.0.1:{}", bound.http_address().unwrap().port())
            .parse()
            .unwrap(),
        ..Config::default()
    };
    let refused = impulse::server::bind(&taken).await.unwrap_err().to_string();
    assert!(
        refused.contains("cannot listen on") && refused.contains("--http-listen"),
        "{refused}"
    );
}
