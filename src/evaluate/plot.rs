//! A picture of a report, as SVG.

use std::fmt::Write;

use crate::evaluate::report::{Report, Rule, Run};
use crate::evaluate::tally::CUTOFFS;

/// Width and height of a panel's axes, and the space around them.
const PANEL: (f64, f64) = (360.0, 260.0);
const MARGIN: f64 = 56.0;
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 20.0;
/// Colours that stay apart for most eyes, and in grey.
const COLOURS: [&str; 6] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00",
];

/// Hit rate and mean reciprocal rank over the cutoffs, a line for each run; dashed where the current item is excluded.
pub fn svg(report: &Report) -> String {
    let width = 2.0 * (PANEL.0 + 1.5 * MARGIN);
    let lines = report.runs.len() as f64;
    let height = PANEL.1 + 2.0 * MARGIN + lines * LEGEND_LINE;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
    );
    panel(&mut out, MARGIN, "hit rate", report, |run| {
        run.measures.hr.values()
    });
    panel(
        &mut out,
        2.5 * MARGIN + PANEL.0,
        "mean reciprocal rank",
        report,
        |run| run.measures.mrr.values(),
    );
    for (index, run) in report.runs.iter().enumerate() {
        let y = PANEL.1 + 2.0 * MARGIN + index as f64 * LEGEND_LINE - 8.0;
        write(
            &mut out,
            format_args!("<path d=\"M {MARGIN} {y} h 36\" {}/>", style(report, run)),
        );
        let text = format!(
            "{}, {}: HR@20 {:.4}, MRR@20 {:.4}",
            run.ranker,
            run.rule.name(),
            run.measures.hr.at_20,
            run.measures.mrr.at_20
        );
        write(
            &mut out,
            format_args!(
                "<text x=\"{}\" y=\"{}\">{}</text>",
                MARGIN + 44.0,
                y + 4.0,
                escape(&text)
            ),
        );
    }
    out.push_str("</svg>\n");
    out
}

/// Axes from 0 to the next tenth above the largest value, and a line for each run.
fn panel(
    out: &mut String,
    left: f64,
    title: &str,
    report: &Report,
    values: impl Fn(&Run) -> [f64; 4],
) {
    let bottom = MARGIN + PANEL.1;
    let largest = report.runs.iter().flat_map(&values).fold(0.0, f64::max);
    let tenths = (largest * 10.0).ceil().clamp(1.0, 10.0);
    let x = |cutoff: u32| left + PANEL.0 * f64::from(cutoff) / 20.0;
    let y = |value: f64| bottom - PANEL.1 * value / (tenths / 10.0);
    write(
        out,
        format_args!(
            "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{title}</text>",
            MARGIN - 14.0
        ),
    );
    let mut tenth = 0.0;
    while tenth <= tenths {
        let (value, level) = (tenth / 10.0, y(tenth / 10.0));
        write(
            out,
            format_args!(
                "<path d=\"M {left} {level:.1} h {}\" stroke=\"#ddd\"/>",
                PANEL.0
            ),
        );
        write(
            out,
            format_args!(
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.1}</text>",
                left - 6.0,
                level + 4.0
            ),
        );
        tenth += 1.0;
    }
    for cutoff in CUTOFFS {
        write(
            out,
            format_args!(
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">@{cutoff}</text>",
                x(cutoff),
                bottom + 18.0
            ),
        );
    }
    for run in &report.runs {
        let points = CUTOFFS.into_iter().zip(values(run));
        let points: Vec<String> = points
            .map(|(cutoff, value)| format!("{:.1},{:.1}", x(cutoff), y(value)))
            .collect();
        write(
            out,
            format_args!(
                "<polyline points=\"{}\" fill=\"none\" {}/>",
                points.join(" "),
                style(report, run)
            ),
        );
    }
}

/// A colour for each ranker, a dash for each rule.
fn style(report: &Report, run: &Run) -> String {
    let mut rankers: Vec<&str> = report.runs.iter().map(|run| run.ranker).collect();
    rankers.dedup();
    let index = rankers
        .iter()
        .position(|ranker| *ranker == run.ranker)
        .unwrap_or_default();
    let colour = COLOURS.into_iter().cycle().nth(index).unwrap_or_default();
    let dash = if run.rule == Rule::CurrentExcluded {
        " stroke-dasharray=\"6 4\""
    } else {
        ""
    };
    format!("stroke=\"{colour}\" stroke-width=\"2\"{dash}")
}

fn write(out: &mut String, piece: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    out.write_fmt(piece).unwrap_or_default();
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::svg;
    use crate::domain::Millis;
    use crate::engine::items::Config;
    use crate::evaluate::{ItemEvent, Protocol, RankerKind, Report, Settings, evaluate};

    #[test]
    fn every_run_has_a_line_in_each_panel_and_in_the_legend() {
        let event = |item: u32| ItemEvent {
            visitor: 0,
            session: 0,
            item,
            at: Millis(0),
        };
        let protocol = Protocol::prequential([1, 2, 1, 2].map(event).into(), 0.0);
        let items = Config::default();
        let kinds = [RankerKind::Ddco, RankerKind::Popular];
        let runs = kinds
            .into_iter()
            .flat_map(|kind| evaluate(kind, &items, &protocol, &mut || ()));
        let report = Report {
            runs: runs.collect(),
            settings: Settings {
                version: "0",
                train: None,
                test: None,
                events: Some("events.csv".to_owned()),
                format: "retailrocket",
                learn: true,
                warmup: Some(0.0),
                session_lag_ms: 0,
                items,
            },
        };
        let picture = svg(&report);
        assert_eq!(picture.matches("<polyline").count(), 8);
        assert_eq!(picture.matches("stroke-dasharray").count(), 6);
        for word in [
            "ddco, repeats allowed",
            "popular, current excluded",
            "mean reciprocal rank",
        ] {
            assert!(picture.contains(word), "{word}");
        }
    }
}
