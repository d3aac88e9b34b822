//! Lines, labels, tables: how text is laid out, not what it says.
//!
//! In: pieces of text. Out: a page with lines of at most the given width where words allow it.

use crate::report::Distribution;

use super::super::page::Page;
use crate::units::duration;

/// What stands for a figure that does not exist.
pub const ABSENT: &str = "–";
/// What stands for a figure that was not measured.
pub const NOT_MEASURED: &str = "not measured";
/// Columns before the text of a labelled line.
const LABEL: usize = 15;
/// Space between two columns of a table.
const GAP: usize = 2;
/// Between two items of a line.
const SEPARATOR: &str = " · ";

/// Entries of a list that are shown, such as system calls and peers; the report file has all of them.
pub const TOP: usize = 5;

/// Collects lines.
pub struct Lines {
    page: Page,
    width: usize,
}

impl Lines {
    /// An empty page.
    pub fn new(width: usize) -> Self {
        Self { page: Page::default(), width: width.max(LABEL * 2) }
    }

    /// The page.
    pub fn finish(self) -> Page {
        self.page
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.page.line("");
    }

    fn line(&mut self, line: &str) {
        self.page.line(line.trim_end());
    }

    /// Words after `indent`, wrapped under themselves.
    pub fn words(&mut self, text: &str, indent: &str) {
        let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
        self.wrap(indent, &words, " ", indent.chars().count());
    }

    /// Words after a label.
    pub fn labelled(&mut self, label: &str, text: &str) {
        self.words(text, &format!("  {label:<indent$}", indent = LABEL - 2));
    }

    /// Words after a label, in so many lines at most.
    pub fn at_most(&mut self, label: &str, text: &str, lines: usize) {
        let room = lines * self.width.saturating_sub(LABEL);
        // Lines end where words do: the last word of each may leave its room to the next line.
        let longest = text.split(' ').map(|word| word.chars().count()).max().unwrap_or(0);
        let room = room.saturating_sub((lines - 1) * longest.min(self.width / 4)).max(longest);
        let text = match text.chars().count() > room {
            true => format!("{}…", text.chars().take(room.saturating_sub(1)).collect::<String>().trim_end()),
            false => text.to_owned(),
        };
        self.labelled(label, &text);
    }

    /// Columns of a line.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Items after a label, with dots between them.
    pub fn items(&mut self, label: &str, items: &[String]) {
        self.wrap(&format!("  {label:<indent$}", indent = LABEL - 2), items, SEPARATOR, LABEL);
    }

    /// Items from the margin.
    pub fn plain_items(&mut self, items: &[String]) {
        self.wrap("", items, SEPARATOR, 0);
    }

    fn wrap(&mut self, first: &str, items: &[String], separator: &str, indent: usize) {
        let mut line = first.to_owned();
        let mut fresh = true;
        for item in items {
            let needed = line.chars().count() + separator.chars().count() + item.chars().count();
            if !fresh && needed > self.width {
                self.line(&line);
                line = " ".repeat(indent);
                fresh = true;
            }
            if !fresh {
                line.push_str(separator);
            }
            line.push_str(item);
            fresh = false;
        }
        self.line(&line);
    }

    /// A table: the first column to the left and at least as wide as a label, the others to the right. Names in the first
    /// column are shortened if the table would be too wide.
    pub fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<_> = (0..columns)
            .map(|column| {
                rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let others: usize = widths.iter().skip(1).map(|width| width + GAP).sum();
        let room = self.width.saturating_sub(2 + others).max(LABEL - 2);
        for row in rows {
            let mut line = String::from("  ");
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => {
                        let width = (*width).clamp(LABEL - 2, room);
                        line.push_str(&format!("{:<width$}", shortened(cell, width)));
                    }
                    _ => line.push_str(&format!("{}{cell:>width$}", " ".repeat(GAP))),
                }
            }
            self.line(&line);
        }
    }
}

/// At most `width` characters: what is too long loses some of its middle, because addresses differ at their end.
pub fn shortened(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length <= width {
        return text.into();
    }
    let kept = width.saturating_sub(1);
    let head = kept / 3;
    let tail: String = text.chars().skip(length - (kept - head)).collect();
    format!("{}…{tail}", text.chars().take(head).collect::<String>())
}

/// Values from here on have no bucket.
const OVER_RANGE: u64 = 1 << 36;

/// A figure of a distribution: its value, `≥3 s` if it is at least so long, `≥68.7 s` if it is over range, or `–`.
pub fn figure((value, at_least): (Option<u64>, Option<u64>), distribution: &Distribution) -> String {
    match (value, at_least) {
        (Some(ns), _) => duration(ns),
        (None, Some(ns)) if ns < OVER_RANGE => format!("≥{}", duration(ns)),
        (None, None) if distribution.over_range > 0 => "≥68.7 s".into(),
        (None, Some(_)) => "≥68.7 s".into(),
        (None, None) => ABSENT.into(),
    }
}

/// The figures of a row of percentiles: p50, p90, p99, p99.9, p99.99, max.
pub fn percentiles(d: &Distribution) -> [String; 6] {
    [
        (d.p50_ns, d.p50_at_least_ns),
        (d.p90_ns, d.p90_at_least_ns),
        (d.p99_ns, d.p99_at_least_ns),
        (d.p999_ns, d.p999_at_least_ns),
        (d.p9999_ns, d.p9999_at_least_ns),
        (d.max_ns, d.max_at_least_ns),
    ]
    .map(|value| figure(value, d))
}

/// Those of a short one: p50, p99, max.
pub fn few_percentiles(d: &Distribution) -> [String; 3] {
    let [p50, _, p99, _, _, max] = percentiles(d);
    [p50, p99, max]
}

/// Says how many entries of a list are not shown.
pub fn more(items: &mut Vec<String>, total: usize, what: &str) {
    if total > TOP {
        items.push(format!("{} more {what}", total - TOP));
    }
}

/// The cells of a row of a table.
pub fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}
