//! Every format in and out: what was written is read back, and what is wrong is refused by name.

mod arbitrary;
mod batches;
mod events;
mod items;
mod outputs;
