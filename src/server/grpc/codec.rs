//! Protobuf messages on the wire of gRPC: what cannot be decoded is the caller's mistake, and keeps its bytes.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::ProstEncoder;

use crate::domain::{Rejection, RejectionReason, Stage};
use crate::server::Error;

/// Encodes `T` and decodes `U`.
#[derive(Debug)]
pub struct IntakeCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for IntakeCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for IntakeCodec<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = IntakeDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::new(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        IntakeDecoder(PhantomData)
    }
}

/// Decodes `U`.
#[derive(Debug)]
pub struct IntakeDecoder<U>(PhantomData<U>);

impl<U: Message + Default> Decoder for IntakeDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        match U::decode(bytes.clone()) {
            Ok(message) => Ok(Some(message)),
            Err(error) => Err(Malformed::status(bytes, &error)),
        }
    }
}

/// A message that could not be decoded, with its bytes.
#[derive(Clone, Debug)]
pub struct Malformed {
    /// Why.
    pub rejection: Rejection,
    /// The message as it came.
    pub bytes: Bytes,
}

impl Malformed {
    fn status(bytes: Bytes, error: &prost::DecodeError) -> Status {
        let rejection = Rejection {
            stage: Stage::Parse,
            reason: RejectionReason::MalformedProtobuf,
            field: String::new(),
            detail: format!("not the protobuf message of this method: {error}"),
        };
        let mut status = Error::malformed(&rejection).to_status();
        status.set_source(Arc::new(Self { rejection, bytes }));
        status
    }

    /// The message behind a status, if that is what it is about.
    pub fn behind(status: &Status) -> Option<&Self> {
        std::error::Error::source(status)?.downcast_ref()
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rejection.detail)
    }
}

impl std::error::Error for Malformed {}
