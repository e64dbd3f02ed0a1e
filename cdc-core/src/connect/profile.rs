//! The handling modes of a format: how the library's types become Debezium's.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::data_type::ValueType;
use crate::error::{Error, Result};
use crate::row::Row;
use crate::schema::Schema;

use super::names::NameAdjustment;
use super::native;
use super::schema::ConnectSchema;
use super::table_view::TableView;

/// Handling modes, immutable and shared: one for every chain of transforms and its format.
///
/// A schema has one [view](ConnectProfile::view) for a profile, made when it is first asked for. The defaults are
/// Debezium's.
///
/// ```
/// use cdc_core::connect::{ConnectProfile, DecimalHandling};
///
/// let profile = ConnectProfile::builder()
///     .topic_prefix("shop")
///     .property("decimal.handling.mode", "string")?
///     .property("time.precision.mode", "isostring")?
///     .build();
/// assert_eq!(profile.modes().decimal, DecimalHandling::String);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Clone)]
pub struct ConnectProfile(Arc<Inner>);

struct Inner {
    modes: Modes,
    views: RwLock<HashMap<u64, Arc<TableView>>>,
}

/// How many views a profile keeps; more schemas than that are not in use at once.
const KEPT_VIEWS: usize = 4_096;

/// The handling modes. Their names and defaults are those of Debezium's properties.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Modes {
    /// `topic.prefix`: the logical name of the source, in front of the names of schemas.
    pub topic_prefix: Option<Arc<str>>,
    /// `source.version`: the version of what made the records.
    pub version: Arc<str>,
    /// `time.precision.mode`.
    pub time: TimePrecision,
    /// `decimal.handling.mode`.
    pub decimal: DecimalHandling,
    /// `binary.handling.mode`.
    pub binary: BinaryHandling,
    /// `interval.handling.mode`.
    pub interval: IntervalHandling,
    /// `hstore.handling.mode`.
    pub hstore: HstoreHandling,
    /// `unavailable.value.placeholder`: what stands for a value that the server did not send.
    pub placeholder: Arc<str>,
    /// `money.fraction.digits`.
    pub money_digits: i32,
    /// `schema.name.adjustment.mode`.
    pub schema_names: NameAdjustment,
    /// `field.name.adjustment.mode`.
    pub field_names: NameAdjustment,
    /// `include.unknown.datatypes`: whether columns of types that Debezium does not know are there, as bytes.
    pub include_unknown: bool,
    /// `include.schema.comments`: whether comments become documentation.
    pub include_comments: bool,
    /// Which columns say their source type: `column.propagate.source.type`.
    pub source_type: SourceTypeColumns,
    /// `event.converting.failure.handling.mode`: what becomes of a value that has no place in its column's schema.
    pub failures: ConversionFailures,
}

/// `time.precision.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimePrecision {
    /// Milliseconds or microseconds, as the column's precision asks for (`adaptive`).
    #[default]
    Adaptive,
    /// The same, but times always in microseconds (`adaptive_time_microseconds`).
    AdaptiveTimeMicroseconds,
    /// Connect's own types, in milliseconds (`connect`).
    Connect,
    /// ISO 8601 text (`isostring`).
    IsoString,
    /// Microseconds (`microseconds`).
    Microseconds,
    /// Nanoseconds (`nanoseconds`).
    Nanoseconds,
}

/// `decimal.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DecimalHandling {
    /// Connect's `Decimal`, and Debezium's `VariableScaleDecimal` without a scale (`precise`).
    #[default]
    Precise,
    /// FLOAT64, which loses digits (`double`).
    Double,
    /// Text (`string`).
    String,
}

/// `binary.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BinaryHandling {
    /// BYTES (`bytes`).
    #[default]
    Bytes,
    /// Base64 (`base64`).
    Base64,
    /// Base64 in the alphabet that is safe in URLs (`base64-url-safe`).
    Base64UrlSafe,
    /// Hexadecimal (`hex`).
    Hex,
}

/// `interval.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum IntervalHandling {
    /// Microseconds (`numeric`).
    #[default]
    Numeric,
    /// ISO 8601 text (`string`).
    String,
}

/// `hstore.handling.mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum HstoreHandling {
    /// A JSON object as text (`json`).
    #[default]
    Json,
    /// A map (`map`).
    Map,
}

/// What becomes of a value that has no place in its column's schema: a NaN in a `Decimal`, a year 10000 in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ConversionFailures {
    /// NULL and a warning, as in Debezium, where the column is optional; else an error (`warn`).
    #[default]
    Warn,
    /// An error (`fail`).
    Fail,
}

