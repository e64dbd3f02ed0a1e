//! Where each key of a set stands, by its hash alone: nothing of a batch is kept, so that the memory serves the next one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Places in a set by the hashes of keys. Two keys of one hash are told apart by whoever has the keys.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<u64, usize, BuildHasherDefault<Hashed>>);

impl Places {
    /// The place of a hash; `next` from now on, where it has none.
    pub(super) fn get_or_insert(&mut self, hash: u64, next: usize) -> usize {
        *self.0.entry(hash).or_insert(next)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The hash of what is a hash already.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
