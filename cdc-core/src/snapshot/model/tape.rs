//! Choices of an adversary, read from a tape: a schedule is repeated, and made smaller, by its tape alone.

/// The choices of one schedule.
#[derive(Debug, Clone)]
pub(super) struct Tape {
    choices: Vec<u16>,
    at: usize,
    /// Behind the end of the tape choices go round, so that everything that can happen does at some time.
    turn: usize,
}

impl Tape {
    pub(super) fn new(choices: Vec<u16>) -> Self {
        Tape { choices, at: 0, turn: 0 }
    }

    /// A tape that depends on the seed alone.
    pub(super) fn seeded(seed: u64) -> Self {
        let mut state = seed.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as u16
        };
        let length = 120 + usize::from(next()) % 280;
        Tape::new((0..length).map(|_| next()).collect())
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.choices.len()
    }

    /// One of `n` things.
    pub(super) fn pick(&mut self, n: usize) -> usize {
        if n <= 1 {
            return 0;
        }
        match self.choices.get(self.at) {
            Some(choice) => {
                self.at += 1;
                usize::from(*choice) % n
            }
            None => {
                self.turn += 1;
                self.turn % n
            }
        }
    }

    /// Whether something happens that does so once in `n` times.
    pub(super) fn once_in(&mut self, n: usize) -> bool {
        n > 0 && !self.is_at_end() && self.pick(n) == 1 % n
    }
}

/// The smallest tape found on which something still fails.
pub(super) fn shrink(tape: Tape, fails: impl Fn(Tape) -> bool) -> Tape {
    let mut best = tape.choices;
    let mut budget = 4_000;
    let mut attempt = |choices: &[u16]| {
        budget -= 1;
        (budget > 0).then(|| fails(Tape::new(choices.to_vec())))
    };
    loop {
        let before = best.clone();
        let mut span = (best.len() / 2).max(1);
        loop {
            let mut at = 0;
            while at < best.len() {
                let mut shorter = best.clone();
                shorter.drain(at..(at + span).min(best.len()));
                match attempt(&shorter) {
                    None => return Tape::new(best),
                    Some(true) => best = shorter,
                    Some(false) => at += span,
                }
            }
            if span == 1 {
                break;
            }
            span /= 2;
        }
        for at in 0..best.len() {
            for value in [0, 1, 2] {
                if best[at] > value {
                    let mut simpler = best.clone();
                    simpler[at] = value;
                    match attempt(&simpler) {
                        None => return Tape::new(best),
                        Some(true) => {
                            best = simpler;
                            break;
                        }
                        Some(false) => {}
                    }
                }
            }
        }
        if best == before {
            return Tape::new(best);
        }
    }
}
