//! HTTP with JSON: the functions that gRPC offers, the two calls of the brief, and what operators and the page need.

mod body;
mod events;
mod recommendations;
mod items;
mod logs;
mod operations;
mod stream;
mod openapi;
mod guard;

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};

use crate::server::Error;
use crate::server::page;
use crate::server::service::Context;

use self::openapi::Operation;

/// Everything that is served on the HTTP port.
pub(super) fn service(context: &Arc<Context>) -> Router {
    let routes = routes();
    let document = Arc::new(openapi::document(&routes.operations));
    let api = routes
        .router
        .route(
            "/openapi.json",
            axum::routing::get(move || std::future::ready(axum::Json((*document).clone()))),
        )
        .merge(page::router())
        .method_not_allowed_fallback(refuse_method)
        .fallback(refuse_route)
        .with_state(Arc::clone(context));
    guard::wrap(api, context)
}

/// The routes, and what is said of each in `/openapi.json`: there is no route without a description.
struct Routes {
    router: Router<Arc<Context>>,
    operations: Vec<Operation>,
}

impl Routes {
    fn add<H, T>(mut self, operation: Operation, handler: H) -> Self
    where
        H: Handler<T, Arc<Context>>,
        T: 'static,
    {
        let filter = match operation.method {
            openapi::Method::Get => MethodFilter::GET,
            openapi::Method::Post => MethodFilter::POST,
            openapi::Method::Delete => MethodFilter::DELETE,
        };
        self.router = self.router.route(operation.path, on(filter, handler));
        self.operations.push(operation);
        self
    }
}

fn routes() -> Routes {
    let routes = Routes {
        router: Router::new(),
        operations: Vec::new(),
    };
    [
        events::add,
        recommendations::add,
        items::add,
        logs::add,
        stream::add,
        operations::add,
    ]
    .into_iter()
    .fold(routes, |routes, add| add(routes))
}

async fn refuse_route(request: axum::extract::Request) -> Error {
    Error::route_not_found(request.method().as_str(), request.uri().path())
}

async fn refuse_method(request: axum::extract::Request) -> Error {
    Error::method_not_allowed(request.method().as_str(), request.uri().path())
}
