//! The terminal itself: taken over, drawn on, and given back, whatever happens.
//!
//! In: what is to be drawn, bytes of keys. Out: cells on standard output; keys and sizes to whoever runs the view. A [`Screen`] gives the
//! terminal back when it is dropped, and a panic does so before its message is printed.

use std::io::{self, Write as _};
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Color, Print, SetAttribute, SetBackgroundColor, SetForegroundColor};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, execute, queue};
use ratatui_core::buffer::{Buffer, Cell};
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color as Wanted, Modifier};

use super::{Key, Shown, draw};
use crate::output::terminal::{hold, release};

/// Nobody waits longer than this to hear that the view is over.
const POLL: Duration = Duration::from_millis(100);

/// Whether the terminal is ours.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// What comes from the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A key.
    Key(Key),
    /// The terminal has another size.
    Resized,
}

/// The terminal, taken over.
pub struct Screen {
    /// What is on it; of another size, or none, where all has to be drawn anew.
    before: Buffer,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// When it cannot be.
    pub fn take() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |about| {
                give_back();
                usual(about);
            }));
        });
        terminal::enable_raw_mode()?;
        IS_OURS.store(true, Ordering::SeqCst);
        // What others say on standard error would be written across the picture.
        hold();
        let screen = Self { before: Buffer::empty(Rect::ZERO) };
        execute!(io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }

    /// Draws, and gives the number of lines that can go up.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn draw(&mut self, shown: &Shown<'_>) -> io::Result<usize> {
        let (columns, lines) = terminal::size()?;
        let mut next = Buffer::empty(Rect::new(0, 0, columns, lines));
        let most = draw(shown, &mut next);
        let mut out = Vec::new();
        if self.before.area != next.area {
            self.before = Buffer::empty(next.area);
            queue!(out, Clear(ClearType::All))?;
        }
        write_cells(&mut out, self.before.diff(&next))?;
        // In one go, so that no half of a picture is seen.
        let mut stdout = io::stdout().lock();
        stdout.write_all(&out)?;
        stdout.flush()?;
        self.before = next;
        Ok(most)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Gives the terminal back, once.
fn give_back() {
    if !IS_OURS.swap(false, Ordering::SeqCst) {
        return;
    }
    // If it is gone there is nothing to give back.
    let _ = execute!(io::stdout(), SetAttribute(Attribute::Reset), LeaveAlternateScreen, cursor::Show);
    let _ = terminal::disable_raw_mode();
    release();
}

fn write_cells(out: &mut Vec<u8>, cells: Vec<(u16, u16, &Cell)>) -> io::Result<()> {
    let mut next = None;
    let mut look = None;
    for (x, y, cell) in cells {
        if next != Some((x, y)) {
            queue!(out, cursor::MoveTo(x, y))?;
        }
        next = Some((x + 1, y));
        let of_cell = (cell.fg, cell.bg, cell.modifier);
        if look != Some(of_cell) {
            look = Some(of_cell);
            queue!(out, SetAttribute(Attribute::Reset))?;
            for (modifier, attribute) in [
                (Modifier::BOLD, Attribute::Bold),
                (Modifier::DIM, Attribute::Dim),
                (Modifier::REVERSED, Attribute::Reverse),
            ] {
                if cell.modifier.contains(modifier) {
                    queue!(out, SetAttribute(attribute))?;
                }
            }
            if cell.fg != Wanted::Reset {
                queue!(out, SetForegroundColor(colour(cell.fg)))?;
            }
            if cell.bg != Wanted::Reset {
                queue!(out, SetBackgroundColor(colour(cell.bg)))?;
            }
        }
        queue!(out, Print(cell.symbol()))?;
    }
    queue!(out, SetAttribute(Attribute::Reset))
}

/// The colours of the theme, by the numbers of the terminal's own palette, which fits its background.
fn colour(wanted: Wanted) -> Color {
    match wanted {
        Wanted::Red => Color::DarkRed,
        Wanted::Green => Color::DarkGreen,
        Wanted::Magenta => Color::DarkMagenta,
        Wanted::Cyan => Color::DarkCyan,
        _ => Color::Reset,
    }
}

impl Input {
    /// Waits a moment for input; `None` if there is none, or if it means nothing.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub fn wait() -> io::Result<Option<Self>> {
        if !event::poll(POLL)? {
            return Ok(None);
        }
        Ok(match event::read()? {
            Event::Key(event) if event.kind != KeyEventKind::Release => key(event).map(Self::Key),
            Event::Resize(..) => Some(Self::Resized),
            _ => None,
        })
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.modifiers.contains(KeyModifiers::CONTROL) {
        return (event.code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    Some(match event.code {
        KeyCode::Char(c) => Key::Char(c),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use ratatui_core::style::Style;

    use super::*;

    #[test]
    fn only_what_differs_is_written_and_every_look_ends() {
        let before = Buffer::empty(Rect::new(0, 0, 6, 1));
        let mut next = before.clone();
        next.set_string(1, 0, "ab", Style::new().fg(Wanted::Red).add_modifier(Modifier::BOLD));
        next.set_string(4, 0, "c", Style::new());
        let mut out = Vec::new();
        write_cells(&mut out, before.diff(&next)).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "\x1b[1;2H\x1b[0m\x1b[1m\x1b[38;5;1mab\x1b[1;5H\x1b[0mc\x1b[0m");
    }

    #[test]
    fn keys_are_what_they_are_typed_as() {
        let typed = |code, modifiers| key(KeyEvent::new(code, modifiers));
        assert_eq!(typed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(typed(KeyCode::Char('x'), KeyModifiers::CONTROL), None);
        assert_eq!(typed(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Key::Char('G')));
        assert_eq!(typed(KeyCode::F(1), KeyModifiers::NONE), None);
    }
}
