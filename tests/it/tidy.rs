//! Properties of the source tree that the compiler does not check.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every top-level module with the modules it may name, in reading order.
/// This table is the architecture; change it on purpose.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("wire", &["domain"]),
    ("engine", &["domain"]),
    ("shop", &["domain"]),
    ("clock", &["domain"]),
    ("evaluate", &["domain", "wire", "engine", "clock"]),
    ("metrics", &["domain"]),
    ("stream", &["domain", "wire", "clock", "metrics"]),
    (
        "pipeline",
        &["domain", "wire", "engine", "clock", "metrics", "stream"],
    ),
    (
        "server",
        &[
            "domain", "wire", "engine", "clock", "metrics", "stream", "pipeline",
        ],
    ),
    (
        "config",
        &["domain", "engine", "stream", "pipeline", "server"],
    ),
    (
        "app",
        &[
            "domain", "wire", "engine", "shop", "clock", "metrics", "stream", "pipeline", "server",
            "config",
        ],
    ),
    (
        "cli",
        &[
            "domain", "wire", "engine", "shop", "evaluate", "clock", "metrics", "stream",
            "pipeline", "server", "config", "app",
        ],
    ),
];

/// Modules that decide and never touch the outside world.
const PURE: &[&str] = &["domain", "wire", "engine", "shop"];

/// What a pure module may not name.
const IMPURE: &[&str] = &[
    "async ",
    ".await",
    "tokio",
    "rdkafka",
    "fluvio",
    "tonic",
    "prometheus",
    "tracing",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant",
    "static mut",
    "OnceLock",
    "LazyLock",
    "thread_local",
];

#[test]
fn modules_name_only_the_layers_below() {
    let mut violations = Vec::new();
    for (module, below) in LAYERS {
        for (place, code) in code_lines(module) {
            for name in crate_paths(&code) {
                if name.is_empty() {
                    violations.push(format!("{place}: name one module per `use crate::`"));
                } else if name != *module && !below.contains(&name) {
                    violations.push(format!("{place}: `{module}` may not use `{name}`"));
                }
            }
            if code.contains("super::super::") {
                violations.push(format!("{place}: say `crate::`, not `super::super::`"));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn pure_modules_stay_pure() {
    let mut violations = Vec::new();
    for module in PURE {
        for (place, code) in code_lines(module) {
            for word in IMPURE.iter().filter(|word| code.contains(**word)) {
                violations.push(format!("{place}: `{module}` is pure but names `{word}`"));
            }
        }
    }
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn every_module_has_a_layer() {
    let library = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let declared: Vec<&str> = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let listed: Vec<&str> = LAYERS.iter().map(|(module, _)| *module).collect();
    assert_eq!(
        declared, listed,
        "src/lib.rs and LAYERS list the modules in one order"
    );
}

#[test]
fn dashboards_use_only_metrics_that_exist() {
    let metrics = fs::read_to_string(root().join("src/metrics.rs")).unwrap();
    for path in files(&root().join("grafana/dashboards"), "json") {
        let text = fs::read_to_string(&path).unwrap();
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let word = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| word.strip_suffix(suffix))
                .unwrap_or(word);
            assert!(
                !word.starts_with("impulse_") || metrics.contains(&format!("\"{word}\"")),
                "{}: no metric named {word} in src/metrics.rs",
                path.display()
            );
        }
    }
}

/// The names that follow `crate::` on a line.
fn crate_paths(code: &str) -> impl Iterator<Item = &str> {
    code.split("crate::").skip(1).filter_map(|rest| {
        rest.split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
    })
}

/// Non-comment, non-test lines of a module, with where they are.
fn code_lines(module: &str) -> Vec<(String, String)> {
    let source = root().join("src");
    let mut paths = files(&source.join(module), "rs");
    paths.extend(Some(source.join(module).with_extension("rs")).filter(|path| path.exists()));
    assert!(!paths.is_empty(), "no source for module `{module}`");
    let mut lines = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (index, line) in code.lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            lines.push((format!("{}:{}", path.display(), index + 1), line.to_owned()));
        }
    }
    lines
}

/// Files under `dir` with this extension, sorted; none if `dir` is absent.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else {
        return found;
    };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
