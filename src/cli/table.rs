//! Tables for people: columns as wide as their widest cell.

use std::io::{self, Write};

/// Writes a head and rows in columns; cells of numbers are aligned to the right.
pub(crate) fn write(out: &mut impl Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.chars().count())
                .chain([name.chars().count()])
                .max()
                .unwrap_or(0)
        })
        .collect();
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            let number = cell.parse::<f64>().is_ok();
            let cell = if number {
                format!("{cell:>width$}  ")
            } else {
                format!("{cell:<width$}  ")
            };
            line.push_str(&cell);
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up() {
        let mut out = Vec::new();
        let rows = vec![
            vec!["a".to_owned(), "1.5".to_owned()],
            vec!["long".to_owned(), "22.25".to_owned()],
        ];
        super::write(&mut out, &["item", "score"], &rows).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "item  score\na       1.5\nlong  22.25\n"
        );
    }
}
