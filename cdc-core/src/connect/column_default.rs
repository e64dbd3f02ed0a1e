//! The default of a column as Debezium's PostgreSQL connector writes it into schemas.
//!
//! `PostgresDefaultValueConverter` reads the server's expression by two patterns: of a quoted text it takes what stands before the
//! second quote, and for a call of a function, which it cannot evaluate, a zero of the type. Readers have registered
//! these schemas, so they are the same here. Neither can get into data unless `replace.null.with.default` is set: a NULL
//! stays NULL.

use crate::data_type::DataType;
use crate::schema::Field;
use crate::value::{Date, Decimal, Time, TimeUnit, Timestamp, Uuid, Value};

/// The default that a schema carries; `None` without one, and where Debezium cannot read it.
pub(super) fn column_default(field: &Field) -> Option<Value> {
    match (&field.value_type.default, &field.default_expression) {
        (Some(Value::Text(text)), _) => {
            let shown = text.split_once('\'').map_or(&**text, |(before, _)| before);
            Some(Value::text(shown))
        }
        (Some(constant), _) => Some(constant.clone()),
        (None, Some(expression)) if is_call(expression) => zero(field.data_type()),
        (None, _) => None,
    }
}

/// `name(...)` or `schema.name(...)`, perhaps behind a parenthesis.
fn is_call(expression: &str) -> bool {
    let expression = expression.strip_prefix('(').unwrap_or(expression);
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let arguments = expression.trim_start_matches(is_name);
    arguments.len() < expression.len() && arguments.starts_with('(') && arguments.contains(')')
}

/// What stands for a value that is not known.
fn zero(data_type: &DataType) -> Option<Value> {
    Some(match data_type {
        DataType::Bool => Value::Bool(false),
        DataType::Int16 => Value::Int16(0),
        DataType::Int32 => Value::Int32(0),
        DataType::Int64 => Value::Int64(0),
        DataType::Float32 => Value::Float32(0.0),
        DataType::Float64 => Value::Float64(0.0),
        DataType::Decimal { scale: Some(scale), .. } => Value::Decimal(Decimal::new(0, *scale)),
        DataType::Text { .. } => Value::text(""),
        DataType::Uuid => Value::Uuid(Uuid([0; 16])),
        DataType::Date => Value::Date(Date::Days(0)),
        DataType::Time { .. } => Value::Time(Time { value: 0, unit: TimeUnit::Micro }),
        DataType::Timestamp { .. } | DataType::TimestampTz { .. } => {
            Value::Timestamp(Timestamp::micros(0))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn computed(data_type: DataType, expression: &str) -> Field {
        let mut field = Field::optional("c", data_type);
        field.default_expression = Some(expression.into());
        field
    }

    #[test]
    fn a_call_of_a_function_is_a_zero_of_the_type() {
        let default = |data_type, expression| column_default(&computed(data_type, expression));
        assert_eq!(
            default(DataType::Int32, "nextval('t_id_seq'::regclass)"),
            Some(Value::Int32(0))
        );
        assert_eq!(default(DataType::Uuid, "gen_random_uuid()"), Some(Value::Uuid(Uuid([0; 16]))));
        assert!(
            default(DataType::TimestampTz { precision: 6 }, "(now() + '1 day'::interval)")
                .is_some()
        );
        assert_eq!(default(DataType::Date, "CURRENT_DATE"), None);
        assert_eq!(default(DataType::Interval, "age(now())"), None);
    }

    #[test]
    fn a_text_ends_at_its_first_quote() {
        let mut field = Field::optional("c", DataType::TEXT);
        field.value_type.default = Some(Value::text("it's"));
        assert_eq!(column_default(&field), Some(Value::text("it")));
    }
}
