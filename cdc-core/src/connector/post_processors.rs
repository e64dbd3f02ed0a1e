//! `post.processors`: the stages that a configuration names.

use super::FromProperties;
use crate::error::{Error, Result};
use crate::properties::Properties;
use crate::stage::Stage;

/// The stages of `post.processors` in their order: `post.processors.<name>.type` is the class, the other options with that
/// prefix are the stage's; as Debezium does it takes them with the name alone for a prefix too (`<name>.type`).
///
/// # Errors
/// [`Configuration`](crate::ErrorKind::Configuration): a class that the source does not have, with those that it has; an option
/// that is missing, unknown, or cannot have its value.
pub(super) fn stages<S: FromProperties>(
    properties: &Properties,
    source: &S,
) -> Result<Vec<Box<dyn Stage>>> {
    let names = properties.list("post.processors");
    let mut stages = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() || names[..index].contains(name) {
            let why = if name.is_empty() { "a name is empty" } else { "a name comes twice" };
            return Err(Error::configuration(format!(
                "Invalid value {} for configuration post.processors: {why}",
                names.join(",")
            )));
        }
        let full = format!("post.processors.{name}");
        let named = properties.names().any(|option| option.starts_with(&format!("{full}.")));
        let prefix = if named { full } else { name.clone() };
        let options = properties.scoped(&format!("{prefix}."));
        let Some(class) = options.get("type") else {
            return Err(Error::configuration(format!(
                "Post processor '{name}' is missing 'post.processors.{name}.type' and/or 'post.processors.{name}.<option>' configurations"
            )));
        };
        let class = known(class, S::POST_PROCESSOR_CLASSES)
            .ok_or_else(|| no_class(class, S::POST_PROCESSOR_CLASSES).context(&prefix))?;
        let stage = source
            .post_processor(class, &options)
            .and_then(|stage| options.finish().map(|()| stage))
            .map_err(|error| error.context(&prefix))?;
        stages.push(stage);
    }
    Ok(stages)
}

/// The class by its full name or without its package.
fn known(class: &str, classes: &'static [&'static str]) -> Option<&'static str> {
    let simple = |known: &str| known.rsplit('.').next() == Some(class);
    classes.iter().copied().find(|known| *known == class || simple(known))
}

fn no_class(class: &str, classes: &[&str]) -> Error {
    let error = Error::configuration(format!("Class {class} could not be found."));
    match classes {
        [] => error.remedy("this source has no post processors"),
        classes => error.remedy(format!("there is {}", classes.join(", "))),
    }
}