/// Decides by `schema.table.column`, or by `schema.table.type`, which columns say their source type.
#[derive(Clone, Default)]
pub struct SourceTypeColumns {
    columns: Option<Arc<Accepts>>,
    types: Option<Arc<Accepts>>,
}

type Accepts = dyn Fn(&str) -> bool + Send + Sync;

impl SourceTypeColumns {
    /// The columns whose `schema.table.column` the function accepts.
    pub fn matching(accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        SourceTypeColumns { columns: Some(Arc::new(accepts)), types: None }
    }

    /// These, and the columns whose `schema.table.type` the function accepts (`datatype.propagate.source.type`); the type
    /// is named as in the parameter `__debezium.source.column.type`.
    #[must_use]
    pub fn or_of_types(mut self, accepts: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.types = Some(Arc::new(accepts));
        self
    }

    /// Whether a column of this type is one of them.
    pub fn contains(&self, table: &str, column: &str, type_name: &str) -> bool {
        let accepts = |accepts: &Option<Arc<Accepts>>, name: &str| {
            accepts.as_ref().is_some_and(|accepts| accepts(&format!("{table}.{name}")))
        };
        accepts(&self.columns, column) || accepts(&self.types, type_name)
    }

    pub(crate) fn is_none(&self) -> bool {
        self.columns.is_none() && self.types.is_none()
    }
}

impl fmt::Debug for SourceTypeColumns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_none() { "none" } else { "some" })
    }
}

impl Default for Modes {
    fn default() -> Self {
        Modes {
            topic_prefix: None,
            version: env!("CARGO_PKG_VERSION").into(),
            time: TimePrecision::default(),
            decimal: DecimalHandling::default(),
            binary: BinaryHandling::default(),
            interval: IntervalHandling::default(),
            hstore: HstoreHandling::default(),
            placeholder: "__debezium_unavailable_value".into(),
            money_digits: 2,
            schema_names: NameAdjustment::default(),
            field_names: NameAdjustment::default(),
            include_unknown: false,
            include_comments: false,
            source_type: SourceTypeColumns::default(),
            failures: ConversionFailures::default(),
        }
    }
}

impl ConnectProfile {
    /// Starts a profile with Debezium's defaults.
    pub fn builder() -> ConnectProfileBuilder {
        ConnectProfileBuilder(Modes::default())
    }

    /// The handling modes.
    pub fn modes(&self) -> &Modes {
        &self.0.modes
    }

    /// The Connect view of a table's schema, made once.
    ///
    /// # Errors
    /// None in practice: the view's schemas have the fields of the table's.
    pub fn view(&self, schema: &Arc<Schema>) -> Result<Arc<TableView>> {
        let views = self.0.views.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(view) = views.get(&schema.id()) {
            return Ok(Arc::clone(view));
        }
        drop(views);
        let view = Arc::new(TableView::new(schema, &self.0.modes)?);
        let mut views = self.0.views.write().unwrap_or_else(PoisonError::into_inner);
        if views.len() >= KEPT_VIEWS {
            views.clear();
        }
        Ok(Arc::clone(views.entry(schema.id()).or_insert(view)))
    }
}

impl ConnectProfile {
    /// The Connect schema of a type; `None` where Debezium has no form for it.
    pub fn connect_schema(&self, value_type: &ValueType) -> Option<ConnectSchema> {
        native::connect_schema(value_type, self.modes())
    }

    /// A row of a table under the schema that has its name, as it stands alone without an envelope. Other structs are
    /// given back as they are.
    ///
    /// # Errors
    /// None in practice: the schema is made from that of the row.
    pub fn row(&self, row: Row) -> Result<Row> {
        if row.schema().table().is_none() || row.schema().connect().is_some() {
            return Ok(row);
        }
        let view = self.view(row.schema())?;
        row.with_schema(Arc::clone(view.row_schema()))
    }
}

impl Default for ConnectProfile {
    fn default() -> Self {
        Self::builder().build()
    }
}

impl fmt::Debug for ConnectProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0.modes, f)
    }
}

/// Builds a [`ConnectProfile`].
#[derive(Debug, Clone)]
pub struct ConnectProfileBuilder(Modes);

impl ConnectProfileBuilder {
    /// The logical name of the source.
    #[must_use]
    pub fn topic_prefix(mut self, prefix: &str) -> Self {
        self.0.topic_prefix = Some(prefix.into());
        self
    }

    /// The modes, to be set one by one.
    pub fn modes_mut(&mut self) -> &mut Modes {
        &mut self.0
    }

