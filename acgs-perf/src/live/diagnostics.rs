//! Messages of the kernel side, for who looks for a fault: with `ACGS_PERF_LOG=debug` the programs say who lost what, through
//! aya-log. Otherwise the verifier has removed the code, and nothing is sent.
//!
//! In: the loaded object. Out: lines of the log. A loss is told of the first time, the second, the fourth, and so on.

use acgs_perf_common::ledger::LOSSES;
use aya_log::{EbpfLogger, Level};
use log::{Log, Metadata, Record};

use super::bpf;
use super::object::Object;

/// The global by which the programs are told.
pub use aya_log::LEVEL;

/// What the programs are told: the level up to which they say something, 0 for nothing.
#[must_use]
pub fn level() -> u8 {
    if tracing::enabled!(tracing::Level::DEBUG) { Level::Debug as u8 } else { 0 }
}

/// Messages that wait in the ring of the kernel side.
pub struct Diagnostics(EbpfLogger<Named>);

impl Diagnostics {
    /// Takes the ring of the loaded programs, if they say anything.
    pub fn open(object: &Object) -> Option<Self> {
        if level() == 0 {
            return None;
        }
        let programs = object.programs().filter_map(|program| bpf::info(program).ok());
        let found = programs.map(|info| EbpfLogger::init_from_id_with_logger(info.id, Named)).find(Result::is_ok);
        if found.is_none() {
            tracing::debug!("the kernel side has no messages");
        }
        found.and_then(Result::ok).map(Self)
    }

    /// Hands what has come to the log.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}

/// Writes the name of a loss beside its number.
struct Named;

impl Log for Named {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args().to_string();
        let name = number(&text).and_then(|loss| LOSSES.get(loss)).map_or("", |(name, _)| name);
        tracing::debug!("kernel side: {text}: {name}");
    }

    fn flush(&self) {}
}

/// The number in `loss 2, …`.
fn number(text: &str) -> Option<usize> {
    text.strip_prefix("loss ")?.split(',').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn a_message_begins_with_its_loss() {
        assert_eq!(number("loss 12, 4 so far, process 7, thread 8"), Some(12));
        assert_eq!(number("something else"), None);
    }
}
