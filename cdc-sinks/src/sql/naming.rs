//! Which table of the target a destination is.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cdc_core::{Destination, Error, Result};

use crate::error::SinkError;

/// The name of a table in the target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TableName {
    /// The schema; `None` is the target's default one. Ignored by targets without schemas.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
}

impl TableName {
    /// A name in the target's default schema.
    pub fn new(table: impl Into<String>) -> Self {
        TableName { schema: None, table: table.into() }
    }

    /// A name in a schema.
    pub fn in_schema(schema: impl Into<String>, table: impl Into<String>) -> Self {
        TableName { schema: Some(schema.into()), table: table.into() }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.table)
    }
}

/// How destinations get the names of their tables in the target.
///
/// ```
/// use cdc_sinks::{TableName, TableNames};
/// use cdc_core::{Destination, TableId};
///
/// let names = TableNames::format("copy_${source.schema}_${source.table}")?;
/// let orders = Destination::of_table(&TableId::new("public", "orders"));
/// assert_eq!(names.of(&orders), TableName::new("copy_public_orders"));
///
/// let upper = TableNames::by(|destination| TableName::new(destination.schema_and_table().1.to_uppercase()));
/// assert_eq!(upper.of(&orders), TableName::new("ORDERS"));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct TableNames(Rule);

type Rename = dyn Fn(&Destination) -> TableName + Send + Sync;

#[derive(Clone, Default)]
enum Rule {
    /// Schema and table of the source.
    #[default]
    Source,
    /// Debezium's `collection.name.format`.
    Format(Arc<Format>),
    /// The user's own.
    By(Arc<Rename>),
}

struct Format {
    schema: Option<Vec<Part>>,
    table: Vec<Part>,
}

enum Part {
    Text(String),
    Topic,
    SourceSchema,
    SourceTable,
}

impl TableNames {
    /// Names made of a text with the placeholders of Debezium's `collection.name.format`: `${topic}` (the whole
    /// destination, dots made underscores), `${source.schema}` and `${source.table}`. A dot in the text itself
    /// parts schema and table.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a placeholder that is not one of these, naming it.
    pub fn format(format: &str) -> Result<Self> {
        let mut names: Vec<Vec<Part>> = vec![Vec::new()];
        let mut rest = format;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("${") {
                let (name, after) = after
                    .split_once('}')
                    .ok_or_else(|| bad_format(format, "a placeholder does not end"))?;
                let part = match name {
                    "topic" => Part::Topic,
                    "source.schema" => Part::SourceSchema,
                    "source.table" => Part::SourceTable,
                    other => {
                        return Err(bad_format(
                            format,
                            &format!("unknown placeholder ${{{other}}}"),
                        ));
                    }
                };
                push(&mut names, part);
                rest = after;
            } else {
                let end = rest.find("${").unwrap_or(rest.len());
                let (text, after) = rest.split_at(end);
                for (number, piece) in text.split('.').enumerate() {
                    if number > 0 {
                        names.push(Vec::new());
                    }
                    if !piece.is_empty() {
                        push(&mut names, Part::Text(piece.to_owned()));
                    }
                }
                rest = after;
            }
        }
        if names.iter().any(Vec::is_empty) {
            return Err(bad_format(format, "a part of the name is empty"));
        }
        let table = names.pop().unwrap_or_default();
        let schema = names.pop();
        if !names.is_empty() {
            return Err(bad_format(format, "a name has two parts at most"));
        }
        Ok(TableNames(Rule::Format(Arc::new(Format { schema, table }))))
    }

    /// Names made by a function.
    pub fn by(rename: impl Fn(&Destination) -> TableName + Send + Sync + 'static) -> Self {
        TableNames(Rule::By(Arc::new(rename)))
    }

    /// The name of a destination, before a target without schemas puts it into one part.
    pub fn of(&self, destination: &Destination) -> TableName {
        let (schema, table) = destination.schema_and_table();
        match &self.0 {
            Rule::Source => {
                TableName { schema: schema.map(ToOwned::to_owned), table: table.to_owned() }
            }
            Rule::By(rename) => rename(destination),
            Rule::Format(format) => TableName {
                schema: format.schema.as_ref().map(|parts| fill(parts, destination)),
                table: fill(&format.table, destination),
            },
        }
    }

    /// The name in a target without schemas.
    fn flat(&self, destination: &Destination) -> TableName {
        match self.of(destination) {
            TableName { schema: Some(schema), table } if schema != DEFAULT_SCHEMA => {
                TableName::new(format!("{schema}_{table}"))
            }
            name => TableName::new(name.table),
        }
    }
}

/// The schema that a name without one stands in, at the source and in PostgreSQL targets.
pub(crate) const DEFAULT_SCHEMA: &str = "public";

