//! Calls by bytes: messages that no client of ours would send.

use bytes::{Buf as _, BufMut as _, Bytes};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use crate::serving::{Connection, Reply, Serving};

/// Calls a method by gRPC-Web, over HTTP/1.1.
pub(super) async fn ask_web(
    serving: &Serving,
    path: &str,
    headers: &str,
    message: &impl prost::Message,
) -> Reply {
    let mut body = vec![0];
    body.put_u32(u32::try_from(message.encoded_len()).unwrap());
    message.encode(&mut body).unwrap();
    let headers = format!("content-type: application/grpc-web+proto\r\n{headers}");
    let mut connection = Connection::open(serving.grpc).await;
    connection.ask_with("POST", path, &headers, &body).await
}

/// Calls a method with a body that need not be a message.
pub(super) async fn raw_unary(
    serving: &Serving,
    path: &'static str,
    body: Vec<u8>,
) -> Result<Bytes, Status> {
    let mut client = tonic::client::Grpc::new(serving.channel().await);
    client.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static(path);
    client
        .unary(Request::new(Bytes::from(body)), path, RawCodec)
        .await
        .map(tonic::Response::into_inner)
}

/// Sends bytes as they are.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(bytes);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
