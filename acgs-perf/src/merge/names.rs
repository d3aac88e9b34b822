//! Names that several captures have.
//!
//! In: a name. Out: its number among all; or one text for what is called differently.

/// The number of a name; a new one comes last.
pub fn number(known: &mut Vec<String>, name: &str) -> u32 {
    let at = known.iter().position(|other| other == name).unwrap_or(known.len());
    if at == known.len() {
        known.push(name.to_owned());
    }
    at as u32
}

/// One text for what is called differently: both, unless the first has the second already.
pub fn either(known: String, new: String) -> String {
    match () {
        () if known.is_empty() => new,
        () if new.is_empty() || known.split(" or ").any(|one| one == new) => known,
        () => format!("{known} or {new}"),
    }
}
