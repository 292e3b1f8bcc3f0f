//! Batches as they come: the bytes of each entry stay together, so that one that cannot be read is named, or refused
//! alone and kept; and what no batch may hold takes no memory.

use bytes::{Buf, BufMut, Bytes};
use prost::encoding::{self, DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::wire::BATCH_MAX;

const ENTRIES: u32 = 1;
const HISTORICAL: u32 = 2;

/// `impulse.v1.RecordEventsRequest`, `StreamEventsRequest` or `UpsertItemsRequest` with its entries not yet read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// The bytes of an `impulse.v1.Event` or `Item` each; none beyond the first [`BATCH_MAX`].
    pub entries: Vec<Bytes>,
    /// How many entries there are beyond those.
    pub beyond: usize,
    /// Whether they are history.
    pub historical: bool,
}

impl Batch {
    /// All entries, those included that were not taken.
    pub fn count(&self) -> usize {
        self.entries.len() + self.beyond
    }
}

impl Message for Batch {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        encoding::bytes::encode_repeated(ENTRIES, &self.entries, buffer);
        if self.historical {
            encoding::bool::encode(HISTORICAL, &self.historical, buffer);
        }
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            ENTRIES if self.entries.len() < BATCH_MAX => {
                encoding::bytes::merge_repeated(wire_type, &mut self.entries, buffer, context)
            }
            ENTRIES => {
                self.beyond += 1;
                encoding::skip_field(wire_type, tag, buffer, context)
            }
            HISTORICAL => encoding::bool::merge(wire_type, &mut self.historical, buffer, context),
            _ => encoding::skip_field(wire_type, tag, buffer, context),
        }
    }

    fn encoded_len(&self) -> usize {
        let historical = if self.historical {
            encoding::bool::encoded_len(HISTORICAL, &self.historical)
        } else {
            0
        };
        encoding::bytes::encoded_len_repeated(ENTRIES, &self.entries) + historical
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::Batch;
    use crate::wire::{BATCH_MAX, proto};

    #[test]
    fn every_form_is_one_on_the_wire() {
        let event = proto::Event {
            event_id: "e1".into(),
            kind: 1,
            ..proto::Event::default()
        };
        let stream = proto::StreamEventsRequest {
            events: vec![event.clone(), proto::Event::default()],
            historical: true,
        };
        let raw = Batch::decode(stream.encode_to_vec().as_slice()).unwrap();
        assert_eq!(raw.entries, [event.encode_to_vec(), Vec::new()]);
        assert!(raw.historical);
        assert_eq!(raw.encode_to_vec(), stream.encode_to_vec());
        let batch = proto::RecordEventsRequest {
            events: vec![event],
        };
        let raw = Batch::decode(batch.encode_to_vec().as_slice()).unwrap();
        assert_eq!(raw.encode_to_vec(), batch.encode_to_vec());
        let items = proto::UpsertItemsRequest {
            items: vec![proto::Item {
                item_id: "i1".into(),
                ..proto::Item::default()
            }],
        };
        let raw = Batch::decode(items.encode_to_vec().as_slice()).unwrap();
        assert_eq!(raw.encode_to_vec(), items.encode_to_vec());
    }

    #[test]
    fn millions_of_empty_entries_take_no_memory() {
        let body = [0x0a, 0].repeat(2 << 20);
        let raw = Batch::decode(body.as_slice()).unwrap();
        assert_eq!(raw.count(), 2 << 20);
        assert!(raw.entries.capacity() <= 2 * BATCH_MAX);
        assert!(Batch::decode([0x08, 1].as_slice()).is_err());
    }
}
