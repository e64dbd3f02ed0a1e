//! A source from the properties of Debezium's PostgreSQL connector.

mod columns;
mod connection;
mod lists;
mod post_processors;
mod publications;
mod refused;
mod signals;
mod slots;
mod snapshots;
#[cfg(test)]
mod supported;

use cdc_core::connector::FromProperties;
use cdc_core::{Error, Properties, Result, Stage};

use crate::builder::{Given, PostgresSourceBuilder};
use crate::source::PostgresSource;

impl FromProperties for PostgresSource {
    const CONNECTOR_CLASSES: &'static [&'static str] =
        &["io.debezium.connector.postgresql.PostgresConnector", "PostgresConnector", "Postgres"];
    const CONNECTOR_NAME: &'static str = "postgresql";

    fn from_properties(properties: &Properties) -> Result<Self> {
        PostgresSource::from_properties(properties)
    }

    const POST_PROCESSOR_CLASSES: &'static [&'static str] = post_processors::CLASSES;

    /// There is one class.
    fn post_processor(&self, _class: &str, options: &Properties) -> Result<Box<dyn Stage>> {
        Ok(Box::new(post_processors::reselect_columns(self, options)?))
    }
}

impl PostgresSource {
    /// A source from the properties of Debezium's PostgreSQL connector, with its names and defaults. docs/postgres-options.md
    /// lists all, and the few that differ.
    ///
    /// Only the source's own options are read, so that a whole configuration can be given: the format's, the transforms' and
    /// the converters' are for who reads them.
    ///
    /// ```
    /// use cdc_core::Properties;
    /// use cdc_postgres::PostgresSource;
    ///
    /// let properties: Properties = r#"{
    ///     "database.hostname": "db", "database.user": "app", "database.password": "secret", "database.dbname": "shop",
    ///     "plugin.name": "pgoutput", "slot.name": "shop", "publication.autocreate.mode": "filtered",
    ///     "table.include.list": "public\\.orders,billing\\..*", "column.exclude.list": "public\\.orders\\.card"
    /// }"#.parse()?;
    /// let source = PostgresSource::from_properties(&properties)?;
    /// properties.finish()?; // an option that nobody knows is an error
    /// # Ok::<(), cdc_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration), naming the option: a value that it cannot have, or an option of
    /// the original that is not supported, with what to do.
    pub fn from_properties(properties: &Properties) -> Result<Self> {
        refuse(properties)?;
        let mut given = Given::default();
        let config = connection::read(properties, &mut given)?;
        lists::read(properties, &mut given)?;
        columns::read(properties, &mut given.shape)?;
        slots::read(properties, &mut given)?;
        publications::read(properties, &mut given)?;
        snapshots::read(properties, &mut given)?;
        signals::read(properties, &mut given)?;
        let mut builder = PostgresSourceBuilder::new(config.into());
        builder.given = given;
        builder.build()
    }
}

/// Refuses what is known and not supported.
fn refuse(properties: &Properties) -> Result<()> {
    for (name, remedy) in refused::REFUSED {
        match name.strip_suffix('*') {
            None => properties.refuse(name, remedy)?,
            Some(prefix) => {
                let found = properties.names().find(|name| name.starts_with(prefix));
                if let Some(found) = found {
                    properties.refuse(found, remedy)?;
                }
            }
        }
    }
    Ok(())
}

/// The error of a value that an option cannot have, in Connect's words.
fn invalid(name: &str, value: &str, why: impl std::fmt::Display) -> Error {
    Error::configuration(format!("Invalid value {value} for configuration {name}: {why}"))
}

/// A value that is set to something.
fn text<'a>(properties: &'a Properties, name: &str) -> Option<&'a str> {
    properties.get(name).map(str::trim).filter(|value| !value.is_empty())
}

/// A number that is not below a bound, where it is set.
fn count(properties: &Properties, name: &str, least: i32) -> Result<Option<usize>> {
    if properties.get(name).is_none() {
        return Ok(None);
    }
    let number = properties.i32_at_least(name, least, least)?;
    Ok(usize::try_from(number).ok())
}

#[cfg(test)]
mod tests;
