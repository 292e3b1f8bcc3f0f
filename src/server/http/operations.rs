//! For operators: metrics, liveness, readiness.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde_json::json;

use crate::domain::Millis;
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
    observe_state(&context);
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

/// Sets what is read from the state instead of being counted.
fn observe_state(context: &Context) {
    let metrics = &context.metrics;
    if context.health.admit().is_err() {
        return;
    }
    let gauge = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let stats = context.view.stats();
    metrics.profiles.set(gauge(stats.profiles));
    metrics.items.set(gauge(stats.items));
    metrics.pairs.set(gauge(stats.pairs));
    metrics.episodes_open.set(gauge(stats.episodes_open));
    for (class, bytes) in [
        ("profiles", stats.profile_bytes),
        ("items", stats.item_bytes),
    ] {
        metrics
            .state_bytes
            .with_label_values(&[class])
            .set(gauge(bytes));
    }
    metrics.position.set(gauge(context.view.position()));
    let watermark = context.view.watermark();
    if watermark > Millis(0) {
        let delay_ms = i32::try_from(context.clock.now().since(watermark)).unwrap_or(i32::MAX);
        metrics.watermark_delay.set(f64::from(delay_ms) / 1e3);
    }
}
