//! Names: of slots and publications from the pipeline's, and quoted in SQL.

use cdc_core::TableId;

/// The longest name that PostgreSQL keeps (`NAMEDATALEN` - 1).
const MAX_NAME: usize = 63;

/// `cdc_<pipeline>_<database>` in the characters that a slot may have, with a hash of both unless they are of small letters and
/// digits alone: no two pipelines share a name, whatever was replaced or cut.
pub(crate) fn default_name(pipeline: &str, database: &str) -> String {
    let is_plain = |text: &str| text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9'));
    let mut name: String = format!("cdc_{pipeline}_{database}")
        .chars()
        .map(|c| match c {
            'a'..='z' | '0'..='9' | '_' => c,
            'A'..='Z' => c.to_ascii_lowercase(),
            _ => '_',
        })
        .collect();
    let most = MAX_NAME - APPEND_SUFFIX.len();
    if name.len() > most || !is_plain(pipeline) || !is_plain(database) {
        name.truncate(most - 9);
        name.push_str(&format!("_{:08x}", hash(&format!("{pipeline}\0{database}"))));
    }
    name
}

/// What the name of the publication for tables without an identity ends in.
pub(crate) const APPEND_SUFFIX: &str = "_append";

/// The name of the publication for tables without an identity.
pub(crate) fn append_publication(publication: &str) -> String {
    format!("{publication}{APPEND_SUFFIX}")
}

/// FNV-1a: the same in every build, so that a name is found again.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// Why a text is no slot name, if it is none.
pub(crate) fn check_slot_name(name: &str) -> Result<(), String> {
    let valid = (1..=MAX_NAME).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
    if valid {
        return Ok(());
    }
    Err("Valid replication slot name must contain only digits, lowercase characters and underscores with length <= 63".to_owned())
}

/// Why a text is no publication name, if it is none.
pub(crate) fn check_publication_name(name: &str, with_append: bool) -> Result<(), String> {
    let most = if with_append { MAX_NAME - APPEND_SUFFIX.len() } else { MAX_NAME };
    if name.is_empty() || name.len() > most || name.contains('\0') {
        return Err(format!("a publication name has 1 to {most} bytes here"));
    }
    Ok(())
}

/// A name in double quotes.
pub(crate) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A table in double quotes.
pub(crate) fn quote_table(table: &TableId) -> String {
    format!("{}.{}", quote(&table.schema), quote(&table.table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pipelines_share_a_default_name() {
        let pairs = [("a-b", "c"), ("a_b", "c"), ("a", "b_c"), ("A_b", "c"), ("a b", "c")];
        let names: std::collections::HashSet<String> =
            pairs.iter().map(|(pipeline, database)| default_name(pipeline, database)).collect();
        assert_eq!(names.len(), pairs.len(), "{names:?}");
    }

    #[test]
    fn default_names_are_valid_and_stable() {
        assert_eq!(default_name("copy", "shop"), "cdc_copy_shop");
        assert_eq!(default_name("shop-copy", "Shop"), "cdc_shop_copy_shop_e0a52cef");
        let long = default_name(&"x".repeat(80), "shop");
        assert_eq!(long.len(), MAX_NAME - APPEND_SUFFIX.len());
        assert_eq!(long, default_name(&"x".repeat(80), "shop"));
        assert_ne!(long, default_name(&"x".repeat(81), "shop"));
        assert!(check_slot_name(&long).is_ok());
        assert!(check_publication_name(&long, true).is_ok());
    }

    #[test]
    fn names_with_quotes_stay_in_their_quotes() {
        assert_eq!(quote_table(&TableId::new("a\"b", "T t")), "\"a\"\"b\".\"T t\"");
    }
}
