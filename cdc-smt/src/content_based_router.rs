//! `ContentBasedRouter`: another destination by an expression.

use cdc_core::connect::ConnectProfile;
use cdc_core::{ChangeEvent, Destination, Properties, Result, TableMapping, Transform};

use crate::expression::{Answer, Expression, NullHandling};

/// Gives records the destination that an expression names; those for which it is null keep theirs
/// (`io.debezium.transforms.ContentBasedRouter`).
///
/// | option | default | |
/// |---|---|---|
/// | `language` | | `cel`, the Common Expression Language; Groovy and JavaScript are refused |
/// | `topic.expression` | | the expression, whose result is a text or null |
/// | `topic.regex` | | the destinations whose records are asked about, by their whole names; others keep theirs |
/// | `null.handling.mode` | `keep` | of records without a value: `keep`, `drop`, or `evaluate` |
///
/// The variables are those of [`ExpressionFilter`](crate::ExpressionFilter).
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::ContentBasedRouter;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut router = ContentBasedRouter::new("value.op == 'c' ? 'new.' + topic : null")?;
/// # let mut origin = some_origin();
/// # std::sync::Arc::make_mut(&mut origin.transaction).connector = "postgresql";
/// let event = ChangeEvent::change(Destination::named("orders"), Change::create(shop::order(7, "pen")), origin);
/// let mut out = Vec::new();
/// router.apply(event, &mut out)?;
/// assert_eq!(out[0].destination.as_str(), "new.orders");
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ContentBasedRouter {
    topic: Expression,
    /// Records of one destination mostly follow each other.
    last: Option<Destination>,
}

impl ContentBasedRouter {
    /// A router of all records that have values.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when it is no expression.
    pub fn new(topic: &str) -> Result<Self> {
        Ok(ContentBasedRouter { topic: Expression::new("topic.expression", topic)?, last: None })
    }

    /// Asks about the records of these destinations alone.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when it is no regular expression.
    pub fn topics(mut self, regex: &str) -> Result<Self> {
        self.topic = self.topic.topics(regex)?;
        Ok(self)
    }

    /// What is done with records without a value.
    #[must_use]
    pub fn nulls(mut self, nulls: NullHandling) -> Self {
        self.topic = self.topic.nulls(nulls);
        self
    }

    /// The handling modes of the chain; without them Debezium's defaults.
    #[must_use]
    pub fn profile(mut self, profile: &ConnectProfile) -> Self {
        self.topic = self.topic.profile(profile);
        self
    }

    pub(crate) fn from_properties(
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let topic = Expression::from_properties("topic.expression", properties, profile)?;
        Ok(ContentBasedRouter { topic, last: None })
    }
}

impl Transform for ContentBasedRouter {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        match self.topic.answer(&event)? {
            Answer::Keep | Answer::Null => {}
            Answer::Drop => return Ok(()),
            Answer::Bool(_) => {
                return Err(self.topic.failed("the result is a bool, not a string"));
            }
            Answer::Text(name) => {
                event.destination = match &self.last {
                    Some(last) if last.as_str() == name => last.clone(),
                    _ => self.last.insert(Destination::named(&name)).clone(),
                };
            }
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "ContentBasedRouter"
    }

    fn tables(&self) -> TableMapping {
        TableMapping::ByContent
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::Change;
    use cdc_core::testkit::{shop, some_origin};

    fn routed(expression: &str) -> Result<String> {
        let mut origin = some_origin();
        std::sync::Arc::make_mut(&mut origin.transaction).connector = "postgresql";
        let change = Change::create(shop::order(7, "pen"));
        let event = ChangeEvent::change(Destination::named("orders"), change, origin);
        let mut out = Vec::new();
        ContentBasedRouter::new(expression)?.apply(event, &mut out)?;
        Ok(out[0].destination.as_str().to_owned())
    }

    #[test]
    fn a_record_goes_where_the_expression_says_and_stays_where_it_is_null() {
        assert_eq!(routed("'by.' + value.after.note").unwrap(), "by.pen");
        assert_eq!(routed("value.after.id > 9 ? 'high' : null").unwrap(), "orders");
        assert_eq!(routed("topic + string(value.after.id)").unwrap(), "orders7");
    }

    #[test]
    fn a_destination_is_a_text() {
        let error = routed("value.after.id").unwrap_err().to_string();
        assert!(error.contains("value.after.id") && error.contains("type int"), "{error}");
    }
}
