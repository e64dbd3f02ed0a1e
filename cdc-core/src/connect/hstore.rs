//! PostgreSQL's `hstore`: its text as entries, and these as a JSON object.

use crate::error::{Error, Result};

/// A key and its value; `None` is NULL.
pub(crate) type Entry = (String, Option<String>);

/// The entries of `"a"=>"1", "b"=>NULL`, in their order.
pub(crate) fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = token(rest)?;
        let after = after.trim_start().strip_prefix("=>").ok_or_else(malformed)?;
        let (value, after) = token(after.trim_start())?;
        let key = key.ok_or_else(malformed)?;
        entries.push((key, value));
        rest = after.trim_start();
        if let Some(next) = rest.strip_prefix(',') {
            rest = next.trim_start();
        } else if !rest.is_empty() {
            return Err(malformed());
        }
    }
    Ok(entries)
}

fn malformed() -> Error {
    Error::data("the value is not the text of an hstore")
}

/// A quoted text, or NULL where it is not quoted.
fn token(text: &str) -> Result<(Option<String>, &str)> {
    let Some(rest) = text.strip_prefix('"') else {
        return match text.get(..4) {
            Some(null) if null.eq_ignore_ascii_case("null") => Ok((None, &text[4..])),
            _ => Err(malformed()),
        };
    };
    let mut out = String::new();
    let mut letters = rest.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Ok((Some(out), &rest[at + 1..])),
            '\\' => out.push(letters.next().ok_or_else(malformed)?.1),
            _ => out.push(letter),
        }
    }
    Err(malformed())
}

/// The entries as a JSON object.
pub(crate) fn write_json(entries: &[Entry], out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json_string(key, out);
        out.push(b':');
        match value {
            Some(value) => json_string(value, out),
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b'}');
}

fn json_string(text: &str, out: &mut Vec<u8>) {
    super::json::write_string_in_text(text, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_nulls_and_the_empty_hstore_are_read() {
        let entries = parse(r#""b"=>NULL, "c"=>"日本", "k 1"=>"v\"1""#).unwrap();
        let mut out = Vec::new();
        write_json(&entries, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"b":null,"c":"日本","k 1":"v\"1"}"#);
        assert!(parse("").unwrap().is_empty());
        assert!(parse("a=>b").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\"\\\\=>, aNULé]{0,30}") {
            let _ = parse(&text);
        }
    }
}
