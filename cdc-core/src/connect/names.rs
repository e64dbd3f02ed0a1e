//! Names made valid for other formats: `schema.name.adjustment.mode` and `field.name.adjustment.mode`.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::error::{Error, Result};

/// How names that Avro does not allow are replaced.
///
/// ```
/// use cdc_core::connect::NameAdjustment;
///
/// assert_eq!(NameAdjustment::Avro.adjust_field("Key Col"), "Key_Col");
/// assert_eq!(NameAdjustment::AvroUnicode.adjust_schema("my-db.public.t"), "my_u002ddb.public.t");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NameAdjustment {
    /// Names stay what they are (`none`).
    #[default]
    None,
    /// Every character that Avro does not allow becomes an underscore (`avro`).
    Avro,
    /// It becomes `_u` and its code, and so does the underscore itself (`avro_unicode`).
    AvroUnicode,
}

impl NameAdjustment {
    /// The mode of a property's value.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when there is no such mode.
    pub fn parse(property: &str, value: &str) -> Result<Self> {
        match value {
            "none" => Ok(NameAdjustment::None),
            "avro" => Ok(NameAdjustment::Avro),
            "avro_unicode" => Ok(NameAdjustment::AvroUnicode),
            _ => Err(Error::configuration(format!(
                "Invalid value {value} for configuration {property}: Value must be one of none, avro, avro_unicode"
            ))),
        }
    }

    /// A valid name of a schema, whose dots separate namespaces.
    pub fn adjust_schema(self, name: &str) -> Cow<'_, str> {
        self.adjust(name, true)
    }

    /// A valid name of a field, in which a dot is not allowed.
    pub fn adjust_field(self, name: &str) -> Cow<'_, str> {
        self.adjust(name, false)
    }

    fn adjust(self, name: &str, dots: bool) -> Cow<'_, str> {
        if self == NameAdjustment::None {
            return Cow::Borrowed(name);
        }
        let unicode = self == NameAdjustment::AvroUnicode;
        let mut out = String::with_capacity(name.len() + 8);
        // Java counts UTF-16 units: half of a pair is a character of its own.
        for (index, unit) in name.encode_utf16().enumerate() {
            let ascii = u8::try_from(unit).ok().filter(u8::is_ascii).map(char::from);
            match ascii {
                Some(letter) if letter.is_ascii_alphabetic() => out.push(letter),
                Some(digit) if digit.is_ascii_digit() => {
                    if index == 0 {
                        if unicode {
                            escape(unit, &mut out);
                        } else {
                            out.push('_');
                            out.push(digit);
                        }
                    } else {
                        out.push(digit);
                    }
                }
                Some('.') if dots && index > 0 => out.push('.'),
                Some('_') if !unicode => out.push('_'),
                // A digit of another script in front counts as a digit in Java, which keeps it behind an underscore.
                None if index == 0 && !unicode => match leading_digit(name) {
                    Some(digit) => {
                        out.push('_');
                        out.push(digit);
                    }
                    None => out.push('_'),
                },
                _ if unicode => escape(unit, &mut out),
                _ => out.push('_'),
            }
        }
        Cow::Owned(out)
    }
}

fn leading_digit(name: &str) -> Option<char> {
    name.chars().next().filter(|letter| is_decimal_digit(*letter))
}

/// `Character.isDigit` of the Basic Multilingual Plane: the blocks of ten of Unicode's category Nd.
fn is_decimal_digit(letter: char) -> bool {
    const ZEROS: [u32; 37] = [
        0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6,
        0x0d66, 0x0de6, 0x0e50, 0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0,
        0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0,
        0xaa50, 0xabf0, 0xff10, 0x0030,
    ];
    let code = u32::from(letter);
    ZEROS.iter().any(|&zero| (zero..zero + 10).contains(&code))
}

/// `_u` and the code of a UTF-16 unit: behind `00` below 256, as Debezium writes it, else as many digits as it has.
fn escape(unit: u16, out: &mut String) {
    let _ = if unit < 0x100 { write!(out, "_u00{unit:x}") } else { write!(out, "_u{unit:x}") };
}
