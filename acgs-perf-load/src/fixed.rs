//! Replies of a fixed size.
//!
//! In: the size. Out: a reply after each so many bytes.

use crate::error::ReplyError;
use crate::protocol::{Protocol, Reply, ReplyReader};

/// Every reply has this many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixed(pub usize);

impl Protocol for Fixed {
    fn reader(&self) -> Box<dyn ReplyReader> {
        Box::new(Reader { size: self.0, have: 0 })
    }
}

struct Reader {
    size: usize,
    have: usize,
}

impl ReplyReader for Reader {
    fn feed(&mut self, bytes: &[u8], _id: u64) -> Result<Option<Reply>, ReplyError> {
        self.have += bytes.len();
        let Self { size, have } = *self;
        if have > size {
            return Err(ReplyError::TooLong { have, size });
        }
        if have < size {
            return Ok(None);
        }
        self.have = 0;
        Ok(Some(Reply::PLAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_end_after_so_many_bytes() {
        let mut reader = Fixed(3).reader();
        assert_eq!(reader.feed(&[0; 2], 1).unwrap(), None);
        assert_eq!(reader.feed(&[0], 1).unwrap(), Some(Reply::PLAIN));
        assert_eq!(reader.feed(&[0; 3], 1).unwrap(), Some(Reply::PLAIN));
        assert!(reader.feed(&[0; 4], 1).is_err());
    }
}
