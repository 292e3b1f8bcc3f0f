//! For operators: metrics, liveness, readiness.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde_json::json;

use crate::server::Phase;
use crate::server::service::Context;

use super::Routes;
use super::body::NO_STORE;
use super::openapi::Operation;

/// The routes of this file.
pub(super) fn add(routes: Routes) -> Routes {
    routes
        .add(
            Operation::get("/metrics", "Metrics for Prometheus").text(),
            metrics,
        )
        .add(
            Operation::get("/livez", "Whether the process answers").answers("Health"),
            livez,
        )
        .add(
            Operation::get("/readyz", "Whether to send work here, and why not").answers("Health"),
            readyz,
        )
}

/// `GET /metrics`, in the text format of Prometheus.
async fn metrics(State(context): State<Arc<Context>>) -> Response {
    let format = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, format)], context.metrics.render()).into_response()
}

/// `GET /livez`: the process answers.
async fn livez() -> Response {
    (NO_STORE, axum::Json(json!({"status": "live"}))).into_response()
}

/// `GET /readyz`: whether to send work here, and why not.
async fn readyz(State(context): State<Arc<Context>>) -> Response {
    let state = context.health.state();
    let status = match state.phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
    };
    let code = if state.ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let behind = state.behind.map(|behind| behind.why);
    let body = json!({
        "status": status,
        "why": state.why,
        "freshness": context.health.freshness().as_str_name(),
        "behind": behind,
    });
    (code, NO_STORE, axum::Json(body)).into_response()
}
