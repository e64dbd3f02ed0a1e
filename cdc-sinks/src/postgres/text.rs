//! Values as the text that PostgreSQL reads as exactly the same value.

use std::fmt::Write;

use cdc_core::value::Array;
use cdc_core::{Value, ValueRef};

use crate::sql::json::{write_json, write_scalar};
use crate::sql::temporal::{Years, write_interval_postgres};

/// Writes a value for a column, which is an array or is not.
pub(super) fn write_text(out: &mut String, value: &ValueRef<'_>, array: bool, instant: bool) {
    match value {
        ValueRef::Array(values) if array => write_array(out, values, instant),
        ValueRef::Array(_) | ValueRef::Map(_) | ValueRef::Struct(_) => {
            write_json(out, value, instant)
        }
        // Writing to a String cannot fail.
        ValueRef::Interval(v) => {
            let _ = write_interval_postgres(out, *v);
        }
        _ => write_scalar(out, value, instant, Years::Era),
    }
}

/// The literal of an array: `{1,NULL,"a"}`, with `[0:1]=` in front where an index does not begin at 1.
fn write_array(out: &mut String, array: &Array, instant: bool) {
    let dimensions = dimensions(array);
    if dimensions.iter().any(|&(lower, _)| lower != 1) && !array.values.is_empty() {
        for (lower, length) in dimensions {
            let upper = i64::from(lower) + i64::try_from(length).unwrap_or(i64::MAX) - 1;
            let _ = write!(out, "[{lower}:{upper}]");
        }
        out.push('=');
    }
    write_elements(out, array, instant);
}

fn dimensions(array: &Array) -> Vec<(i32, usize)> {
    let mut found = Vec::new();
    let mut next = Some(array);
    while let Some(array) = next {
        found.push((array.lower_bound, array.values.len()));
        next = match array.values.first() {
            Some(Value::Array(inner)) => Some(inner),
            _ => None,
        };
    }
    found
}

fn write_elements(out: &mut String, array: &Array, instant: bool) {
    out.push('{');
    let mut text = String::new();
    for (number, value) in array.values.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        match value {
            Value::Array(inner) => write_elements(out, inner, instant),
            Value::Null | Value::Unavailable => out.push_str("NULL"),
            value => {
                text.clear();
                write_text(&mut text, &value.as_ref(), false, instant);
                out.push('"');
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(c);
                }
                out.push('"');
            }
        }
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn text(array: Array) -> String {
        let mut out = String::new();
        write_text(&mut out, &ValueRef::Array(&array), true, false);
        out
    }

    #[test]
    fn elements_are_quoted_and_bounds_stand_in_front() {
        let quoted = Array::new(vec!["a\"\\".into(), "NULL".into(), Value::Null]);
        assert_eq!(text(quoted), r#"{"a\"\\","NULL",NULL}"#);
        let inner = |a: i32, b: i32| Value::Array(Arc::new(Array::new(vec![a.into(), b.into()])));
        let outer = Array { values: vec![inner(1, 2), inner(3, 4)], lower_bound: 0 };
        assert_eq!(text(outer), r#"[0:1][1:2]={{"1","2"},{"3","4"}}"#);
        assert_eq!(text(Array { values: vec![], lower_bound: 5 }), "{}");
    }
}
