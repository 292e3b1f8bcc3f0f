//! Stands before every HTTP request: deadline, panics, metrics, compression.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use http::Method;
use tonic::Code;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};

use crate::clock::Stopwatch;
use crate::server::config::Sort;
use crate::server::limits::{Call, bounded, http_limit};
use crate::server::service::Context;

/// Answers above this many bytes are compressed for callers that accept it.
const COMPRESS_BYTES_MIN: u16 = 1_024;
/// Routes that a page waits for.
const QUERIES: &[&str] = &[
    "/v1/recommendations:query",
    "/v1/recommendations:explain",
    "/recommendations/{userId}",
    "/v1/users/{userId}/profile",
];

/// Puts the guard before every route.
pub(super) fn wrap(routes: Router, context: &Arc<Context>) -> Router {
    let worth_it = SizeAbove::new(COMPRESS_BYTES_MIN).and(NotForContentType::SSE);
    routes
        .layer(CompressionLayer::new().compress_when(worth_it))
        .layer(middleware::from_fn_with_state(Arc::clone(context), guard))
}

async fn guard(State(context): State<Arc<Context>>, mut request: Request, next: Next) -> Response {
    let time = Stopwatch::start();
    let method = method_label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let sort = if QUERIES.contains(&route.as_str()) {
        Sort::Query
    } else {
        Sort::Request
    };
    let response = match http_limit(request.headers(), context.config.deadline(sort)) {
        Ok(limit) => {
            request.extensions_mut().insert(Call::begin(limit));
            handle(&context, limit, next.run(request)).await
        }
        Err(error) => error.into_response(),
    };
    let status = response.status();
    let labels = [route.as_str(), method, status.as_str()];
    context
        .metrics
        .http_requests
        .with_label_values(&labels)
        .inc();
    context
        .metrics
        .http_request_seconds
        .with_label_values(&labels)
        .observe(time.seconds());
    response
}

async fn handle(
    context: &Context,
    limit: Duration,
    handled: impl Future<Output = Response>,
) -> Response {
    match bounded(Some(limit), handled).await {
        Ok(response) => response,
        Err(error) => {
            if error.code() == Code::Internal {
                context.metrics.panics.with_label_values(&["http"]).inc();
            }
            error.into_response()
        }
    }
}

/// Callers may send any word as a method, so only known ones become labels.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
