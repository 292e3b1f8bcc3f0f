//! Stands before every gRPC call: deadline, panics, the form of errors, metrics.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame};
use tonic::{Code, Status};
use tower::Service;

use crate::clock::Stopwatch;
use crate::metrics::Metrics;
use crate::server::config::Sort;
use crate::server::limits::{Call, bounded, grpc_limit};
use crate::server::service::Context;
use crate::server::{Error, code_name};

use super::events::bury_malformed;

/// A method that is served here: service, method, and how long it may take; `None` for streams.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Method {
    service: &'static str,
    name: &'static str,
    sort: Option<Sort>,
}

const METHODS: &[Method] = &[
    Method::new(
        "impulse.v1.RecommendationService",
        "Recommend",
        Some(Sort::Query),
    ),
    Method::new(
        "impulse.v1.RecommendationService",
        "Explain",
        Some(Sort::Query),
    ),
    Method::new("impulse.v1.ProfileService", "GetProfile", Some(Sort::Query)),
    Method::new(
        "impulse.v1.EventService",
        "RecordEvents",
        Some(Sort::Request),
    ),
    Method::new("impulse.v1.EventService", "StreamEvents", None),
    Method::new(
        "impulse.v1.CatalogService",
        "UpsertItems",
        Some(Sort::Request),
    ),
    Method::new(
        "impulse.v1.CatalogService",
        "DeleteItems",
        Some(Sort::Request),
    ),
    Method::new("impulse.v1.CatalogService", "GetItem", Some(Sort::Request)),
    Method::new("impulse.v1.TriggerService", "Subscribe", None),
    Method::new(
        "impulse.v1.TriggerService",
        "ListEpisodes",
        Some(Sort::Request),
    ),
    Method::new("grpc.health.v1.Health", "Check", Some(Sort::Request)),
    Method::new("grpc.health.v1.Health", "Watch", None),
    Method::new(
        "grpc.reflection.v1.ServerReflection",
        "ServerReflectionInfo",
        None,
    ),
    Method::new(
        "grpc.reflection.v1alpha.ServerReflection",
        "ServerReflectionInfo",
        None,
    ),
];

/// What everything else counts as, so that a caller cannot make labels.
const UNKNOWN: Method = Method::new("unknown", "unknown", Some(Sort::Request));

impl Method {
    const fn new(service: &'static str, name: &'static str, sort: Option<Sort>) -> Self {
        Self {
            service,
            name,
            sort,
        }
    }

    fn of_path(path: &str) -> Self {
        let found = path.strip_prefix('/').and_then(|path| {
            let (service, name) = path.split_once('/')?;
            METHODS
                .iter()
                .find(|method| method.service == service && method.name == name)
        });
        found.copied().unwrap_or(UNKNOWN)
    }

    fn takes_events(self) -> bool {
        self.service == "impulse.v1.EventService"
    }
}

/// The call that a request belongs to.
pub(super) fn call_of<T>(request: &tonic::Request<T>) -> Call {
    // Every request passes the guard; one that did not would have no time left.
    request
        .extensions()
        .get()
        .copied()
        .unwrap_or_else(|| Call::begin(Duration::ZERO))
}

/// The layer.
#[derive(Clone)]
pub(super) struct Guard {
    inner: Router,
    context: Arc<Context>,
}

impl Guard {
    pub(super) fn new(inner: Router, context: Arc<Context>) -> Self {
        Self { inner, context }
    }
}

