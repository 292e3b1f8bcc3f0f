//! A hostile batch of items: what is wrong is named, and it costs the server little more memory than it has bytes.

use std::fs;
use std::path::Path;

use impulse::wire::proto;
use impulse::wire::proto::catalog_service_client::CatalogServiceClient;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::process::Process;

/// A little less than a request may have, at two bytes an entry.
const ENTRIES: usize = 2_000_000;
/// Requests at a time.
const CALLERS: usize = 8;
/// Ten times what the requests have together is far below what lists of their entries would take.
const GROWTH_BYTES_MAX: u64 = 128 << 20;

#[track_caller]
fn fields(status: &Status) -> Vec<String> {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let bad = status.get_details_bad_request().unwrap();
    let violations = bad.field_violations.into_iter();
    violations.map(|violation| violation.field).collect()
}

fn named(id: &str) -> proto::Item {
    proto::Item {
        item_id: id.into(),
        ..proto::Item::default()
    }
}

/// The most memory the process has ever had, in bytes; `None` where the system does not say.
fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let line = status.ok()?;
    let line = line.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes << 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_named_and_takes_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]);
    let mut catalog = CatalogServiceClient::connect(process.grpc()).await.unwrap();
    let mut items = vec![named("a"), named("b"), named("c"), named("d")];
    items[3].price = Some(-1.0);
    let status = catalog
        .upsert_items(proto::UpsertItemsRequest { items })
        .await
        .unwrap_err();
    assert_eq!(fields(&status), ["items[3].price"]);

    let before = peak_bytes(process.pid());
    let many_categories = proto::Item {
        categories: vec![String::new(); ENTRIES],
        ..named("a")
    };
    let hostile = [
        (vec![many_categories], "items[0].categories"),
        (vec![proto::Item::default(); ENTRIES], "items"),
    ];
    for (items, field) in hostile {
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..CALLERS {
            let (mut catalog, items) = (catalog.clone(), items.clone());
            calls.spawn(async move {
                let request = proto::UpsertItemsRequest { items };
                catalog.upsert_items(request).await.unwrap_err()
            });
        }
        while let Some(status) = calls.join_next().await {
            assert_eq!(fields(&status.unwrap()), [field]);
        }
    }
    let (Some(before), Some(after)) = (before, peak_bytes(process.pid())) else {
        println!("SKIPPED the peak of memory: this system has no /proc");
        return;
    };
    let growth = after - before;
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes more");
}
