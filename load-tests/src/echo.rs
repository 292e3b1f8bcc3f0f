//! A service that does nothing: what gRPC itself costs on this machine at this moment.

use std::io::Write as _;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

/// Serves `grpc.health.v1` and prints the address.
pub(crate) async fn serve(listen: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    let (_reporter, health) = tonic_health::server::health_reporter();
    let connections = TcpListenerStream::new(listener)
        .map(|connection| connection.inspect(|stream| drop(stream.set_nodelay(true))));
    Server::builder()
        .add_service(health)
        .serve_with_incoming(connections)
        .await?;
    Ok(())
}
