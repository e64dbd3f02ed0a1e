//! Arrays: `{1,NULL,"a \"b\""}`, of several dimensions, with bounds (`[0:1]={1,2}`).
//!
//! The rules are those of the manual's "Array Input and Output Syntax".

use std::str;
use std::sync::Arc;

use bytes::Bytes;
use cdc_core::Value;
use cdc_core::value::Array;

use super::parse::parse;
use super::{Kind, ValueError};

/// PostgreSQL's own limit (`MAXDIM`).
const MAX_DIMENSIONS: usize = 6;

pub(super) fn array(text: &Bytes, element: &Kind, delimiter: u8) -> Result<Value, ValueError> {
    let error = || ValueError::new("array", text);
    let mut lower_bounds = Vec::new();
    let mut at = 0;
    if text.first() == Some(&b'[') {
        let end = text.iter().position(|byte| *byte == b'=').ok_or_else(error)?;
        lower_bounds = bounds(&text[..end]).ok_or_else(error)?;
        at = end + 1;
    }
    let mut reader = Reader { text, at, element, delimiter, lower_bounds };
    let value = reader.level(0)?;
    if reader.at == text.len() { Ok(value) } else { Err(error()) }
}

/// The lower bounds of `[l:u][l:u]...`.
fn bounds(text: &[u8]) -> Option<Vec<i32>> {
    let text = str::from_utf8(text).ok()?.strip_prefix('[')?.strip_suffix(']')?;
    let bounds: Option<Vec<i32>> = text
        .split("][")
        .map(|dimension| {
            let (lower, upper) = dimension.split_once(':')?;
            upper.parse::<i32>().ok()?;
            lower.parse().ok()
        })
        .collect();
    bounds.filter(|bounds| bounds.len() <= MAX_DIMENSIONS)
}

struct Reader<'a> {
    text: &'a Bytes,
    at: usize,
    element: &'a Kind,
    delimiter: u8,
    lower_bounds: Vec<i32>,
}

impl Reader<'_> {
    fn error(&self) -> ValueError {
        ValueError::new("array", self.text)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8) -> Result<(), ValueError> {
        if self.peek() != Some(byte) {
            return Err(self.error());
        }
        self.at += 1;
        Ok(())
    }

    fn level(&mut self, depth: usize) -> Result<Value, ValueError> {
        if depth >= MAX_DIMENSIONS {
            return Err(self.error());
        }
        self.expect(b'{')?;
        let mut values = Vec::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                values.push(match self.peek() {
                    Some(b'{') => self.level(depth + 1)?,
                    Some(b'"') => self.quoted()?,
                    _ => self.plain()?,
                });
                match self.peek() {
                    Some(b'}') => break self.at += 1,
                    Some(byte) if byte == self.delimiter => self.at += 1,
                    _ => return Err(self.error()),
                }
            }
        }
        let lower_bound = self.lower_bounds.get(depth).copied().unwrap_or(1);
        Ok(Value::Array(Arc::new(Array { values, lower_bound })))
    }

    fn plain(&mut self) -> Result<Value, ValueError> {
        let rest = &self.text[self.at..];
        let end = rest
            .iter()
            .position(|byte| *byte == self.delimiter || matches!(byte, b'{' | b'}' | b'"' | b'\\'))
            .ok_or_else(|| self.error())?;
        if end == 0 {
            return Err(self.error());
        }
        let word = self.text.slice(self.at..self.at + end);
        self.at += end;
        // An element that is the text NULL is written in quotes.
        if &word[..] == b"NULL" { Ok(Value::Null) } else { parse(self.element, word) }
    }

    fn quoted(&mut self) -> Result<Value, ValueError> {
        self.expect(b'"')?;
        let start = self.at;
        let rest = &self.text[start..];
        let stop = rest
            .iter()
            .position(|byte| matches!(byte, b'"' | b'\\'))
            .ok_or_else(|| self.error())?;
        if rest[stop] == b'"' {
            self.at = start + stop + 1;
            return parse(self.element, self.text.slice(start..start + stop));
        }
        let mut word = Vec::with_capacity(stop + 16);
        loop {
            match self.peek().ok_or_else(|| self.error())? {
                b'"' => {
                    self.at += 1;
                    return parse(self.element, word.into());
                }
                b'\\' => {
                    word.push(*self.text.get(self.at + 1).ok_or_else(|| self.error())?);
                    self.at += 2;
                }
                byte => {
                    word.push(byte);
                    self.at += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, kind: Kind) -> Result<Value, ValueError> {
        array(&Bytes::copy_from_slice(text.as_bytes()), &kind, b',')
    }

    fn list(values: Vec<Value>, lower_bound: i32) -> Value {
        Value::Array(Arc::new(Array { values, lower_bound }))
    }

    #[test]
    fn null_elements_and_the_word_null_are_two_things() {
        assert_eq!(
            read(r#"{a,NULL,"NULL",""}"#, Kind::Text).unwrap(),
            list(vec!["a".into(), Value::Null, "NULL".into(), "".into()], 1)
        );
    }

    #[test]
    fn quotes_and_backslashes_are_undone() {
        assert_eq!(
            read(r#"{"a \"b\"","c\\d","{e,f}"}"#, Kind::Text).unwrap(),
            list(vec![r#"a "b""#.into(), r"c\d".into(), "{e,f}".into()], 1)
        );
    }

    #[test]
    fn dimensions_keep_their_lower_bounds() {
        assert_eq!(
            read("[0:1][-2:-1]={{1,2},{3,4}}", Kind::Int32).unwrap(),
            list(
                vec![
                    list(vec![1i32.into(), 2i32.into()], -2),
                    list(vec![3i32.into(), 4i32.into()], -2)
                ],
                0
            )
        );
        assert_eq!(read("{}", Kind::Int32).unwrap(), list(vec![], 1));
    }

    #[test]
    fn broken_arrays_are_errors() {
        for text in ["", "{", "{1", "{1,}", "{,1}", "{1}x", "[1:2]{1}", "{\"a}", "{{{{{{{1}}}}}}}"]
        {
            assert!(read(text, Kind::Int32).is_err(), "{text:?}");
        }
    }
}
