//! `RegexRouter`: another destination by a regular expression.

use std::collections::HashMap;

use cdc_core::java_pattern::JavaPattern;
use cdc_core::{ChangeEvent, Destination, Properties, Result, Transform};

use crate::options;

/// Gives events another destination where a regular expression matches the whole name of the one they have
/// (`org.apache.kafka.connect.transforms.RegexRouter`).
///
/// Options: `regex` (required) and `replacement` (required), in which `$1` and `${name}` are groups.
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
/// use cdc_smt::RegexRouter;
///
/// # let origin = cdc_core::testkit::some_origin();
/// let mut route = RegexRouter::new(r"shop\.public\.(.*)", "$1")?;
/// let event = ChangeEvent::new(Destination::named("shop.public.orders"), Payload::Absent, Payload::Absent, origin);
/// let mut out = Vec::new();
/// route.apply(event, &mut out)?;
/// assert_eq!(out[0].destination.as_str(), "orders");
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RegexRouter {
    regex: JavaPattern,
    replacement: String,
    routes: HashMap<Destination, Destination>,
    last: Option<(Destination, Destination)>,
}

/// More destinations than that are not in use at once.
const KEPT: usize = 4_096;

impl RegexRouter {
    /// A router.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when `regex` is no regular expression.
    pub fn new(regex: &str, replacement: &str) -> Result<Self> {
        Ok(RegexRouter {
            regex: options::regex("regex", regex)?,
            replacement: replacement.to_owned(),
            routes: HashMap::new(),
            last: None,
        })
    }

    /// A router by Connect's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words.
    pub fn from_properties(properties: &Properties) -> Result<Self> {
        let regex = properties.required("regex")?;
        Self::new(regex, properties.required("replacement")?)
    }

    fn route(&mut self, from: &Destination) -> Result<Destination> {
        if let Some((last, to)) = &self.last
            && last == from
        {
            return Ok(to.clone());
        }
        let to = match self.routes.get(from) {
            Some(to) => to.clone(),
            None => {
                let name = from.as_str();
                let to = if self.regex.matches(name)? {
                    let routed = self
                        .regex
                        .replace_first(name, &self.replacement)
                        .map_err(options::as_data)?;
                    if routed == name { from.clone() } else { Destination::named(&routed) }
                } else {
                    from.clone()
                };
                if self.routes.len() >= KEPT {
                    self.routes.clear();
                }
                self.routes.insert(from.clone(), to.clone());
                to
            }
        };
        self.last = Some((from.clone(), to.clone()));
        Ok(to)
    }
}

impl Transform for RegexRouter {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        event.destination = self.route(&event.destination)?;
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "RegexRouter"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
