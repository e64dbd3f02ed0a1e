//! The rows of the backlog: what the server is told to make, and what must come out of a reader.

use cdc_core::{Row, ValueRef};

/// The table: the eight columns of a usual row.
pub(crate) const COLUMNS: &str = "id bigint PRIMARY KEY, quantity integer, price numeric(12,2), customer text, note text, \
     active boolean, created timestamptz, payload text";

/// The values of row `i` in SQL.
pub(crate) const VALUES: &str = "i, i % 1000, (i % 1000000) / 100.0, 'customer ' || i % 100000, \
     'order ' || i || ' for delivery', i % 2 = 0, \
     timestamptz '2026-01-01 00:00:00+00' + i * interval '1 millisecond', lpad(i::text, 96, 'x')";

/// 2026-01-01 in microseconds.
const CREATED: i64 = 1_767_225_600_000_000;

/// Sums rows up in any order; no byte of a value is left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub(crate) rows: u64,
    pub(crate) sum: u64,
}

/// The hash of one row.
struct Mix(u64);

impl Mix {
    fn number(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn signed(&mut self, number: i64) {
        self.number(u64::from_le_bytes(number.to_le_bytes()));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        let (chunks, rest) = bytes.as_chunks::<8>();
        for chunk in chunks {
            self.number(u64::from_le_bytes(*chunk));
        }
        for byte in rest {
            self.number(u64::from(*byte));
        }
        self.number(bytes.len() as u64);
    }
}

impl Checksum {
    /// Reads every column as its typed value.
    pub(crate) fn add(&mut self, row: &Row) {
        let mut mix = Mix(0);
        for value in row.values() {
            match value {
                ValueRef::Int64(v) => mix.signed(v),
                ValueRef::Int32(v) => mix.signed(i64::from(v)),
                ValueRef::Bool(v) => mix.number(u64::from(v)),
                ValueRef::Text(v) => mix.bytes(v.as_bytes()),
                ValueRef::Decimal(v) => {
                    mix.signed(v.to_small().map_or(i64::MIN, |(unscaled, _)| unscaled));
                }
                ValueRef::Timestamp(v) => {
                    mix.signed(v.to_unit(cdc_core::value::TimeUnit::Micro).unwrap_or(i64::MIN));
                }
                // What no column here is must not pass for one.
                other => mix.bytes(format!("{other:?}").as_bytes()),
            }
        }
        self.rows += 1;
        self.sum = self.sum.wrapping_add(mix.0);
    }

    /// Of the rows 1 to `rows`, made here from the same rule.
    pub(crate) fn expected(rows: u64) -> u64 {
        let mut sum = 0u64;
        for i in 1..=rows {
            let mut mix = Mix(0);
            mix.number(i);
            mix.number(i % 1000);
            mix.number(i % 1_000_000);
            mix.bytes(format!("customer {}", i % 100_000).as_bytes());
            mix.bytes(format!("order {i} for delivery").as_bytes());
            mix.number(u64::from(i % 2 == 0));
            mix.signed(CREATED + 1000 * i64::try_from(i).unwrap_or(i64::MAX));
            mix.bytes(format!("{i:x>96}").as_bytes());
            sum = sum.wrapping_add(mix.0);
        }
        sum
    }
}
