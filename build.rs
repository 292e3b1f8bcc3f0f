//! Compiles the protos: messages, services, canonical JSON and the descriptor set that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const PROTOS: &[&str] = &[
    "impulse/v1/event.proto",
    "impulse/v1/event_service.proto",
    "impulse/v1/catalog_service.proto",
    "impulse/v1/recommendation_service.proto",
    "impulse/v1/profile_service.proto",
    "impulse/v1/trigger_service.proto",
    "impulse/v1/dead_letter.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let bytes = descriptors.encode_to_vec();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), &bytes)?;
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .btree_map(".")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&bytes)?
        .btree_map([".impulse.v1"])
        .build(&[".impulse.v1"])?;
    Ok(())
}