impl Service<Request<tonic::body::Body>> for Guard {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.inner, task)
    }

    fn call(&mut self, mut request: Request<tonic::body::Body>) -> Self::Future {
        let context = Arc::clone(&self.context);
        let method = Method::of_path(request.uri().path());
        let limit = method
            .sort
            .map(|sort| grpc_limit(request.headers(), context.config.deadline(sort)));
        let time = Stopwatch::start();
        request
            .extensions_mut()
            .insert(Call::begin(limit.unwrap_or(Duration::MAX)));
        let handled = Service::call(&mut self.inner, request.map(Body::new));
        Box::pin(async move {
            let answered = bounded(limit, async {
                let Ok(response) = handled.await;
                if method.takes_events()
                    && let Some(status) = response.extensions().get::<Status>()
                {
                    bury_malformed(&context, status).await;
                }
                response
            });
            let response = match answered.await {
                Ok(response) => completed(response, context.config.request_bytes_max),
                Err(error) => {
                    if error.code() == Code::Internal {
                        context.metrics.panics.with_label_values(&["grpc"]).inc();
                    }
                    error.to_status().into_http()
                }
            };
            Ok(counted(response, method, time, &context.metrics))
        })
    }
}

/// Gives an error that was made below its details.
fn completed(mut response: Response<Body>, limit_bytes: usize) -> Response<Body> {
    let headers = response.headers_mut();
    let lacks_details = !headers.contains_key(Status::GRPC_STATUS_DETAILS);
    if let Some(status) = Status::from_header_map(headers)
        && status.code() != Code::Ok
        && lacks_details
    {
        let complete = Error::complete(&status, limit_bytes).to_status();
        headers.remove(Status::GRPC_MESSAGE);
        if let Err(unfit) = complete.add_header(headers) {
            tracing::error!(%unfit, "an error does not fit into headers");
        }
    }
    response
}

/// Counts a call when its answer begins, or, for a stream, when it ends.
fn counted(
    response: Response<Body>,
    method: Method,
    time: Stopwatch,
    metrics: &Arc<Metrics>,
) -> Response<Body> {
    let early = code_in(response.headers());
    if method.sort.is_none() && early.is_none() {
        let count = StreamCount {
            method,
            metrics: Arc::clone(metrics),
            code: Code::Cancelled,
        };
        return response.map(|body| Body::new(CountedBody { body, count }));
    }
    let labels = [
        method.service,
        method.name,
        code_name(early.unwrap_or(Code::Ok)),
    ];
    metrics.grpc_requests.with_label_values(&labels).inc();
    metrics
        .grpc_request_seconds
        .with_label_values(&labels)
        .observe(time.seconds());
    response
}

fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(Status::GRPC_STATUS)
        .map(|value| Code::from_bytes(value.as_bytes()))
}

/// The body of a stream; its code comes in the trailers.
struct CountedBody {
    body: Body,
    count: StreamCount,
}

/// Counts a stream when it is dropped: without trailers the caller went away.
struct StreamCount {
    method: Method,
    metrics: Arc<Metrics>,
    code: Code,
}

impl HttpBody for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(task);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(code) = frame.trailers_ref().and_then(code_in)
        {
            self.count.code = code;
        }
        polled
    }
}

impl Drop for StreamCount {
    fn drop(&mut self) {
        self.metrics
            .grpc_requests
            .with_label_values(&[self.method.service, self.method.name, code_name(self.code)])
            .inc();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::wire::proto::FILE_DESCRIPTOR_SET;

    #[test]
    fn every_method_of_the_protos_is_listed() {
        let mut found = 0;
        for descriptors in [
            FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            for file in FileDescriptorSet::decode(descriptors).unwrap().file {
                for service in &file.service {
                    for method in &service.method {
                        let path =
                            format!("/{}.{}/{}", file.package(), service.name(), method.name());
                        let listed = Method::of_path(&path);
                        assert_ne!(listed, UNKNOWN, "{path}");
                        let streams = method.client_streaming() || method.server_streaming();
                        assert_eq!(listed.sort.is_none(), streams, "{path}");
                        found += 1;
                    }
                }
            }
        }
        assert_eq!(
            found,
            METHODS.len(),
            "no method is listed twice or for nothing"
        );
    }

    #[test]
    fn a_path_of_no_method_makes_no_label() {
        for path in ["", "/", "/a", "/impulse.v1.EventService/Drop", "//"] {
            assert_eq!(Method::of_path(path), UNKNOWN, "{path}");
        }
    }
}
