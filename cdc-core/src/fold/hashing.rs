//! The hash of a key: fast on the short keys of tables, and secret, so that nobody can choose keys that collide.

use std::hash::{BuildHasher, Hasher, RandomState};

/// Makes hashes with a secret of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyHashing {
    start: u64,
    secret: u64,
}

impl Default for KeyHashing {
    fn default() -> Self {
        let random = RandomState::new();
        KeyHashing { start: random.hash_one(0), secret: random.hash_one(1) | 1 }
    }
}

impl BuildHasher for KeyHashing {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher { state: self.start, secret: self.secret }
    }
}

/// Multiplies eight bytes at a time into the state and folds the two halves of the product.
#[derive(Debug)]
pub(super) struct KeyHasher {
    state: u64,
    secret: u64,
}

impl KeyHasher {
    fn mix(&mut self, word: u64) {
        self.state = folded(self.state ^ word, self.secret);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves")]
fn folded(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_ne_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length, so that zeros at the end count.
        self.mix(u64::from_ne_bytes(last));
        self.mix(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        folded(self.state, self.secret.rotate_left(32) | 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_that_follow_each_other_do_not_collide() {
        let hashing = KeyHashing::default();
        let hashes: HashSet<u64> = (0..100_000i64).map(|key| hashing.hash_one(key)).collect();
        assert_eq!(hashes.len(), 100_000);
        let texts: HashSet<u64> = (0..10_000).map(|n| hashing.hash_one("a".repeat(n))).collect();
        assert_eq!(texts.len(), 10_000);
    }

    #[test]
    fn two_folders_do_not_hash_alike() {
        assert_ne!(KeyHashing::default().hash_one(7i64), KeyHashing::default().hash_one(7i64));
    }
}
