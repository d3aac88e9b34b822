//! Pictures: SVG that is as wide as the page has room, with text that keeps its size.
//!
//! In: shapes. Out: an `<svg>` with a title and a description for who does not see it. Across, places are shares of the width, in percent;
//! lines, which cannot be given so, stand in an inner picture that is stretched, and keep their width. No attribute has a style: a
//! strict Content-Security-Policy forbids that, so that classes do it.

use std::fmt::{Display, Write as _};

/// Width of what is stretched.
pub const WIDE: f64 = 1000.0;

/// A picture that is being made.
pub struct Svg {
    text: String,
    open: Vec<&'static str>,
}

impl Svg {
    /// A picture of this height in pixels. `id` is unique in the page.
    pub fn new(id: &str, class: &str, height: f64, title: &str, description: &str) -> Self {
        let mut svg = Self { text: String::new(), open: Vec::new() };
        let labels = format!("{id}-t {id}-d");
        svg.start(
            "svg",
            &[
                ("class", &class),
                ("role", &"img"),
                ("aria-labelledby", &labels),
                ("width", &"100%"),
                ("height", &number(height)),
            ],
        );
        for (name, end, text) in [("title", "t", title), ("desc", "d", description)] {
            svg.text.push_str(&format!("<{name} id=\"{id}-{end}\">{}</{name}>", escape(text)));
        }
        svg
    }

    /// An element without content.
    pub fn put(&mut self, name: &str, attributes: &[(&str, &dyn Display)]) -> &mut Self {
        self.tag(name, attributes);
        self.text.push_str("/>");
        self
    }

    /// An element with text.
    pub fn label(&mut self, class: &str, x: &str, y: f64, text: &str) -> &mut Self {
        self.tag("text", &[("class", &class), ("x", &x), ("y", &number(y))]);
        let _ = write!(self.text, ">{}</text>", escape(text));
        self
    }

    /// Begins what is stretched over the whole picture; it is `width` by `height` units.
    pub fn stretched(&mut self, width: f64, height: f64) -> &mut Self {
        let view = format!("0 0 {} {}", number(width), number(height));
        self.start(
            "svg",
            &[
                ("class", &"stretched"),
                ("viewBox", &view),
                ("preserveAspectRatio", &"none"),
                ("width", &"100%"),
                ("height", &"100%"),
            ],
        );
        self
    }

    /// A path.
    pub fn path(&mut self, class: &str, d: &str) -> &mut Self {
        if d.is_empty() {
            return self;
        }
        self.put("path", &[("class", &class), ("d", &d)])
    }

    /// Begins an element that holds others.
    pub fn start(&mut self, name: &'static str, attributes: &[(&str, &dyn Display)]) -> &mut Self {
        self.tag(name, attributes);
        self.text.push('>');
        self.open.push(name);
        self
    }

    /// Ends the element that was begun last.
    pub fn end(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            let _ = write!(self.text, "</{name}>");
        }
        self
    }

    /// The picture.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.end();
        }
        self.text
    }

    fn tag(&mut self, name: &str, attributes: &[(&str, &dyn Display)]) {
        let _ = write!(self.text, "<{name}");
        for (name, value) in attributes {
            let _ = write!(self.text, " {name}=\"{}\"", escape(&value.to_string()));
        }
    }
}

/// Points of a line, as the value of `d`.
pub fn line(points: impl IntoIterator<Item = (f64, f64)>) -> String {
    let mut d = String::new();
    for (x, y) in points {
        let _ = write!(d, "{}{} {}", if d.is_empty() { 'M' } else { 'L' }, number(x), number(y));
    }
    d
}

/// The area between two lines that have the same direction.
pub fn area(upper: &[(f64, f64)], lower: &[(f64, f64)]) -> String {
    if upper.is_empty() {
        return String::new();
    }
    let around = upper.iter().chain(lower.iter().rev()).copied();
    format!("{}Z", line(around))
}

/// A share as a place across the picture.
pub fn across(share: f64) -> String {
    format!("{}%", number(share.clamp(0.0, 1.0) * 100.0))
}

/// With at most two decimals.
pub fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

/// Text that stands for itself in HTML, also within an attribute.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_others_ends_no_attribute_and_begins_no_element() {
        let mut svg = Svg::new("a", "plot", 10.0, "</title><script>", "\"");
        svg.label("x", "5%", 1.5, "<b>&'").put("rect", &[("class", &"\" onload=\"")]);
        let text = svg.finish();
        assert!(text.ends_with("</svg>") && !text.contains("<script>") && !text.contains("<b>"), "{text}");
        assert!(text.contains("class=\"&quot; onload=&quot;\"") && text.contains("&lt;b&gt;&amp;&#39;"), "{text}");
    }

    #[test]
    fn lines_and_numbers_are_short() {
        assert_eq!(line([(0.0, 1.0), (10.504, 2.999)]), "M0 1L10.5 3");
        assert_eq!(area(&[(0.0, 1.0), (2.0, 1.0)], &[(0.0, 0.0), (2.0, 0.0)]), "M0 1L2 1L2 0L0 0Z");
        assert_eq!((across(0.123_456), across(7.0), number(-0.001)), ("12.35%".into(), "100%".into(), "0".into()));
    }
}
