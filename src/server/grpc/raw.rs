//! Events as they come: the bytes of each stay together, so that one that cannot be read is refused alone and kept.

use bytes::Bytes;

/// `impulse.v1.RecordEventsRequest` with its events not yet read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RecordEventsRequest {
    /// The bytes of an `impulse.v1.Event` each.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub events: Vec<Bytes>,
}

/// `impulse.v1.StreamEventsRequest` with its events not yet read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct StreamEventsRequest {
    /// The bytes of an `impulse.v1.Event` each.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub events: Vec<Bytes>,
    /// Whether they are history.
    #[prost(bool, tag = "2")]
    pub historical: bool,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::wire::proto;

    #[test]
    fn both_forms_are_one_on_the_wire() {
        let event = proto::Event {
            event_id: "e1".into(),
            kind: 1,
            ..proto::Event::default()
        };
        let message = proto::StreamEventsRequest {
            events: vec![event.clone()],
            historical: true,
        };
        let raw = StreamEventsRequest::decode(message.encode_to_vec().as_slice()).unwrap();
        assert_eq!(raw.events, [event.encode_to_vec()]);
        assert!(raw.historical);
        assert_eq!(raw.encode_to_vec(), message.encode_to_vec());
        let batch = proto::RecordEventsRequest {
            events: vec![event],
        };
        let raw = RecordEventsRequest::decode(batch.encode_to_vec().as_slice()).unwrap();
        assert_eq!(raw.encode_to_vec(), batch.encode_to_vec());
    }
}
