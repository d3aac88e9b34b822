//! What the person before the screen has chosen, and how keys change it.
//!
//! In: keys, and the names of the services in the order in which they are shown. Out: the state that is drawn, and what cannot be done here: to
//! end, to write a trace, to move through a recording.

use super::rows::Sort;

/// A key, as far as one means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character, by whatever combination it is typed.
    Char(char),
    /// Ctrl-C.
    Interrupt,
    /// Enter.
    Enter,
    /// Esc.
    Escape,
    /// Backspace.
    Backspace,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// Page.
    PageUp,
    /// Page.
    PageDown,
    /// To the begin.
    Home,
    /// To the end.
    End,
}

/// What is to be done elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// End.
    Quit,
    /// Write a trace of the slowest requests.
    Trace,
    /// In a recording that is replayed: so many intervals on, or back.
    Step(i32),
    /// The same in tenths of the whole.
    Seek(i32),
    /// Twice as fast.
    Faster,
    /// Half as fast.
    Slower,
}

/// By what endpoints are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EndpointOrder {
    /// The time of all their requests.
    #[default]
    Time,
    /// Their P99.
    Tail,
}

/// A message for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    text: String,
    /// It goes after so many more intervals.
    lasts: u8,
}

/// How long a message is shown, in intervals.
const LASTS: u8 = 8;
/// Characters of a filter.
const MAX_FILTER: usize = 64;
/// Lines of a page.
const PAGE: usize = 10;

/// What was chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The service that is looked into; `None` in the list.
    pub open: Option<String>,
    /// The line of the list that is chosen.
    pub chosen: Option<String>,
    /// By what the list is sorted.
    pub sort: Sort,
    /// The other way round.
    pub is_reversed: bool,
    /// Only services with this in their name.
    pub filter: String,
    /// Whether the filter is being typed.
    pub is_typing: bool,
    /// Whether the help is shown.
    pub has_help: bool,
    /// Whether what is shown stands still.
    pub is_paused: bool,
    /// By what endpoints are sorted.
    pub endpoints: EndpointOrder,
    /// Lines that have gone up.
    pub scroll: usize,
    pub(super) message: Option<Message>,
}

impl State {
    /// Says something to the person.
    pub fn say(&mut self, text: impl Into<String>) {
        self.message = Some(Message { text: text.into(), lasts: LASTS });
    }

    /// What is said.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_ref().map(|message| message.text.as_str())
    }

    /// An interval has passed.
    pub fn pass(&mut self) {
        if let Some(message) = &mut self.message {
            message.lasts = message.lasts.saturating_sub(1);
            self.message = self.message.take().filter(|message| message.lasts > 0);
        }
    }

    /// The chosen line, as a place in `names`; the first if the service is not there.
    #[must_use]
    pub fn place(&self, names: &[&str]) -> usize {
        names.iter().position(|name| Some(*name) == self.chosen.as_deref()).unwrap_or(0)
    }

    /// Takes a key; `names` are the services in the order in which they are shown, `most` the lines that can go up.
    pub fn take(&mut self, key: Key, names: &[&str], most: usize) -> Option<Wish> {
        if key == Key::Interrupt {
            return Some(Wish::Quit);
        }
        if self.is_typing {
            self.type_filter(key);
            return None;
        }
        if self.has_help {
            // Whatever key it is: nobody should have to know how to leave.
            self.has_help = false;
            return None;
        }
        match key {
            Key::Char('q') => return Some(Wish::Quit),
            Key::Char('?' | 'h') => self.has_help = true,
            Key::Char(' ') => self.is_paused = !self.is_paused,
            Key::Char('t') => return Some(Wish::Trace),
            Key::Char('.') => return Some(Wish::Step(1)),
            Key::Char(',') => return Some(Wish::Step(-1)),
            Key::Char(']') => return Some(Wish::Seek(1)),
            Key::Char('[') => return Some(Wish::Seek(-1)),
            Key::Char('+' | '=') => return Some(Wish::Faster),
            Key::Char('-') => return Some(Wish::Slower),
            _ if self.open.is_some() => self.take_inside(key, most),
            _ => self.take_in_list(key, names),
        }
        None
    }

    fn type_filter(&mut self, key: Key) {
        match key {
            Key::Char(c) if self.filter.chars().count() < MAX_FILTER && !c.is_control() => self.filter.push(c),
            Key::Backspace => drop(self.filter.pop()),
            Key::Escape => {
                self.filter.clear();
                self.is_typing = false;
            }
            Key::Enter => self.is_typing = false,
            _ => {}
        }
    }

    fn take_inside(&mut self, key: Key, most: usize) {
        let line = self.scroll.min(most);
        self.scroll = match key {
            Key::Escape | Key::Backspace => {
                self.open = None;
                0
            }
            Key::Char('e') => {
                self.endpoints = match self.endpoints {
                    EndpointOrder::Time => EndpointOrder::Tail,
                    EndpointOrder::Tail => EndpointOrder::Time,
                };
                line
            }
            _ => moved(line, key, most),
        };
    }

    fn take_in_list(&mut self, key: Key, names: &[&str]) {
        match key {
            Key::Char('s') | Key::Right => self.sort = self.sort.after(1),
            Key::Left => self.sort = self.sort.before(),
            Key::Char('r') => self.is_reversed = !self.is_reversed,
            Key::Char('/') => self.is_typing = true,
            Key::Escape => self.filter.clear(),
            Key::Enter => {
                self.open = names.get(self.place(names)).map(|name| (*name).to_owned());
                self.chosen.clone_from(&self.open);
                self.scroll = 0;
            }
            _ => {
                let place = moved(self.place(names), key, names.len().saturating_sub(1));
                self.chosen = names.get(place).map(|name| (*name).to_owned());
            }
        }
    }
}

