//! New inputs from old ones.

use fastrand::Rng;

/// No input grows longer than this.
const LONGEST: usize = 64 * 1024;

/// Numbers at which lengths and counts of a binary protocol tend to break.
const EDGES: [i64; 12] =
    [0, 1, -1, 127, 128, 255, 256, 32_767, 65_535, 2_147_483_647, -2_147_483_648, i64::MAX];

/// Changes `input` a few times; `other` is another member of the corpus, to take pieces from.
pub(crate) fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    for _ in 0..random.usize(1..=4) {
        once(input, other, random);
    }
    input.truncate(LONGEST);
}

fn once(input: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    if input.is_empty() {
        input.extend(noise(15, random));
        return;
    }
    let place = random.usize(..input.len());
    match random.u8(..10) {
        0 => input[place] ^= 1 << random.u8(..8),
        1 => input[place] = random.u8(..),
        2 => input.truncate(place),
        3 => {
            input.drain(place..piece_end(place, input.len(), random));
        }
        4 => {
            let piece = input[place..piece_end(place, input.len(), random)].to_vec();
            let to = random.usize(..=input.len());
            input.splice(to..to, piece);
        }
        5 => {
            input.splice(place..place, noise(8, random));
        }
        6 => number(input, place, EDGES[random.usize(..EDGES.len())], random),
        7 => {
            let near = i64::from(input[place]) + random.i64(-2..=2);
            number(input, place, near, random);
        }
        8 if !other.is_empty() => {
            let from = random.usize(..other.len());
            let piece = &other[from..piece_end(from, other.len(), random)];
            input.splice(place..place, piece.iter().copied());
        }
        // The head of one and the tail of the other.
        _ => {
            input.truncate(place);
            let from = random.usize(..=other.len());
            input.extend_from_slice(&other[from..]);
        }
    }
}

/// One to `longest` random bytes.
fn noise(longest: usize, random: &mut Rng) -> Vec<u8> {
    let mut bytes = vec![0; random.usize(1..=longest)];
    random.fill(&mut bytes);
    bytes
}

/// Where a piece that begins at `start` ends: most pieces are short.
fn piece_end(start: usize, length: usize, random: &mut Rng) -> usize {
    let longest = if random.u8(..4) == 0 { length - start } else { (length - start).min(16) };
    start + random.usize(1..=longest)
}

/// Overwrites one, two, four or eight bytes with a number, big-endian as in most protocols.
fn number(input: &mut [u8], place: usize, value: i64, random: &mut Rng) {
    let width = [1, 2, 4, 8][random.usize(..4)].min(input.len() - place);
    input[place..place + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs() {
        let inputs = |seed| {
            let mut random = Rng::with_seed(seed);
            let mut input = b"a seed".to_vec();
            (0..1_000).for_each(|_| mutate(&mut input, b"another", &mut random));
            input
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
    }

    #[test]
    fn no_input_grows_past_the_bound_and_none_breaks_the_mutator() {
        let mut random = Rng::with_seed(1);
        let mut input = Vec::new();
        for _ in 0..20_000 {
            mutate(&mut input, b"", &mut random);
            mutate(&mut input, &[7; 4_096], &mut random);
            assert!(input.len() <= LONGEST);
        }
    }
}
