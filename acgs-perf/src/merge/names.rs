//! Names that several captures have.
//!
//! In: a name. Out: its number among all; or one text for what is called differently.

/// Between names; as between the places of a selector.
const OR: &str = " or ";
/// More names are told as others.
const MAX_NAMES: usize = 8;
const OTHERS: &str = "others";

/// The number of a name; a new one comes last.
pub fn number(known: &mut Vec<String>, name: &str) -> u32 {
    let at = known.iter().position(|other| other == name).unwrap_or(known.len());
    if at == known.len() {
        known.push(name.to_owned());
    }
    at as u32
}

/// One text for what is called differently: each name once, unless there are so many that one more says nothing.
pub fn either(known: String, new: &str) -> String {
    let mut all: Vec<&str> = known.split(OR).filter(|name| !name.is_empty()).collect();
    for name in new.split(OR).filter(|name| !name.is_empty()) {
        if all.len() <= MAX_NAMES && !all.contains(&name) {
            all.push(if all.len() < MAX_NAMES { name } else { OTHERS });
        }
    }
    all.join(OR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_each_name_once_and_not_too_many() {
        let all =
            (0..20).map(|at| format!("port:{}", at % 12)).fold(String::new(), |known, new: String| either(known, &new));
        assert_eq!(all, "port:0 or port:1 or port:2 or port:3 or port:4 or port:5 or port:6 or port:7 or others");
        assert_eq!(either("a".into(), ""), "a");
        assert_eq!(either("a or b".into(), "b or a or c"), "a or b or c");
    }
}
