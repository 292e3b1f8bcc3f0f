//! `grpc.health.v1`: the empty service is the process, `readiness` says whether to send it work.

use std::sync::Arc;

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, HealthService};

use crate::server::connection::stopped;
use crate::server::service::Context;

/// The service whose status is the readiness of the process.
const READINESS: &str = "readiness";

/// The health service, and a task that follows the health of the process until the end.
pub(super) fn service(context: &Arc<Context>) -> HealthServer<impl Health> {
    let mut reporter = HealthReporter::new();
    let service = HealthService::from_health_reporter(reporter.clone());
    let mut health = context.health.changes();
    let mut stop = context.stop.clone();
    tokio::spawn(async move {
        loop {
            let status = if health.borrow_and_update().ready() {
                ServingStatus::Serving
            } else {
                ServingStatus::NotServing
            };
            reporter.set_service_status(READINESS, status).await;
            tokio::select! {
                changed = health.changed() => if changed.is_err() { break },
                () = stopped(&mut stop) => break,
            }
        }
        // Whoever watches is let go, so that its connection can end.
        reporter.clear_service_status(READINESS).await;
        reporter.clear_service_status("").await;
    });
    HealthServer::new(service)
}
