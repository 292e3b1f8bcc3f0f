//! gRPC: one file a service, over the functions that HTTP uses too.

pub mod codec;
pub mod raw;
mod guard;
mod events;
mod recommendations;
mod profiles;
mod catalog;
mod triggers;
mod health;

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic_reflection::server::Error as ReflectionError;
use tonic_web::GrpcWebLayer;
use tower::{Layer as _, Service, ServiceExt};

use crate::server::service::Context;
use crate::wire::proto::FILE_DESCRIPTOR_SET;

use self::catalog::Catalog;
use self::events::Events;
use self::guard::Guard;
use self::profiles::Profiles;
use self::recommendations::Recommendations;
use self::stubs::catalog_service_server::CatalogServiceServer;
use self::stubs::event_service_server::EventServiceServer;
use self::stubs::profile_service_server::ProfileServiceServer;
use self::stubs::recommendation_service_server::RecommendationServiceServer;
use self::stubs::trigger_service_server::TriggerServiceServer;
use self::triggers::Triggers;

/// The generated server side of `proto/impulse/v1`.
mod stubs {
    #![expect(clippy::pedantic, reason = "generated")]
    #![allow(
        unreachable_pub,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::clone_on_ref_ptr,
        reason = "generated code carries its own"
    )]

    include!(concat!(env!("OUT_DIR"), "/server/impulse.v1.rs"));
}

/// Answers above this many bytes are compressed for callers that accept it.
const COMPRESS_BYTES_MIN: usize = 1_024;

/// Everything that is served on the gRPC port, to callers over HTTP/2 and, by gRPC-Web, to browsers.
///
/// # Errors
///
/// If the descriptors that reflection serves are broken.
pub(super) fn service(context: &Arc<Context>) -> Result<impl GrpcService, ReflectionError> {
    macro_rules! serve {
        ($server:ident, $service:ident) => {
            $server::new($service(Arc::clone(context)))
                .max_decoding_message_size(context.config.request_bytes_max)
                .accept_compressed(Gzip)
                .accept_compressed(Zstd)
                .send_compressed(Gzip)
                .send_compressed(Zstd)
        };
    }
    let routes = Routes::new(serve!(EventServiceServer, Events))
        .add_service(serve!(RecommendationServiceServer, Recommendations))
        .add_service(serve!(ProfileServiceServer, Profiles))
        .add_service(serve!(CatalogServiceServer, Catalog))
        .add_service(serve!(TriggerServiceServer, Triggers))
        .add_service(health::service(context))
        .add_service(reflection().build_v1()?)
        .add_service(reflection().build_v1alpha()?)
        .prepare();
    let guarded = Guard::new(routes.into_axum_router(), Arc::clone(context));
    let served = GrpcWebLayer::new().layer(guarded);
    Ok(ServiceExt::<Request>::map_response(
        served,
        |response: http::Response<tonic::body::Body>| response.map(Body::new),
    ))
}

/// What a listener can serve.
pub(super) trait GrpcService:
    Service<Request, Response = axum::response::Response, Error = Infallible, Future: Future + Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> GrpcService for S where
    S: Service<
            Request,
            Response = axum::response::Response,
            Error = Infallible,
            Future: Future + Send,
        > + Clone
        + Send
        + Sync
        + 'static
{
}

/// What `grpcurl` and other tools ask for: our messages, health, and the details of errors.
fn reflection<'a>() -> tonic_reflection::server::Builder<'a> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// An answer; a small one is sent as it is.
fn answer<T: prost::Message>(message: T) -> tonic::Response<T> {
    let small = message.encoded_len() < COMPRESS_BYTES_MIN;
    let mut response = tonic::Response::new(message);
    if small {
        response.disable_compression();
    }
    response
}