fn push(names: &mut [Vec<Part>], part: Part) {
    if let Some(last) = names.last_mut() {
        last.push(part);
    }
}

fn fill(parts: &[Part], destination: &Destination) -> String {
    let (schema, table) = destination.schema_and_table();
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Topic => destination.as_str().replace('.', "_"),
            Part::SourceSchema => schema.unwrap_or_default().to_owned(),
            Part::SourceTable => table.to_owned(),
        })
        .collect()
}

fn bad_format(format: &str, what: &str) -> Error {
    Error::configuration(format!("table name format {format:?}: {what}"))
        .remedy("use ${topic}, ${source.schema} and ${source.table}")
}

impl fmt::Debug for TableNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Rule::Source => "TableNames::default()",
            Rule::Format(_) => "TableNames::format(..)",
            Rule::By(_) => "TableNames::by(..)",
        })
    }
}

/// The names given so far: a second destination with the name of a first one is an error.
#[derive(Debug)]
pub(crate) struct NameBook {
    names: TableNames,
    /// Whether the target has schemas.
    schemas: bool,
    /// Names as the target compares them, and whose they are.
    taken: HashMap<TableName, Destination>,
}

impl NameBook {
    pub(crate) fn new(names: TableNames, schemas: bool) -> Self {
        NameBook { names, schemas, taken: HashMap::new() }
    }

    /// The target's table of a destination.
    pub(crate) fn name(
        &mut self,
        target: &str,
        offsets: &TableName,
        destination: &Destination,
    ) -> Result<TableName, SinkError> {
        let name = if self.schemas {
            let mut name = self.names.of(destination);
            name.schema.get_or_insert_with(|| DEFAULT_SCHEMA.to_owned());
            name
        } else {
            self.names.flat(destination)
        };
        if self.compared(&name) == self.compared(offsets) {
            return Err(SinkError::Name {
                target: target.to_owned(),
                reason: format!(
                    "the table {destination} would be written to {name}, which holds the offsets"
                ),
                remedy: "leave the table out, or keep the offsets elsewhere with .offset_table(..)"
                    .into(),
            });
        }
        match self.taken.get(&self.compared(&name)) {
            Some(first) if first != destination => Err(SinkError::NameCollision {
                target: target.to_owned(),
                table: name.to_string(),
                first: first.to_string(),
                second: destination.to_string(),
            }),
            Some(_) => Ok(name),
            None => {
                self.taken.insert(self.compared(&name), destination.clone());
                Ok(name)
            }
        }
    }

    /// SQLite, the target without schemas, does not tell cases apart.
    fn compared(&self, name: &TableName) -> TableName {
        if self.schemas { name.clone() } else { TableName::new(name.table.to_ascii_lowercase()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cdc_core::TableId;

    fn table(schema: &str, table: &str) -> Destination {
        Destination::of_table(&TableId::new(schema, table))
    }

    fn flat(destinations: &[Destination]) -> Result<Vec<String>, SinkError> {
        let mut book = NameBook::new(TableNames::default(), false);
        let offsets = TableName::new("cdc_offsets");
        destinations
            .iter()
            .map(|d| book.name("sqlite:x", &offsets, d).map(|name| name.to_string()))
            .collect()
    }

    #[test]
    fn without_schemas_the_default_schema_is_left_out_of_the_name() {
        let names = flat(&[table("public", "orders"), table("audit", "orders")]).unwrap();
        assert_eq!(names, ["orders", "audit_orders"]);
    }

    #[test]
    fn two_destinations_with_one_name_are_an_error_that_names_both() {
        let error =
            flat(&[table("public", "audit_log"), table("audit", "log")]).unwrap_err().to_string();
        assert!(error.contains("public.audit_log and audit.log"), "{error}");
        assert!(error.contains(".table_names("), "{error}");
    }

    #[test]
    fn names_that_differ_in_case_alone_are_one_where_the_target_says_so() {
        assert!(flat(&[table("public", "Orders"), table("public", "orders")]).is_err());
    }

    #[test]
    fn the_table_of_the_offsets_is_not_written_by_rows() {
        assert!(flat(&[table("public", "cdc_offsets")]).is_err());
    }

    #[test]
    fn a_format_has_schema_and_table_parted_by_a_dot_of_its_own() {
        let names = TableNames::format("copy.${source.table}").unwrap();
        assert_eq!(names.of(&table("public", "a.b")), TableName::in_schema("copy", "a.b"));
        let topic = TableNames::format("${topic}").unwrap();
        assert_eq!(topic.of(&Destination::named("shop.public.t")), TableName::new("shop_public_t"));
        assert!(
            TableNames::format("${source.db}").unwrap_err().to_string().contains("${source.db}")
        );
    }
}
