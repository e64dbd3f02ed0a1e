//! Debezium's `Filter`: keeps the records that an expression holds for.

use cdc_core::connect::ConnectProfile;
use cdc_core::{ChangeEvent, Properties, Result, Transform};

use crate::expression::{Answer, Expression, NullHandling};

/// Keeps the records that an expression holds for and drops the others (`io.debezium.transforms.Filter`).
///
/// | option | default | |
/// |---|---|---|
/// | `language` | | `cel`, the Common Expression Language; Groovy and JavaScript are refused |
/// | `condition` | | the expression, whose result is a boolean |
/// | `topic.regex` | | the destinations whose records are asked about, by their whole names; others are kept |
/// | `null.handling.mode` | `keep` | of records without a value: `keep`, `drop`, or `evaluate` |
///
/// The variables are `value`, `key`, `topic` and `headers`. `has(value.after.id)` tells whether there is such a field, and
/// a field that does not exist is an error.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::ExpressionFilter;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// # let mut origin = some_origin();
/// # std::sync::Arc::make_mut(&mut origin.transaction).connector = "postgresql";
/// let mut filter = ExpressionFilter::new("value.op == 'c' && value.after.id > 5")?;
/// let mut out = Vec::new();
/// for id in [5, 6] {
///     let change = Change::create(shop::order(id, "pen"));
///     filter.apply(ChangeEvent::change(Destination::named("orders"), change, origin.clone()), &mut out)?;
/// }
/// assert_eq!(out.len(), 1);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ExpressionFilter {
    condition: Expression,
}

impl ExpressionFilter {
    /// A filter of all records that have values.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when the condition is no expression.
    pub fn new(condition: &str) -> Result<Self> {
        Ok(ExpressionFilter { condition: Expression::new("condition", condition)? })
    }

    /// Asks about the records of these destinations alone.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when it is no regular expression.
    pub fn topics(mut self, regex: &str) -> Result<Self> {
        self.condition = self.condition.topics(regex)?;
        Ok(self)
    }

    /// What is done with records without a value.
    #[must_use]
    pub fn nulls(mut self, nulls: NullHandling) -> Self {
        self.condition = self.condition.nulls(nulls);
        self
    }

    /// The handling modes of the chain; without them Debezium's defaults.
    #[must_use]
    pub fn profile(mut self, profile: &ConnectProfile) -> Self {
        self.condition = self.condition.profile(profile);
        self
    }

    pub(crate) fn from_properties(
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let condition = Expression::from_properties("condition", properties, profile)?;
        Ok(ExpressionFilter { condition })
    }
}

impl Transform for ExpressionFilter {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        match self.condition.answer(&event)? {
            Answer::Keep | Answer::Bool(true) => out.push(event),
            Answer::Drop | Answer::Bool(false) => {}
            Answer::Null => return Err(self.condition.failed("the result is null, not a bool")),
            Answer::Text(_) => {
                return Err(self.condition.failed("the result is a string, not a bool"));
            }
        }
        Ok(())
    }

    fn name(&self) -> &str {
        "Filter"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::testkit::{shop, some_origin};
    use cdc_core::{Change, Destination, Header, Payload};

    fn properties(options: &[(&str, &str)]) -> Properties {
        [("language", "cel")].iter().chain(options).copied().collect()
    }

    fn made(options: &[(&str, &str)]) -> Result<ExpressionFilter> {
        ExpressionFilter::from_properties(&properties(options), &ConnectProfile::default())
    }

    fn event(topic: &str, value: Payload) -> ChangeEvent {
        let mut origin = some_origin();
        std::sync::Arc::make_mut(&mut origin.transaction).connector = "postgresql";
        let mut event = ChangeEvent::new(Destination::named(topic), Payload::Absent, value, origin);
        event.headers.push(Header { name: "tenant".into(), schema: None, value: "acme".into() });
        event
    }

    fn kept(condition: &str) -> Result<bool> {
        let change = Change::update(Some(shop::order(7, "pen")), shop::order(7, "ink"));
        let mut out = Vec::new();
        made(&[("condition", condition)])?
            .apply(event("shop.orders", Payload::Change(change)), &mut out)?;
        Ok(!out.is_empty())
    }

    #[test]
    fn a_condition_reads_the_envelope_the_topic_and_the_headers() {
        for condition in [
            "value.op == 'u' && value.before.id == 7",
            "value.after.note != value.before.note",
            "value.before != value.after && value.after == value.after",
            "topic.startsWith('shop.') && key == null",
            "headers.tenant.value == 'acme' && header['tenant'].value == 'acme'",
            "has(value.after.id) && !has(value.after.nothing) && !has(headers.nothing)",
            "'id' in value.after && size(value.after) >= 2",
            "['c', 'u'].exists(op, op == value.op)",
            "topic.matches('^[a-z.]+$') && value.source.connector == 'postgresql' && value.ts_ms > 0",
        ] {
            assert!(kept(condition).unwrap(), "{condition}");
        }
        assert!(!kept("value.op == 'd'").unwrap());
    }

    #[test]
    fn what_is_no_condition_says_why() {
        let error = |condition: &str| kept(condition).unwrap_err().to_string();
        assert!(error("value.after.nothing == 1").contains("nothing"));
        assert!(error("value.op").contains("the result is a string"));
        assert!(error("null").contains("null"));
        assert!(error("other == 1").contains("other"));
        assert!(error("value.op ==").contains("configuration condition"));
        assert!(error("valueSchema.name == 'a'").contains("there is no variable 'valueSchema'"));
    }

    #[test]
    fn records_of_other_topics_and_without_values_are_kept_unless_asked_about() {
        let outcome = |options: &[(&str, &str)], topic: &str| {
            let options = [&[("condition", "value != null")], options].concat();
            let mut out = Vec::new();
            made(&options).unwrap().apply(event(topic, Payload::Absent), &mut out).unwrap();
            !out.is_empty()
        };
        assert!(outcome(&[], "a"));
        assert!(!outcome(&[("null.handling.mode", "drop")], "a"));
        assert!(!outcome(&[("null.handling.mode", "evaluate")], "a"));
        let topics = [("null.handling.mode", "drop"), ("topic.regex", "a.*")];
        assert!(!outcome(&topics, "ab") && outcome(&topics, "ba"));
        let error = made(&[("condition", "true"), ("null.handling.mode", "x")]).unwrap_err();
        assert!(error.to_string().contains("null.handling.mode"), "{error}");
    }

    #[test]
    fn other_languages_are_refused_by_name_with_what_to_do() {
        let options = [("language", "jsr223.groovy"), ("condition", "true")];
        let error = ExpressionFilter::from_properties(
            &options.into_iter().collect(),
            &ConnectProfile::default(),
        );
        let text = error.unwrap_err().to_string();
        assert!(text.contains("jsr223.groovy") && text.contains("language=cel"), "{text}");
    }
}
