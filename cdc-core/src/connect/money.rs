//! PostgreSQL's `money`, whose values are text in the form of `lc_monetary`.

use crate::error::{Error, Result};
use crate::value::Decimal;

/// The amount of `$1,234.11`, `-$1,234.11` or `($1,234.11)`.
pub(crate) fn parse(text: &str) -> Result<Decimal> {
    let negative = text.contains('(') || text.contains('-');
    let digits: String =
        text.chars().filter(|letter| letter.is_ascii_digit() || *letter == '.').collect();
    let signed = if negative { format!("-{digits}") } else { digits };
    signed.parse().map_err(|error| {
        Error::data("the value is not an amount of money in the form of lc_monetary C")
            .with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_signs_are_negative() {
        for (text, amount) in
            [("$1,234.11", "1234.11"), ("($1,234.11)", "-1234.11"), ("-$0.50", "-0.50")]
        {
            assert_eq!(parse(text).unwrap().to_string(), amount);
        }
        assert!(parse("").is_err());
    }
}