/// Where a key leads from a place among 0 to `most`.
fn moved(place: usize, key: Key, most: usize) -> usize {
    match key {
        Key::Up | Key::Char('k') => place.saturating_sub(1),
        Key::Down | Key::Char('j') => place + 1,
        Key::PageUp => place.saturating_sub(PAGE),
        Key::PageDown => place + PAGE,
        Key::Home | Key::Char('g') => 0,
        Key::End | Key::Char('G') => most,
        _ => place,
    }
    .min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 3] = ["a", "b", "c"];

    fn take(state: &mut State, keys: &[Key]) -> Vec<Wish> {
        keys.iter().filter_map(|key| state.take(*key, &NAMES, 5)).collect()
    }

    #[test]
    fn a_service_is_opened_and_left_where_it_was_chosen() {
        let mut state = State::default();
        take(&mut state, &[Key::Down, Key::Char('j'), Key::Down, Key::Up, Key::Enter]);
        assert_eq!((state.open.as_deref(), state.chosen.as_deref()), (Some("b"), Some("b")));
        take(&mut state, &[Key::PageDown, Key::Down, Key::Up]);
        assert_eq!(state.scroll, 4, "no further than there are lines");
        take(&mut state, &[Key::Escape]);
        assert_eq!((state.open.as_deref(), state.scroll, state.place(&NAMES)), (None, 0, 1));
        assert_eq!(state.place(&["c", "b"]), 1, "it stays chosen wherever it goes");
        assert_eq!(state.place(&["c"]), 0);
        // Nothing to open.
        let mut state = State::default();
        assert_eq!((state.take(Key::Enter, &[], 0), state.take(Key::Down, &[], 0)), (None, None));
        assert_eq!(state, State::default());
    }

    #[test]
    fn what_is_typed_into_the_filter_is_no_command() {
        let mut state = State::default();
        let typed = [Key::Char('/'), Key::Char('q'), Key::Char(' '), Key::Char('t'), Key::Char('x'), Key::Backspace];
        assert_eq!(take(&mut state, &typed), []);
        assert_eq!((state.filter.as_str(), state.is_typing, state.is_paused), ("q t", true, false));
        take(&mut state, &[Key::Enter, Key::Char(' ')]);
        assert_eq!((state.filter.as_str(), state.is_typing, state.is_paused), ("q t", false, true));
        take(&mut state, &[Key::Escape]);
        assert_eq!(state.filter, "");
        take(&mut state, &[Key::Char('/')]);
        (0..200).for_each(|_| drop(take(&mut state, &[Key::Char('x')])));
        assert_eq!(state.filter.len(), MAX_FILTER);
        take(&mut state, &[Key::Escape]);
        assert_eq!((state.filter.as_str(), state.is_typing), ("", false));
    }

    #[test]
    fn ctrl_c_ends_it_wherever_one_is_and_any_key_leaves_the_help() {
        let mut state = State { is_typing: true, ..State::default() };
        assert_eq!(take(&mut state, &[Key::Interrupt]), [Wish::Quit]);
        let mut state = State::default();
        assert_eq!(take(&mut state, &[Key::Char('?'), Key::Char('q')]), []);
        assert!(!state.has_help);
        assert_eq!(take(&mut state, &[Key::Char('q')]), [Wish::Quit]);
    }

    #[test]
    fn sorting_goes_round_both_ways() {
        let mut state = State::default();
        take(&mut state, &[Key::Char('s'), Key::Right, Key::Left, Key::Char('r')]);
        assert_eq!((state.sort, state.is_reversed), (Sort::P99, true));
        let wishes = take(&mut state, &[Key::Char('.'), Key::Char('['), Key::Char('+'), Key::Char('t')]);
        assert_eq!(wishes, [Wish::Step(1), Wish::Seek(-1), Wish::Faster, Wish::Trace]);
    }

    #[test]
    fn a_message_goes_after_a_while() {
        let mut state = State::default();
        state.say("written");
        (1..LASTS).for_each(|_| state.pass());
        assert_eq!(state.message(), Some("written"));
        state.pass();
        assert_eq!(state.message(), None);
    }
}
