//! The dashboards keep the rules that make them useful: every panel says what it shows, in which unit, of which
//! process, and every query is one that Prometheus can read and the metrics can answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

struct Dashboard {
    name: String,
    json: Value,
}

impl Dashboard {
    fn panels(&self) -> Vec<&Value> {
        let panels = self.json["panels"].as_array().unwrap();
        panels
            .iter()
            .filter(|panel| panel["type"] != "row")
            .collect()
    }

    /// Every query with the panel it belongs to.
    fn queries(&self) -> Vec<(String, &str)> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            let title = panel["title"].as_str().unwrap_or("?");
            for target in panel["targets"].as_array().unwrap() {
                let place = format!("{}: {title}: {}", self.name, target["refId"]);
                queries.push((place, target["expr"].as_str().unwrap()));
            }
        }
        queries
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn dashboards() -> Vec<Dashboard> {
    let mut all: Vec<Dashboard> = fs::read_dir(root().join("grafana/dashboards"))
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            Dashboard {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                json: serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap(),
            }
        })
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!all.is_empty());
    all
}

#[test]
fn every_panel_says_what_it_shows_and_in_which_unit() {
    for dashboard in dashboards() {
        let mut ids = BTreeSet::new();
        for panel in dashboard.panels() {
            let place = format!("{}: {}", dashboard.name, panel["title"]);
            for field in ["title", "description"] {
                assert!(
                    !panel[field].as_str().unwrap_or("").is_empty(),
                    "{place}: no {field}"
                );
            }
            let unit = &panel["fieldConfig"]["defaults"]["unit"];
            assert!(unit.is_string(), "{place}: no unit");
            assert!(
                ids.insert(panel["id"].as_u64().unwrap()),
                "{place}: id taken"
            );
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
            let targets = panel["targets"].as_array().unwrap();
            let letters: BTreeSet<&str> = targets
                .iter()
                .map(|target| target["refId"].as_str().unwrap())
                .collect();
            assert_eq!(letters.len(), targets.len(), "{place}: a refId twice");
            let place = &panel["gridPos"];
            assert!(place["x"].as_u64().unwrap() + place["w"].as_u64().unwrap() <= 24);
        }
    }
}

#[test]
fn every_dashboard_lets_one_choose_the_source_and_the_process() {
    for dashboard in dashboards() {
        let variables = dashboard.json["templating"]["list"].as_array().unwrap();
        let names: Vec<&str> = variables
            .iter()
            .map(|variable| variable["name"].as_str().unwrap())
            .collect();
        assert_eq!(
            names[..3],
            ["datasource", "job", "instance"],
            "{}",
            dashboard.name
        );
        for field in ["title", "uid", "description"] {
            assert!(
                dashboard.json[field].is_string(),
                "{}: no {field}",
                dashboard.name
            );
        }
        for (place, query) in dashboard.queries() {
            let selectors = query.matches("impulse_").count();
            let chosen = query
                .matches("job=~\"$job\", instance=~\"$instance\"")
                .count();
            assert_eq!(selectors, chosen, "{place}: {query}");
            for range in query.split('[').skip(1) {
                let range = range.split(']').next().unwrap();
                assert!(
                    ["$__rate_interval", "1h"].contains(&range),
                    "{place}: [{range}]"
                );
            }
        }
    }
}

/// The labels of every metric, as `src/metrics.rs` lists them.
fn labels() -> BTreeMap<String, BTreeSet<String>> {
    let source = fs::read_to_string(root().join("src/metrics.rs")).unwrap();
    let mut labels = BTreeMap::new();
    for line in source.lines() {
        let Some((_, rest)) = line.split_once("(\"impulse_") else {
            continue;
        };
        let name = format!("impulse_{}", rest.split('"').next().unwrap());
        let listed = rest
            .split("&[")
            .nth(1)
            .and_then(|rest| rest.split(']').next());
        let listed = listed.unwrap_or("").split(',');
        let listed = listed.map(|label| label.trim().trim_matches('"').to_owned());
        labels.insert(name, listed.filter(|label| !label.is_empty()).collect());
    }
    labels
}

#[test]
fn queries_use_only_labels_that_their_metrics_have() {
    let labels = labels();
    assert!(labels["impulse_events_total"].contains("kind"));
    for dashboard in dashboards() {
        for (place, query) in dashboard.queries() {
            let mut known: BTreeSet<&str> = ["job", "instance", "le"].into();
            for name in query.split("impulse_").skip(1) {
                let end = name.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
                let name = format!("impulse_{}", &name[..end.unwrap_or(name.len())]);
                let name = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| name.strip_suffix(suffix))
                    .unwrap_or(&name);
                let listed = labels.get(name);
                let listed = listed.unwrap_or_else(|| panic!("{place}: no metric {name}"));
                known.extend(listed.iter().map(String::as_str));
            }
            for by in query.split("by (").skip(1) {
                for label in by.split(')').next().unwrap().split(", ") {
                    assert!(known.contains(label), "{place}: no label {label}");
                }
            }
            for used in query.split('{').skip(1) {
                for matcher in used.split('}').next().unwrap().split(", ") {
                    let label = matcher.split(['=', '!']).next().unwrap();
                    assert!(known.contains(label), "{place}: no label {label}");
                }
            }
        }
    }
}

#[test]
fn prometheus_can_read_every_query() {
    let mut rules = String::from("groups:\n  - name: panels\n    rules:\n");
    for dashboard in dashboards() {
        for (number, (_, query)) in dashboard.queries().into_iter().enumerate() {
            let query = query
                .replace("$__rate_interval", "1m")
                .replace("$job", "impulse")
                .replace("$instance", ".*");
            // JSON is YAML too.
            let query = Value::from(query);
            let rule = [
                "      - record: panel:query",
                &number.to_string(),
                "\n        expr: ",
            ];
            rules.extend(rule);
            rules.push_str(&query.to_string());
            rules.push('\n');
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("panels.yaml");
    fs::write(&file, rules).unwrap();
    let output = Command::new("promtool")
        .arg("check")
        .arg("rules")
        .arg(&file)
        .output();
    let Ok(output) = output else {
        println!("SKIPPED promtool check rules: promtool is not installed (Debian: prometheus)");
        return;
    };
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
