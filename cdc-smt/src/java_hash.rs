//! Java's `hashCode`, and the MurmurHash3 of Infinispan that Debezium has.

use cdc_core::connect::JavaValue;

/// `Object.hashCode`; `None` for what Java hashes by its address.
pub(crate) fn hash_code(value: &JavaValue) -> Option<i32> {
    let fold = |bits: u64| ((bits >> 32) as u32 ^ bits as u32).cast_signed();
    Some(match value {
        JavaValue::Null => 0,
        JavaValue::Bool(true) => 1_231,
        JavaValue::Bool(false) => 1_237,
        JavaValue::Byte(v) => i32::from(*v),
        JavaValue::Short(v) => i32::from(*v),
        JavaValue::Integer(v) => *v,
        JavaValue::Long(v) | JavaValue::Date(v) => fold(v.cast_unsigned()),
        // Java has one NaN.
        JavaValue::Float(v) if v.is_nan() => 0x7fc0_0000,
        JavaValue::Float(v) => v.to_bits().cast_signed(),
        JavaValue::Double(v) if v.is_nan() => fold(0x7ff8_0000_0000_0000),
        JavaValue::Double(v) => fold(v.to_bits()),
        JavaValue::Text(text) => text
            .encode_utf16()
            .fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit))),
        JavaValue::Decimal(decimal) => {
            let (unscaled, scale) = (decimal.unscaled()?, decimal.scale()?);
            let (sign, magnitude) = unscaled.to_u32_digits();
            let hash = magnitude
                .iter()
                .rev()
                .fold(0i32, |hash, digit| hash.wrapping_mul(31).wrapping_add(digit.cast_signed()));
            let hash = if sign == num_bigint::Sign::Minus { hash.wrapping_neg() } else { hash };
            // BigDecimal hashes what fits a long by itself.
            match i64::try_from(&unscaled) {
                Ok(compact) if compact != i64::MIN => {
                    let value = compact.unsigned_abs();
                    let high = (value >> 32) as u32;
                    let hash = high
                        .cast_signed()
                        .wrapping_mul(31)
                        .wrapping_add((value as u32).cast_signed());
                    let hash = if compact < 0 { hash.wrapping_neg() } else { hash };
                    hash.wrapping_mul(31).wrapping_add(scale)
                }
                _ => hash.wrapping_mul(31).wrapping_add(scale),
            }
        }
        JavaValue::List(values) => values.iter().try_fold(1i32, |hash, value| {
            Some(hash.wrapping_mul(31).wrapping_add(hash_code(value)?))
        })?,
        JavaValue::Map(entries) => entries.iter().try_fold(0i32, |hash, (key, value)| {
            Some(hash.wrapping_add(hash_code(key)? ^ hash_code(value)?))
        })?,
        _ => return None,
    })
}

/// Infinispan's MurmurHash3 of an object: texts by their UTF-8, all others by their hash code.
pub(crate) fn murmur(value: &JavaValue) -> Option<i32> {
    Some(match value {
        JavaValue::Text(text) => murmur3(text.as_bytes()),
        value => murmur3(&hash_code(value)?.to_le_bytes()),
    })
}

/// The upper half of the first word of MurmurHash3 x64 128 with Infinispan's constants.
pub(crate) fn murmur3(bytes: &[u8]) -> i32 {
    const SEED: u64 = 9_001;
    let mut state = State {
        h1: 0x9368_e53c_2f6a_f274 ^ SEED,
        h2: 0x586d_cd20_8f7c_d3fd ^ SEED,
        c1: 0x87c3_7b91_1142_53d5,
        c2: 0x4cf5_ad43_2745_937f,
    };
    let mut blocks = bytes.chunks_exact(16);
    for block in &mut blocks {
        let (low, high) = block.split_at(8);
        // Bytes of a block count as unsigned, those of the rest as signed.
        let word =
            |bytes: &[u8]| bytes.iter().rev().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
        state.mix(word(low), word(high));
    }
    let rest = blocks.remainder();
    let word = |bytes: &[u8]| {
        bytes.iter().enumerate().fold(0u64, |word, (place, byte)| {
            word ^ (i64::from(byte.cast_signed()).cast_unsigned() << (8 * place))
        })
    };
    if !rest.is_empty() {
        let (low, high) = rest.split_at(rest.len().min(8));
        state.mix(word(low), word(high));
    }
    state.h2 ^= bytes.len() as u64;
    state.h1 = state.h1.wrapping_add(state.h2);
    state.h2 = state.h2.wrapping_add(state.h1);
    state.h1 = finish(state.h1);
    state.h2 = finish(state.h2);
    state.h1 = state.h1.wrapping_add(state.h2);
    ((state.h1 >> 32) as u32).cast_signed()
}

struct State {
    h1: u64,
    h2: u64,
    c1: u64,
    c2: u64,
}

impl State {
    fn mix(&mut self, k1: u64, k2: u64) {
        let k1 = k1.wrapping_mul(self.c1).rotate_left(23).wrapping_mul(self.c2);
        self.h1 = (self.h1 ^ k1).wrapping_add(self.h2);
        self.h2 = self.h2.rotate_left(41);
        let k2 = k2.wrapping_mul(self.c2).rotate_left(23).wrapping_mul(self.c1);
        self.h2 = (self.h2 ^ k2).wrapping_add(self.h1);
        self.h1 = self.h1.wrapping_mul(3).wrapping_add(0x52dc_e729);
        self.h2 = self.h2.wrapping_mul(3).wrapping_add(0x3849_5ab5);
        self.c1 = self.c1.wrapping_mul(5).wrapping_add(0x7b7d_159c);
        self.c2 = self.c2.wrapping_mul(5).wrapping_add(0x6bce_6396);
    }
}

fn finish(mut word: u64) -> u64 {
    word ^= word >> 33;
    word = word.wrapping_mul(0xff51_afd7_ed55_8ccd);
    word ^= word >> 33;
    word = word.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ word >> 33
}