    /// Sets a mode by Debezium's property. [`PROFILE_PROPERTIES`] lists them.
    ///
    /// # Errors
    /// [`Configuration`](crate::ErrorKind::Configuration) when the property is no mode of a format or has no such value.
    pub fn property(mut self, name: &str, value: &str) -> Result<Self> {
        let modes = &mut self.0;
        match name {
            "topic.prefix" => modes.topic_prefix = Some(value.into()),
            "unavailable.value.placeholder" => modes.placeholder = value.into(),
            "time.precision.mode" => {
                use TimePrecision as T;
                modes.time = one_of(
                    name,
                    value,
                    &[
                        ("adaptive", T::Adaptive),
                        ("adaptive_time_microseconds", T::AdaptiveTimeMicroseconds),
                        ("connect", T::Connect),
                        ("isostring", T::IsoString),
                        ("microseconds", T::Microseconds),
                        ("nanoseconds", T::Nanoseconds),
                    ],
                )?;
            }
            "decimal.handling.mode" => {
                use DecimalHandling as D;
                let all = [("precise", D::Precise), ("double", D::Double), ("string", D::String)];
                modes.decimal = one_of(name, value, &all)?;
            }
            "binary.handling.mode" => {
                use BinaryHandling as B;
                modes.binary = one_of(
                    name,
                    value,
                    &[
                        ("bytes", B::Bytes),
                        ("base64", B::Base64),
                        ("base64-url-safe", B::Base64UrlSafe),
                        ("hex", B::Hex),
                    ],
                )?;
            }
            "interval.handling.mode" => {
                use IntervalHandling as I;
                modes.interval =
                    one_of(name, value, &[("numeric", I::Numeric), ("string", I::String)])?;
            }
            "hstore.handling.mode" => {
                use HstoreHandling as H;
                modes.hstore = one_of(name, value, &[("json", H::Json), ("map", H::Map)])?;
            }
            "event.converting.failure.handling.mode" => {
                use ConversionFailures as C;
                modes.failures = one_of(name, value, &[("warn", C::Warn), ("fail", C::Fail)])?;
            }
            "schema.name.adjustment.mode" => {
                modes.schema_names = NameAdjustment::parse(name, value)?;
            }
            "field.name.adjustment.mode" => {
                modes.field_names = NameAdjustment::parse(name, value)?;
            }
            "money.fraction.digits" => {
                modes.money_digits = value
                    .parse()
                    .ok()
                    .filter(|digits| (0..=38).contains(digits))
                    .ok_or_else(|| invalid(name, value, "a number from 0 to 38"))?;
            }
            "include.unknown.datatypes" => modes.include_unknown = boolean(name, value)?,
            "include.schema.comments" => modes.include_comments = boolean(name, value)?,
            _ => {
                return Err(Error::configuration(format!(
                    "{name} is no handling mode of a format"
                )));
            }
        }
        Ok(self)
    }

    /// Makes the profile.
    pub fn build(self) -> ConnectProfile {
        ConnectProfile(Arc::new(Inner { modes: self.0, views: RwLock::default() }))
    }
}

/// The properties that [`ConnectProfileBuilder::property`] takes.
pub const PROFILE_PROPERTIES: [&str; 13] = [
    "topic.prefix",
    "time.precision.mode",
    "decimal.handling.mode",
    "binary.handling.mode",
    "interval.handling.mode",
    "hstore.handling.mode",
    "unavailable.value.placeholder",
    "money.fraction.digits",
    "schema.name.adjustment.mode",
    "field.name.adjustment.mode",
    "include.unknown.datatypes",
    "include.schema.comments",
    "event.converting.failure.handling.mode",
];

fn invalid(name: &str, value: &str, expected: &str) -> Error {
    Error::configuration(format!(
        "Invalid value {value} for configuration {name}: Value must be {expected}"
    ))
}

fn one_of<T: Copy>(name: &str, value: &str, all: &[(&str, T)]) -> Result<T> {
    let found = all.iter().find(|(known, _)| known.eq_ignore_ascii_case(value.trim()));
    found.map(|(_, mode)| *mode).ok_or_else(|| {
        let known: Vec<&str> = all.iter().map(|(known, _)| *known).collect();
        invalid(name, value, &format!("one of {}", known.join(", ")))
    })
}

fn boolean(name: &str, value: &str) -> Result<bool> {
    match value.trim() {
        text if text.eq_ignore_ascii_case("true") => Ok(true),
        text if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(invalid(name, value, "true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_property_is_known() {
        for name in PROFILE_PROPERTIES {
            let result = ConnectProfile::builder().property(name, "no such value \u{1}");
            if let Err(error) = result {
                assert!(error.to_string().starts_with("Invalid value"), "{error}");
            }
        }
    }

    #[test]
    fn an_unknown_value_names_those_that_are_known() {
        let error = ConnectProfile::builder().property("hstore.handling.mode", "xml").unwrap_err();
        assert!(error.to_string().ends_with("one of json, map"), "{error}");
    }
}
