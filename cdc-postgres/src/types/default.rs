//! Defaults that are constants: `0`, `'new'::text`, `'-1'::integer`, `true`, `NULL::bytea`.

use bytes::Bytes;
use cdc_core::Value;

use super::Kind;
use super::parse::parse;

/// The value of a default's expression (as `pg_get_expr` writes it) where it is a plain constant.
pub(crate) fn constant_default(expression: &str, kind: &Kind) -> Option<Value> {
    let mut expression = expression.trim();
    while let Some(inner) = expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        expression = inner.trim();
    }
    let (literal, rest) = match expression.strip_prefix('\'') {
        Some(quoted) => quoted_literal(quoted)?,
        None => {
            let end = expression.find("::").unwrap_or(expression.len());
            let (word, rest) = expression.split_at(end);
            let plain = !word.is_empty()
                && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
            plain.then(|| (word.to_owned(), rest))?
        }
    };
    if !is_cast(rest) {
        return None;
    }
    match literal.as_str() {
        "NULL" if !expression.starts_with('\'') => return Some(Value::Null),
        "true" if *kind == Kind::Bool => return Some(Value::Bool(true)),
        "false" if *kind == Kind::Bool => return Some(Value::Bool(false)),
        // A bare word is a number, or something that is evaluated (CURRENT_DATE).
        word if !expression.starts_with('\'') && word.parse::<f64>().is_err() => return None,
        _ => {}
    }
    // Relative dates are not constants of the text that they are written with.
    parse(kind, Bytes::from(literal)).ok()
}

/// What stands between the quotes, and what follows them.
fn quoted_literal(text: &str) -> Option<(String, &str)> {
    let mut literal = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('\'')?;
        literal.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => {
                literal.push('\'');
                rest = more;
            }
            None => return Some((literal, after)),
        }
    }
}

/// Nothing, or casts to a type: no function, no operator.
fn is_cast(text: &str) -> bool {
    text.is_empty()
        || text.starts_with("::")
            && text.bytes().all(|byte| {
                byte.is_ascii_alphanumeric() || b":_.\" (),[]".contains(&byte) || !byte.is_ascii()
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_read() {
        assert_eq!(constant_default("0", &Kind::Int32), Some(Value::Int32(0)));
        assert_eq!(constant_default("'-1'::integer", &Kind::Int32), Some(Value::Int32(-1)));
        assert_eq!(constant_default("(-5)", &Kind::Int32), Some(Value::Int32(-5)));
        assert_eq!(
            constant_default("'it''s'::character varying(20)", &Kind::Text),
            Some("it's".into())
        );
        assert_eq!(constant_default("true", &Kind::Bool), Some(Value::Bool(true)));
        assert_eq!(constant_default("NULL::bytea", &Kind::Bytes), Some(Value::Null));
    }

    #[test]
    fn expressions_are_not() {
        for expression in [
            "now()",
            "nextval('s'::regclass)",
            "CURRENT_DATE",
            "'a'::text || 'b'::text",
            "(1 + 2)",
            "",
            "'",
        ] {
            assert_eq!(constant_default(expression, &Kind::Text), None, "{expression}");
        }
    }
}
