//! Compiles the protos: messages, clients, canonical JSON, server stubs and the descriptor set that reflection serves.

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
        .build_server(false)
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .btree_map(".")
        .compile_fds(descriptors.clone())?;
    // The server's stubs stand apart: they belong to another layer, and their codec keeps what it cannot decode.
    let stubs = out.join("server");
    fs::create_dir_all(&stubs)?;
    tonic_prost_build::configure()
        .build_client(false)
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .extern_path(".impulse.v1", "crate::wire::proto")
        .extern_path(
            ".impulse.v1.RecordEventsRequest",
            "crate::server::grpc::raw::Batch",
        )
        .extern_path(
            ".impulse.v1.StreamEventsRequest",
            "crate::server::grpc::raw::Batch",
        )
        .extern_path(
            ".impulse.v1.UpsertItemsRequest",
            "crate::server::grpc::raw::Batch",
        )
        .codec_path("crate::server::grpc::codec::IntakeCodec")
        .out_dir(&stubs)
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&bytes)?
        .btree_map([".impulse.v1"])
        .build(&[".impulse.v1"])?;
    Ok(())
}
