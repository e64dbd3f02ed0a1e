//! Expressions over records, for [`ExpressionFilter`](crate::ExpressionFilter) and
//! [`ContentBasedRouter`](crate::ContentBasedRouter).
//!
//! The language is [CEL](https://cel.dev), the Common Expression Language: typed, without loops or side effects, so that
//! an expression of a configuration can neither hang nor reach outside. The crate is `cel`, which is maintained, in Rust
//! alone, and reads variables through traits: a record is not copied for it, and only the fields that an expression names
//! are looked at. The scripting languages of Debezium (Groovy, JavaScript) need a Java machine.
//!
//! | variable | |
//! |---|---|
//! | `value` | the value: of a change its envelope, `value.op`, `value.after.id`, `value.source.table` |
//! | `key` | the key |
//! | `topic` | the destination |
//! | `headers`, `header` | headers by their names, the last of a name: `headers.tenant.value` |
//!
//! Values are those of the record in Kafka Connect: all integers are `int`, times are numbers or texts as
//! `time.precision.mode` says, decimals are `double`. A column that the server did not send is the
//! `unavailable.value.placeholder`.

mod values;

use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, Processed};
use cdc_core::java_pattern::JavaPattern;
use cdc_core::{ChangeEvent, Error, Operation, Payload, Properties, Result, Value};
use cel::common::types::{CelBool, CelNull, CelString};
use cel::{Context, Env, Program};

use crate::options;

use self::values::Variables;

/// What is done with a record without a value: the option `null.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum NullHandling {
    /// It goes on as it is (`keep`).
    #[default]
    Keep,
    /// It is left out (`drop`).
    Drop,
    /// The expression is asked, whose `value` is null (`evaluate`).
    Evaluate,
}

/// What an expression says of a record.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// The record is not asked about and goes on.
    Keep,
    /// The record is not asked about and left out.
    Drop,
    Null,
    Bool(bool),
    Text(String),
}

/// An expression, and the records that it is for.
#[derive(Clone)]
pub(crate) struct Expression {
    text: Arc<str>,
    program: Arc<Program>,
    env: Arc<Env>,
    topics: Option<JavaPattern>,
    nulls: NullHandling,
    profile: ConnectProfile,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expression").field("text", &self.text).finish_non_exhaustive()
    }
}

const NAMES: [&str; 5] = ["value", "key", "topic", "headers", "header"];

impl Expression {
    /// The expression that is the value of an option.
    pub(crate) fn new(option: &str, text: &str) -> Result<Self> {
        let env = Arc::new(Env::stdlib());
        let wrong = |why: &str| options::invalid(option, text, why);
        let program = env.compile(text).map_err(|error| wrong(&one_line(&error.to_string())))?;
        let calls = program.references();
        if let Some(name) = calls.variables().into_iter().find(|name| is_java(name)) {
            return Err(wrong(&format!("there is no variable '{name}'"))
                .remedy(format!("the variables are {}", NAMES.join(", "))));
        }
        Ok(Expression {
            text: text.into(),
            program: Arc::new(program),
            env,
            topics: None,
            nulls: NullHandling::default(),
            profile: ConnectProfile::default(),
        })
    }

    pub(crate) fn from_properties(
        option: &str,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        language(options::debezium_required(properties, "language")?)?;
        let mut expression = Self::new(option, options::debezium_required(properties, option)?)?;
        expression.profile = profile.clone();
        let modes = ["keep", "drop", "evaluate"];
        expression.nulls =
            match options::debezium_word(properties, "null.handling.mode", &modes, "keep")? {
                "drop" => NullHandling::Drop,
                "evaluate" => NullHandling::Evaluate,
                _ => NullHandling::Keep,
            };
        match properties.get("topic.regex") {
            Some(regex) => expression.topics(regex),
            None => Ok(expression),
        }
    }

    pub(crate) fn topics(mut self, regex: &str) -> Result<Self> {
        self.topics = Some(options::regex("topic.regex", regex)?);
        Ok(self)
    }

    pub(crate) fn nulls(mut self, nulls: NullHandling) -> Self {
        self.nulls = nulls;
        self
    }

    pub(crate) fn profile(mut self, profile: &ConnectProfile) -> Self {
        self.profile = profile.clone();
        self
    }

    /// What the expression says of an event.
    pub(crate) fn answer(&self, event: &ChangeEvent) -> Result<Answer> {
        if event.operation() == Some(Operation::Table) {
            return Ok(Answer::Keep);
        }
        if let Some(topics) = &self.topics
            && !topics.matches(event.destination.as_str())?
        {
            return Ok(Answer::Keep);
        }
        let is_null =
            matches!(&event.value, Payload::Absent | Payload::Value { value: Value::Null, .. });
        match self.nulls {
            NullHandling::Keep if is_null => return Ok(Answer::Keep),
            NullHandling::Drop if is_null => return Ok(Answer::Drop),
            _ => {}
        }
        match &event.value {
            Payload::Change(_) | Payload::Transaction(_) | Payload::Message(_) => {
                match self.profile.lower(event, Processed::now())? {
                    Some(record) => self.evaluate(&record),
                    None => Ok(Answer::Keep),
                }
            }
            _ => self.evaluate(event),
        }
    }

    fn evaluate(&self, record: &ChangeEvent) -> Result<Answer> {
        let variables = Variables::new(record, &self.profile);
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.set_variable_resolver(&variables);
        let result = cel::Value::resolve_val(self.program.expression(), &context)
            .map_err(|error| self.failed(&one_line(&error.to_string())))?;
        if let Some(value) = result.downcast_ref::<CelBool>() {
            Ok(Answer::Bool(*value.inner()))
        } else if let Some(text) = result.downcast_ref::<CelString>() {
            Ok(Answer::Text(text.inner().to_owned()))
        } else if result.downcast_ref::<CelNull>().is_some() {
            Ok(Answer::Null)
        } else {
            Err(self.failed(&format!("the result is of type {}", result.get_type().name())))
        }
    }

    /// The error of an expression that failed or gave something else.
    pub(crate) fn failed(&self, why: &str) -> Error {
        Error::data(format!("Error while evaluating expression '{}': {why}", self.text))
    }
}

/// Names of Debezium's scripts that are not here. Any other name may be one that a macro declares, as `x` in
/// `all(x, ...)`: the evaluation knows.
fn is_java(name: &str) -> bool {
    ["record", "keySchema", "valueSchema"].contains(&name)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Refuses any other language.
fn language(language: &str) -> Result<()> {
    if language.trim().eq_ignore_ascii_case("cel") {
        return Ok(());
    }
    Err(options::invalid("language", language, "scripting languages of the Java machine are not supported")
        .remedy("set language=cel and write the expression in CEL: value.op == 'u' && value.before.id == 2 is the same in both"))
}
