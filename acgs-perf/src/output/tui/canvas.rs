//! Text on the screen, and the only place that puts it there.
//!
//! In: text that may hold what others chose, a place, a width. Out: cells. What would act on a terminal is taken out here, so that nothing
//! goes past it.

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use crate::output::clean;

/// What stands for the end of a text that has no room.
const CUT: char = '…';

/// A piece of text in one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// How it looks.
    pub style: Style,
}

/// A line of pieces, from left to right.
pub type Line = Vec<Piece>;

/// A piece without a style of its own.
pub fn plain(text: impl Into<String>) -> Piece {
    styled(text, Style::new())
}

/// A piece.
pub fn styled(text: impl Into<String>, style: Style) -> Piece {
    Piece { text: text.into(), style }
}

/// Columns that a text takes.
pub fn width(text: &str) -> usize {
    ratatui_core::text::Span::raw(clean(text)).width()
}

/// As much of a text as there is room for; what is cut off leaves a mark.
pub fn fit(text: &str, room: usize) -> String {
    let text = clean(text);
    if width(&text) <= room {
        return text.into_owned();
    }
    let mut short = String::new();
    let mut taken = 0;
    for c in text.chars() {
        let more = width(c.encode_utf8(&mut [0; 4]));
        if taken + more + 1 > room {
            break;
        }
        taken += more;
        short.push(c);
    }
    if room > 0 {
        short.push(CUT);
    }
    short
}

/// The text at the left of its column.
pub fn left(text: &str, room: usize) -> String {
    let text = fit(text, room);
    let space = room.saturating_sub(width(&text));
    text + &" ".repeat(space)
}

/// The text at the right of its column.
pub fn right(text: &str, room: usize) -> String {
    let text = fit(text, room);
    " ".repeat(room.saturating_sub(width(&text))) + &text
}

/// Some lines of an area.
pub fn part(area: Rect, from: u16, lines: u16) -> Rect {
    Rect { y: area.y + from, height: lines, ..area }
}

/// Draws a line; what has no room is cut.
pub fn put(buffer: &mut Buffer, area: Rect, row: u16, line: &[Piece]) {
    if row >= area.height {
        return;
    }
    let (mut x, y, end) = (area.x, area.y + row, area.right());
    for piece in line {
        let room = usize::from(end.saturating_sub(x));
        (x, _) = buffer.set_stringn(x, y, fit(&piece.text, room), room, piece.style);
    }
}

/// Words in lines of at most `room` columns, those after the first behind `indent` spaces.
pub fn wrapped(text: &str, room: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let is_fresh = line.trim().is_empty();
        if !is_fresh && width(&line) + 1 + width(word) > room {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if !is_fresh {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.trim().is_empty() {
        lines.push(line);
    }
    lines
}

/// Text beside a label, in as many lines as it takes.
#[must_use]
pub fn labelled(label: Piece, text: &str, width: usize, style: Style) -> Vec<Line> {
    const LABEL: usize = 10;
    let mut label = Some(label);
    let of = |words: String| {
        let Piece { text, style: of_label } = label.take().unwrap_or_default();
        vec![styled(left(&text, LABEL), of_label), styled(words, style)]
    };
    wrapped(text, width.saturating_sub(LABEL), 0).into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_room_is_cut_by_columns_and_marked() {
        assert_eq!((fit("redis", 5), fit("redis", 4), fit("redis", 0)), ("redis".into(), "red…".into(), String::new()));
        assert_eq!((fit("漢字漢字", 5), width("漢字")), ("漢字…".into(), 4));
        assert_eq!((left("a", 3), right("a", 3)), ("a  ".into(), "  a".into()));
    }

    #[test]
    fn nothing_that_acts_on_a_terminal_reaches_a_cell() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        put(&mut buffer, Rect::new(0, 0, 12, 1), 0, &[plain("a\x1b[2J\n\u{9b}b\u{202e}")]);
        let shown: String = buffer.content().iter().map(ratatui_core::buffer::Cell::symbol).collect();
        assert_eq!(shown, "a?[2J??b?   ");
    }

    #[test]
    fn words_are_wrapped_under_themselves() {
        assert_eq!(wrapped("one two three", 8, 2), ["one two", "  three"]);
        assert_eq!(wrapped("", 8, 2), Vec::<String>::new());
    }
}
