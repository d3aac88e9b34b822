//! Tries: what is near to the truth on a machine that is left alone, and may be off while others use it.
//!
//! In: a measurement, which panics on what must hold in every run (counts, losses, sums), and gives an error for what the
//! machine can spoil: an interrupt, or a virtual CPU that the host stops, between the kernel's event and a program's own
//! stamp. Out: a panic when it gives three errors. An agent that is wrong is wrong three times.

/// How often a measurement may be spoiled.
pub const TRIES: u32 = 3;

/// Measures until it goes well, up to [`TRIES`] times; the measurement is given the number of its try, from 1.
#[track_caller]
pub fn one_of_three(mut measure: impl FnMut(u32) -> Result<(), String>) {
    let mut errors = Vec::new();
    for number in 1..=TRIES {
        match measure(number) {
            Ok(()) => return,
            Err(error) => {
                println!("try {number} of {TRIES}: {error}");
                errors.push(error);
            }
        }
    }
    panic!("{TRIES} tries, {TRIES} errors: {errors:#?}");
}

/// An error with this text unless the condition holds.
pub fn near(holds: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tries_until(good: u32) -> u32 {
        let mut last = 0;
        one_of_three(|number| {
            last = number;
            if number == good { Ok(()) } else { Err(format!("off in {number}")) }
        });
        last
    }

    #[test]
    fn the_first_good_one_is_the_last() {
        assert_eq!([tries_until(1), tries_until(2), tries_until(3)], [1, 2, 3]);
    }

    #[test]
    #[should_panic(expected = "3 tries, 3 errors")]
    fn three_errors_are_a_failure() {
        tries_until(4);
    }
}
