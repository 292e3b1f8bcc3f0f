//! The page holds together without a browser: what it names exists, and its policy forbids what it must.
#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use impulse::server::page;
use tower::ServiceExt as _;

async fn ask(path: &str, etag: Option<&str>) -> Response<Body> {
    let mut request = Request::get(path);
    if let Some(etag) = etag {
        request = request.header(header::IF_NONE_MATCH, etag);
    }
    let router: Router = page::router();
    router
        .oneshot(request.body(Body::empty()).unwrap())
        .await
        .unwrap()
}

async fn text(path: &str) -> String {
    let answer = ask(path, None).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(body.to_vec()).unwrap()
}

fn header<'a>(answer: &'a Response<Body>, name: &header::HeaderName) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

/// Names of the files of the page, sorted.
fn files() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("console");
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Those of its modules.
fn scripts() -> Vec<String> {
    let is_script = |name: &String| Path::new(name).extension().is_some_and(|kind| kind == "js");
    files().into_iter().filter(is_script).collect()
}

/// What stands between `before` and `after`, wherever `before` stands.
fn between<'a>(text: &'a str, before: &str, after: char) -> Vec<&'a str> {
    text.split(before)
        .skip(1)
        .filter_map(|rest| rest.split(after).next())
        .collect()
}

#[tokio::test]
async fn every_file_is_served_with_its_type_and_policy() {
    for name in files() {
        let path = if name == "index.html" {
            "/".to_owned()
        } else {
            format!("/{name}")
        };
        let answer = ask(&path, None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let media_type = match name.rsplit('.').next().unwrap() {
            "html" => "text/html; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            other => panic!("{name}: what is .{other} doing here?"),
        };
        assert_eq!(header(&answer, &header::CONTENT_TYPE), media_type);
        assert_eq!(header(&answer, &header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        let policy = header(&answer, &header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("object-src 'none'"));
    }
}

#[tokio::test]
async fn a_known_file_is_not_sent_again() {
    let first = ask("/page.js", None).await;
    let etag = header(&first, &header::ETAG).to_owned();
    assert!(etag.len() > 10 && etag.starts_with('"'));
    for known in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let again = ask("/page.js", Some(&known)).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        assert_eq!(header(&again, &header::ETAG), etag);
    }
    assert_eq!(
        ask("/page.js", Some("\"other\"")).await.status(),
        StatusCode::OK
    );
    assert_ne!(header(&ask("/page.css", None).await, &header::ETAG), etag);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_found() {
    for path in [
        "/nothing.js",
        "/index.html",
        "/../Cargo.toml",
        "/console/page.js",
    ] {
        assert_eq!(
            ask(path, None).await.status(),
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
}

#[tokio::test]
async fn everything_the_page_names_exists() {
    let html = text("/").await;
    let mut named: BTreeSet<String> = between(&html, "src=\"", '"')
        .into_iter()
        .chain(between(&html, "<link rel=\"icon\" href=\"", '"'))
        .chain(between(&html, "<link rel=\"stylesheet\" href=\"", '"'))
        .map(str::to_owned)
        .collect();
    for name in scripts() {
        let script = text(&format!("/{name}")).await;
        named.extend(
            between(&script, "from \"./", '"')
                .into_iter()
                .map(|path| format!("/{path}")),
        );
    }
    for path in &named {
        assert!(path.starts_with('/'), "{path} is of another origin");
        assert_eq!(ask(path, None).await.status(), StatusCode::OK, "{path}");
    }
    // And nothing lies around that nobody names.
    let all: BTreeSet<String> = files()
        .into_iter()
        .filter(|name| name != "index.html")
        .map(|name| format!("/{name}"))
        .collect();
    assert_eq!(named, all);
}

#[tokio::test]
async fn every_id_the_scripts_use_is_in_the_page_once() {
    let html = text("/").await;
    let ids = between(&html, " id=\"", '"');
    let known: BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(known.len(), ids.len(), "an id stands twice");
    for name in scripts() {
        let script = text(&format!("/{name}")).await;
        let used = between(&script, "byId(\"", '"').into_iter();
        for id in used.chain(between(&script, "say(\"", '"')) {
            assert!(
                known.contains(id),
                "{name} uses #{id}, which is not in the page"
            );
        }
    }
    for attribute in ["for", "aria-labelledby"] {
        for id in between(&html, &format!(" {attribute}=\""), '"') {
            assert!(known.contains(id), "{attribute}=\"{id}\" leads nowhere");
        }
    }
}

#[tokio::test]
async fn nothing_is_inline_and_text_never_becomes_markup() {
    let html = text("/").await;
    for (index, _) in html.match_indices("<script") {
        assert!(html[index..].starts_with("<script type=\"module\" src="));
    }
    assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("javascript:"));
    for word in html.split_ascii_whitespace() {
        let handler = word.starts_with("on") && word.contains('=');
        assert!(!handler, "an inline handler: {word}");
    }
    let banned = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "DOMParser",
        "srcdoc",
        "setAttribute(\"style\"",
        "setAttribute(\"on",
        "http://",
        "https://",
        "console.log",
    ];
    for name in files() {
        let path = if name == "index.html" {
            "/".to_owned()
        } else {
            format!("/{name}")
        };
        let text = text(&path).await.replace("http://www.w3.org/2000/svg", "");
        for word in banned {
            assert!(!text.contains(word), "{name} has {word}");
        }
    }
}

#[tokio::test]
async fn the_page_can_be_used_without_a_mouse_or_eyes() {
    let html = text("/").await;
    assert!(html.contains("<html lang=\"en\">"));
    assert!(html.contains("name=\"viewport\""));
    assert!(html.contains("aria-live=\"polite\""));
    for tag in between(&html, "<button", '>') {
        assert!(tag.contains("type="), "<button{tag}> would send a form");
    }
    for tag in between(&html, "<input", '>') {
        let id = between(tag, "id=\"", '"')[0];
        let labelled = html.contains(&format!("for=\"{id}\""))
            || html.contains(&format!("<label class=\"switch\"><input{tag}>"));
        assert!(labelled, "#{id} has no label");
    }
    let css = text("/page.css").await;
    for feature in [
        "prefers-color-scheme: dark",
        "prefers-reduced-motion",
        ":focus-visible",
    ] {
        assert!(css.contains(feature), "{feature}");
    }
}
