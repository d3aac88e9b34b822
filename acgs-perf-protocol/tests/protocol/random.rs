//! A generator of random numbers, the same in each run (SplitMix64, <https://prng.di.unimi.it/splitmix64.c>).

pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 on, less than `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One time in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// As many of these characters as `lengths` says.
    pub fn text(&mut self, characters: &str, lengths: core::ops::Range<usize>) -> String {
        let characters: Vec<char> = characters.chars().collect();
        let length = lengths.start + self.below(lengths.len());
        (0..length).map(|_| characters[self.below(characters.len())]).collect()
    }

    /// In letters of either case.
    pub fn cased(&mut self, text: &str) -> String {
        text.chars().map(|letter| if self.once_in(2) { letter.to_ascii_uppercase() } else { letter }).collect()
    }

    /// Pieces, of which some are short.
    pub fn cut<'a>(&mut self, bytes: &'a [u8]) -> Vec<&'a [u8]> {
        let longest = [3, 20, 200, 2000][self.below(4)];
        let (mut pieces, mut rest) = (Vec::new(), bytes);
        while !rest.is_empty() {
            let (piece, behind) = rest.split_at((1 + self.below(longest)).min(rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }

    /// The same with some bytes changed, taken out, doubled, or moved.
    pub fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            let to = (at + self.below(12)).min(bytes.len());
            match self.below(6) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes.truncate(at),
                3 => drop(bytes.drain(at..to)),
                4 => {
                    let copy = bytes[at..to].to_vec();
                    bytes.splice(at..at, copy);
                }
                _ => {
                    let inserted = self.pick(&["\r\n", "\n", "\0", " ", ":", "\r", "0", "'", "$", "-1", "\t"]);
                    bytes.splice(at..at, inserted.bytes());
                }
            }
        }
        bytes
    }
}
