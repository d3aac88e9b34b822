//! SCRAM-SHA-256 (RFC 5802, RFC 7677) from the client's side: how a password is proved without being sent.
//!
//! In: a password, a nonce, what the server says. Out: what the client says; whether the server knows the password too. A password
//! is taken as it is written: characters beyond ASCII that SASLprep would change are not changed.

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

const BLOCK: usize = 64;
/// More rounds than this are no server's: PostgreSQL has 4,096, and an administrator may ask for some more.
const MAX_ROUNDS: u32 = 1_000_000;

type Key = [u8; 32];

/// A password, with the key that was made of it last: to make it takes milliseconds, and it is the same on each connection.
#[derive(Clone, Debug, Default)]
pub struct Password {
    text: String,
    last: Arc<Mutex<Option<Made>>>,
}

/// A key, and what it was made of beside the password.
#[derive(Clone, Debug)]
struct Made {
    salt: Vec<u8>,
    rounds: u32,
    key: Key,
}

impl Password {
    /// This one.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), last: Arc::default() }
    }

    /// As it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn key(&self, salt: &[u8], rounds: u32) -> Key {
        let Ok(mut last) = self.last.lock() else { return salted(self.text.as_bytes(), salt, rounds) };
        match last.as_ref() {
            Some(made) if made.salt == salt && made.rounds == rounds => made.key,
            _ => {
                let key = salted(self.text.as_bytes(), salt, rounds);
                *last = Some(Made { salt: salt.to_vec(), rounds, key });
                key
            }
        }
    }
}

/// One exchange.
#[derive(Debug)]
pub struct Exchange {
    /// What the client says first, without the header.
    bare: String,
    nonce: String,
    server_signature: Option<Key>,
}

impl Exchange {
    /// Begins, with a nonce that was never used.
    #[must_use]
    pub fn new(user: &str, nonce: &str) -> Self {
        let bare = format!("n={user},r={nonce}");
        Self { bare, nonce: nonce.to_owned(), server_signature: None }
    }

    /// What the client says first: no channel is bound.
    #[must_use]
    pub fn first(&self) -> String {
        format!("n,,{}", self.bare)
    }

    /// The proof, in answer to what the server said first; `None` if that is no challenge to us.
    pub fn proof(&mut self, challenge: &str, password: &Password) -> Option<String> {
        let nonce = field(challenge, "r=").filter(|nonce| nonce.starts_with(&self.nonce))?;
        let salt = STANDARD.decode(field(challenge, "s=")?).ok()?;
        let rounds = field(challenge, "i=")?.parse().ok().filter(|rounds| (1..=MAX_ROUNDS).contains(rounds))?;
        let key = password.key(&salt, rounds);
        let client_key = hmac(&key, &[b"Client Key"]);
        let without_proof = format!("c=biws,r={nonce}");
        let message = [self.bare.as_bytes(), b",", challenge.as_bytes(), b",", without_proof.as_bytes()];
        let signature = hmac(&Sha256::digest(client_key).into(), &message);
        self.server_signature = Some(hmac(&hmac(&key, &[b"Server Key"]), &message));
        let proof: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        Some(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }

    /// Whether what the server says last shows that it knows the password.
    #[must_use]
    pub fn is_proved(&self, last: &str) -> bool {
        let signature = field(last, "v=").and_then(|text| STANDARD.decode(text).ok());
        signature.is_some() && signature == self.server_signature.map(|signature| signature.to_vec())
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',').find_map(|field| field.strip_prefix(name))
}

fn hmac(key: &Key, parts: &[&[u8]]) -> Key {
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        Sha256::new_with_prefix(block)
    };
    let mut inner = pad(0x36);
    parts.iter().for_each(|part| inner.update(part));
    pad(0x5c).chain_update(inner.finalize()).finalize().into()
}

/// PBKDF2 with one block.
fn salted(password: &[u8], salt: &[u8], rounds: u32) -> Key {
    let mut key = Key::default();
    // A key that is longer than a block is hashed first.
    let long: Key = Sha256::digest(password).into();
    let short = if password.len() > BLOCK { &long[..] } else { password };
    let pad = |with: u8| {
        let mut block = [with; BLOCK];
        block.iter_mut().zip(short).for_each(|(byte, key)| *byte ^= key);
        Sha256::new_with_prefix(block)
    };
    let (inner, outer) = (pad(0x36), pad(0x5c));
    let round = |parts: &[&[u8]]| -> Key {
        let hash = parts.iter().fold(inner.clone(), |hash, part| hash.chain_update(part));
        outer.clone().chain_update(hash.finalize()).finalize().into()
    };
    let mut last = round(&[salt, &1u32.to_be_bytes()]);
    for _ in 0..rounds {
        key.iter_mut().zip(last).for_each(|(sum, byte)| *sum ^= byte);
        last = round(&[&last]);
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_example_of_the_standard_comes_out() {
        let password = Password::new("pencil");
        let mut exchange = Exchange::new("user", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(exchange.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let challenge = format!("r={nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
        let proof = exchange.proof(&challenge, &password).unwrap();
        assert_eq!(proof, format!("c=biws,r={nonce},p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="));
        assert!(exchange.is_proved("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        assert!(!exchange.is_proved("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=") && !exchange.is_proved("e=x"));
        // Again, with the key that was kept.
        assert_eq!(Exchange::new("user", "rOprNGfwEbeRWgbNEkqO").proof(&challenge, &password), Some(proof));
    }

    #[test]
    fn what_is_no_challenge_to_us_is_not_answered() {
        let mut exchange = Exchange::new("", "abc");
        for foul in
            ["", "r=xyz,s=AAAA,i=1", "r=abcd,s=*,i=1", "r=abcd,s=AAAA,i=0", "r=abcd,s=AAAA,i=9999999", "r=abcd,i=1"]
        {
            assert_eq!(exchange.proof(foul, &Password::new("x")), None, "{foul}");
        }
        assert!(!exchange.is_proved("v="));
        let long = "p".repeat(100);
        assert!(exchange.proof("r=abcd,s=AAAA,i=1", &Password::new(&long)).is_some());
    }
}
