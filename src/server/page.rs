//! The page at `/`: files of `console/`, embedded in the binary.
//!
//! The page is a client like any other: everything on it comes through the public HTTP interface of its own origin.
//! Its content security policy allows nothing else, so not even an escaping mistake could load or run foreign code.

use std::fmt::Write as _;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use bytes::Bytes;
use rust_embed::{Embed, EmbeddedFile};

/// What the browser may load and run: files of this origin, and nothing inline.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     object-src 'none'";

#[derive(Embed)]
#[folder = "console/"]
struct Files;

/// One embedded file, ready to be answered with.
#[derive(Clone)]
struct Asset {
    content: Bytes,
    media_type: &'static str,
    /// Strong: a hash of the content.
    etag: HeaderValue,
}

/// Answers `GET /` with the page and each of its files under its own name. Merged with the API's routes; the names do
/// not meet.
pub fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let mut router = Router::new();
    for name in Files::iter() {
        let Some(asset) = Files::get(&name).and_then(|file| Asset::new(&name, file)) else {
            continue;
        };
        let path = match &*name {
            "index.html" => "/".to_owned(),
            other => format!("/{other}"),
        };
        router = router.route(
            &path,
            get(move |headers: HeaderMap| async move { asset.answer(&headers) }),
        );
    }
    router
}

impl Asset {
    /// `None` for files that are no part of a page.
    fn new(name: &str, file: EmbeddedFile) -> Option<Self> {
        let mut etag = String::from("\"");
        for byte in file.metadata.sha256_hash().iter().take(16) {
            // Writing to a string does not fail.
            write!(etag, "{byte:02x}").ok()?;
        }
        etag.push('"');
        Some(Self {
            content: match file.data {
                std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
                std::borrow::Cow::Owned(data) => Bytes::from(data),
            },
            media_type: media_type(name)?,
            etag: HeaderValue::from_str(&etag).ok()?,
        })
    }

    fn answer(&self, asked: &HeaderMap) -> Response<Body> {
        let known = asked
            .get_all(header::IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|tag| matches_tag(tag, &self.etag));
        let mut answer = if known {
            let mut answer = Response::new(Body::empty());
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            answer
        } else {
            Response::new(Body::from(self.content.clone()))
        };
        let headers = answer.headers_mut();
        headers.insert(header::ETAG, self.etag.clone());
        // The names carry no version, so a browser asks each time; the tag makes the answer short.
        let fixed = [
            (header::CACHE_CONTROL, "no-cache"),
            (header::CONTENT_TYPE, self.media_type),
            (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
        ];
        for (name, value) in fixed {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }
}

/// Weak comparison, as RFC 9110 asks for `If-None-Match`: a proxy that compresses may have weakened our tag.
fn matches_tag(tag: &str, etag: &HeaderValue) -> bool {
    let tag = tag.trim();
    tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes()
}

fn media_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}
