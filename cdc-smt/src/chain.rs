//! Chains as users write them: `transforms=a,b`, `transforms.a.type=…`, `predicates=…`.

use std::collections::HashMap;

use cdc_core::connect::ConnectProfile;
use cdc_core::{ChangeEvent, Error, Operation, Properties, Result, TableMapping, Transform};

use crate::classes::transform_of_class;
use crate::predicate::Predicate;

/// The transforms of a configuration in their order.
///
/// Read are `transforms`, `transforms.<alias>.type`, `.predicate` and `.negate`, `predicates`, `predicates.<alias>.type`,
/// and the options of each transform and predicate by their original names. Classes have their original names, in
/// full or without the package.
///
/// ```
/// use cdc_core::Properties;
/// use cdc_core::connect::ConnectProfile;
///
/// let properties: Properties = r#"{
///     "transforms": "unwrap,route",
///     "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
///     "transforms.unwrap.add.fields": "op,source.ts_ms",
///     "transforms.route.type": "org.apache.kafka.connect.transforms.RegexRouter",
///     "transforms.route.regex": "shop\\.public\\.(.*)",
///     "transforms.route.replacement": "$1",
///     "transforms.route.predicate": "shop",
///     "predicates": "shop",
///     "predicates.shop.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
///     "predicates.shop.pattern": "shop\\..*"
/// }"#.parse()?;
/// let chain = cdc_smt::from_properties(&properties, &ConnectProfile::default())?;
/// assert_eq!(chain.len(), 2);
/// properties.finish()?;
/// # Ok::<(), cdc_core::Error>(())
/// ```
///
/// # Errors
/// [`Configuration`](cdc_core::ErrorKind::Configuration) in Connect's words, behind the name of the transform: a class that
/// does not exist, with those that do; an option that is missing, unknown, or cannot have its value.
pub fn from_properties(
    properties: &Properties,
    profile: &ConnectProfile,
) -> Result<Vec<Box<dyn Transform>>> {
    let predicates = predicates(properties)?;
    let aliases = aliases(properties, "transforms")?;
    let mut chain: Vec<Box<dyn Transform>> = Vec::with_capacity(aliases.len());
    for alias in aliases {
        let prefix = format!("transforms.{alias}");
        let options = properties.scoped(&format!("{prefix}."));
        let class = class_of(&options, &prefix)?;
        let negate = options.bool("negate", false).map_err(|error| error.context(&prefix))?;
        let predicate = match options.get("predicate") {
            None | Some("") if negate => {
                return Err(Error::configuration(format!(
                    "Invalid value true for configuration {prefix}.negate: there is no config \
                     '{prefix}.predicate' defining a predicate to be negated"
                )));
            }
            None | Some("") => None,
            Some(name) => match predicates.get(name) {
                Some(predicate) => Some((predicate.clone(), negate)),
                None => {
                    let mut known: Vec<&str> = predicates.keys().map(String::as_str).collect();
                    known.sort_unstable();
                    return Err(Error::configuration(format!(
                        "Invalid value {name} for configuration {prefix}.predicate: there is no predicate of this name"
                    ))
                    .remedy(format!("predicates names {}", known.join(", "))));
                }
            },
        };
        let transform = transform_of_class(&class, &options, profile)
            .and_then(|transform| options.finish().map(|()| transform))
            .map_err(|error| error.context(&prefix))?;
        let name = format!("{alias} ({})", transform.name());
        chain.push(Box::new(Step { name, predicate, transform }));
    }
    Ok(chain)
}

fn predicates(properties: &Properties) -> Result<HashMap<String, Predicate>> {
    let mut predicates = HashMap::new();
    for alias in aliases(properties, "predicates")? {
        let prefix = format!("predicates.{alias}");
        let options = properties.scoped(&format!("{prefix}."));
        let class = class_of(&options, &prefix)?;
        let predicate = Predicate::of_class(&class, &options)
            .and_then(|predicate| options.finish().map(|()| predicate))
            .map_err(|error| error.context(&prefix))?;
        predicates.insert(alias, predicate);
    }
    Ok(predicates)
}

fn aliases(properties: &Properties, name: &str) -> Result<Vec<String>> {
    let aliases = properties.list(name);
    for (index, alias) in aliases.iter().enumerate() {
        if alias.is_empty() || aliases[..index].contains(alias) {
            let why =
                if alias.is_empty() { "An alias is empty." } else { "Duplicate alias provided." };
            return Err(Error::configuration(format!(
                "Invalid value [{}] for configuration {name}: {why}",
                aliases.join(", ")
            )));
        }
    }
    Ok(aliases)
}

fn class_of(options: &Properties, prefix: &str) -> Result<String> {
    // The name of a version of a plugin chooses nothing here: there is one of each.
    if options.get("plugin.version").is_some() {
        return Err(Error::configuration(format!("{prefix}.plugin.version is not supported"))
            .remedy("leave it out: each class is here in one version"));
    }
    options.get("type").map(str::to_owned).ok_or_else(|| {
        Error::configuration(format!(
            "Missing required configuration \"{prefix}.type\" which has no default value."
        ))
    })
}

/// A transform by its alias, for the events that a predicate takes.
struct Step {
    name: String,
    predicate: Option<(Predicate, bool)>,
    transform: Box<dyn Transform>,
}

impl Transform for Step {
    fn apply(&mut self, event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        match &self.predicate {
            Some((predicate, negate)) if predicate.test(&event)? == *negate => {
                out.push(event);
                Ok(())
            }
            Some(_)
                if event.operation() == Some(Operation::Table)
                    && self.transform.tables() == TableMapping::ByContent =>
            {
                Ok(())
            }
            _ => self.transform.apply(event, out),
        }
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn tables(&self) -> TableMapping {
        match &self.predicate {
            // Tables that the transform is not for go on.
            Some(_) => TableMapping::BySchema,
            None => self.transform.tables(),
        }
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(Step {
            name: self.name.clone(),
            predicate: self.predicate.clone(),
            transform: self.transform.boxed_clone(),
        })
    }
}
