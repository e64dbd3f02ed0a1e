//! `publication.*` and `replica.identity.autoset.values`.

use cdc_core::java_pattern::{JavaPattern, split_list};
use cdc_core::{Properties, Result};

use super::{invalid, text};
use crate::builder::Given;
use crate::identity::{IdentityRule, IdentityTables, ReplicaIdentity};
use crate::names::check_publication_name;
use crate::options::PublicationMode;

pub(super) fn read(properties: &Properties, given: &mut Given) -> Result<()> {
    let name = properties.string("publication.name", "dbz_publication");
    check_publication_name(&name, false).map_err(|why| invalid("publication.name", &name, why))?;
    given.settings.publication_name = Some(name);
    let modes = ["all_tables", "disabled", "filtered", "no_tables"];
    given.settings.publication_mode =
        match properties.one_of("publication.autocreate.mode", &modes, "all_tables")? {
            "disabled" => PublicationMode::Existing,
            "filtered" => PublicationMode::Filtered,
            "no_tables" => PublicationMode::NoTables,
            _ => PublicationMode::AllTables,
        };
    given.settings.via_root = properties.bool("publish.via.partition.root", false)?;
    given.settings.publish = published(properties);
    if let Some(values) = text(properties, "replica.identity.autoset.values") {
        given.settings.identities = identities(values)?;
    }
    Ok(())
}

/// The operations that are not skipped, where any is: a publication that is made has only these. What else the option may
/// say is for who skips them.
fn published(properties: &Properties) -> Option<String> {
    let skipped = text(properties, "skipped.operations")?;
    let skips = |letter: &str| skipped.split(',').any(|skipped| skipped.trim() == letter);
    let operations = [("c", "insert"), ("u", "update"), ("d", "delete"), ("t", "truncate")];
    let left: Vec<&str> =
        operations.iter().filter(|(letter, _)| !skips(letter)).map(|(_, name)| *name).collect();
    (left.len() < operations.len()).then(|| left.join(", "))
}

/// `schema.table:FULL,other.*:INDEX name`.
fn identities(values: &str) -> Result<Vec<IdentityRule>> {
    const NAME: &str = "replica.identity.autoset.values";
    split_list(values)
        .iter()
        .map(|entry| {
            let parsed = entry.rsplit_once(':').and_then(|(tables, identity)| {
                Some((tables.trim(), ReplicaIdentity::parse(identity)?))
            });
            let Some((tables, identity)) = parsed.filter(|(tables, _)| !tables.is_empty()) else {
                let why = format_args!(
                    "{entry} is not of the form schema.table:DEFAULT, FULL, NOTHING or INDEX name"
                );
                return Err(invalid(NAME, values, why));
            };
            let tables = JavaPattern::ignoring_case(NAME, tables)?;
            Ok(IdentityRule { tables: IdentityTables::Expression(Box::new(tables)), identity })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_has_the_operations_that_are_not_skipped() {
        let of = |skipped: &str| {
            let mut properties = Properties::new();
            properties.set("skipped.operations", skipped);
            published(&properties)
        };
        assert_eq!(of("t").as_deref(), Some("insert, update, delete"));
        assert_eq!(of("c, u,d").as_deref(), Some("truncate"));
        assert_eq!(of("none"), None);
        assert_eq!(published(&Properties::new()), None);
    }

    #[test]
    fn identities_are_given_by_expressions() {
        let rules = identities("public.a:FULL,shop.*:INDEX Idx").unwrap();
        assert_eq!(rules[0].identity, ReplicaIdentity::Full);
        assert_eq!(rules[1].identity, ReplicaIdentity::Index("Idx".into()));
        for wrong in ["public.a", "public.a:ALL", ":FULL"] {
            let error = identities(wrong).unwrap_err().to_string();
            assert!(error.contains("replica.identity.autoset.values"), "{error}");
        }
    }
}
