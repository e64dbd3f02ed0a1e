//! `TimezoneConverter`: times in another zone.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use cdc_core::connect::{ConnectProfile, ConnectSchema};
use cdc_core::java_pattern::JavaPattern;
use cdc_core::value::calendar::{date_of_day, day_of_date};
use cdc_core::value::{TimeUnit, Timestamp};
use cdc_core::{
    ChangeEvent, Error, Operation, Payload, Properties, Result, Row, Transform, Value, ValueRef,
};

use crate::envelope::Envelope;
use crate::options;
use crate::time_zone::TimeZone;

/// Converts the times of changes to a zone (`io.debezium.transforms.TimezoneConverter`).
///
/// | option | default | |
/// |---|---|---|
/// | `converted.timezone` | required | a zone, `America/New_York`, or an offset, `+05:30` |
/// | `include.list` | | the only fields to convert: `source:<table>[:<field>]`, `topic:<destination>[:<field>]`, `<name>:<field>` |
/// | `exclude.list` | | the fields not to convert |
///
/// A timestamp without a zone is taken as local time of the zone and becomes UTC; times with a zone are written at the
/// zone's offset, as text. Where local time comes twice, or never, the offset before the change counts.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::TimezoneConverter;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut convert = TimezoneConverter::new("America/New_York")?;
/// let event = ChangeEvent::change(Destination::named("orders"), Change::create(shop::order(1, "pen")), some_origin());
/// let mut out = Vec::new();
/// convert.apply(event, &mut out)?;
/// assert_eq!(out.len(), 1);
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct TimezoneConverter {
    profile: ConnectProfile,
    zone: TimeZone,
    include: Vec<Rule>,
    exclude: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// `source`, `topic`, or either.
    of: Option<&'static str>,
    name: String,
    field: Option<String>,
}

/// What is converted of one event.
enum Which {
    All,
    None,
    Only(HashSet<String>),
    AllBut(HashSet<String>),
}

impl Which {
    fn contains(&self, image: &str, field: &str) -> bool {
        let listed = |fields: &HashSet<String>| {
            fields.contains(field) || fields.contains(&format!("{image}.{field}"))
        };
        match self {
            Which::All => true,
            Which::None => false,
            Which::Only(fields) => listed(fields),
            Which::AllBut(fields) => !listed(fields),
        }
    }
}

impl TimezoneConverter {
    /// Converts all times to a zone.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when there is no such zone.
    pub fn new(zone: &str) -> Result<Self> {
        let found = TimeZone::offset(zone).or_else(|| TimeZone::named(zone));
        let zone = found.ok_or_else(|| {
            Error::configuration(
                "Invalid timezone format. Please specify either a geographic timezone (e.g. \
                 America/Los_Angeles) or a UTC offset in the format of +/-hh:mm, (e.g. +08:00).",
            )
        })?;
        Ok(TimezoneConverter {
            profile: ConnectProfile::default(),
            zone,
            include: Vec::new(),
            exclude: Vec::new(),
        })
    }

    /// The only fields to convert.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a rule that is none.
    pub fn include<'a>(mut self, rules: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        self.include = rules_of("include", rules)?;
        Ok(self)
    }

    /// The fields not to convert.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) for a rule that is none.
    pub fn exclude<'a>(mut self, rules: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        self.exclude = rules_of("exclude", rules)?;
        Ok(self)
    }

    /// The transform by Debezium's options.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) in Debezium's words.
    pub fn from_properties(properties: &Properties, profile: &ConnectProfile) -> Result<Self> {
        let zone = options::debezium_required(properties, "converted.timezone")?;
        let (include, exclude) = (properties.list("include.list"), properties.list("exclude.list"));
        let mut converter = Self::new(zone)?
            .include(include.iter().map(String::as_str))?
            .exclude(exclude.iter().map(String::as_str))?;
        converter.profile = profile.clone();
        Ok(converter)
    }

    fn which(&self, table: &str, destination: &str) -> Which {
        let rules = if self.include.is_empty() { &self.exclude } else { &self.include };
        let matching: Vec<&Rule> = rules
            .iter()
            .filter(|rule| {
                (rule.of != Some("topic") && rule.name == table)
                    || (rule.of != Some("source") && rule.name == destination)
            })
            .collect();
        let fields = matching.iter().map(|rule| rule.field.clone());
        let fields: Option<HashSet<String>> = fields.collect();
        match (self.include.is_empty(), matching.is_empty(), fields) {
            (true, true, _) => Which::All,
            (true, false, Some(fields)) => Which::AllBut(fields),
            (true, false, None) => Which::None,
            (false, true, _) => Which::None,
            (false, false, Some(fields)) => Which::Only(fields),
            (false, false, None) => Which::All,
        }
    }

    fn image(&self, row: &Row, image: &str, which: &Which) -> Result<Row> {
        let mut out = row.clone();
        for (index, field) in row.schema().fields().iter().enumerate() {
            let Some(schema) = self.profile.connect_schema(&field.value_type) else { continue };
            let Some(name) = schema.name().filter(|name| is_time(name)) else { continue };
            if !which.contains(image, &field.name) {
                continue;
            }
            let value = row.value(index).unwrap_or_default();
            if !matches!(value, Value::Null | Value::Unavailable) {
                out.set(index, self.convert(name, &schema, &value)?);
            }
        }
        Ok(out)
    }

    fn convert(&self, name: &str, schema: &ConnectSchema, value: &Value) -> Result<Value> {
        if name.ends_with(".ZonedTimestamp") {
            let lowered = schema.lower(&value.as_ref())?;
            let Value::Text(text) = &lowered else { return Ok(value.clone()) };
            let (local, nanos, offset) = instant(text).ok_or_else(|| unparsable(text))?;
            let utc = local.saturating_sub(i64::from(offset));
            let offset = self.zone.offset_at(utc);
            let mut out = String::new();
            write_local(utc.saturating_add(i64::from(offset)), nanos, true, &mut out);
            write_offset(offset, &mut out);
            return Ok(Value::text(out));
        }
        if name.ends_with(".ZonedTime") {
            let lowered = schema.lower(&value.as_ref())?;
            let Value::Text(text) = &lowered else { return Ok(value.clone()) };
            let (clock, rest) = clock(text).ok_or_else(|| unparsable(text))?;
            let (local, nanos) = clock;
            let from = zone_offset(rest).ok_or_else(|| unparsable(text))?;
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let offset = self.zone.offset_at(i64::try_from(now).unwrap_or(0));
            let seconds = local - i64::from(from) + i64::from(offset);
            let mut out = String::new();
            write_local(seconds.rem_euclid(86_400), nanos, false, &mut out);
            write_offset(offset, &mut out);
            return Ok(Value::text(out));
        }
        let unit = match name {
            "io.debezium.time.MicroTimestamp" => TimeUnit::Micro,
            "io.debezium.time.NanoTimestamp" => TimeUnit::Nano,
            _ => TimeUnit::Milli,
        };
        let Value::Timestamp(at @ Timestamp::At { .. }) = value else { return Ok(value.clone()) };
        // A timestamp of the source may be finer than the format's.
        let (count, unit) = match at {
            Timestamp::At { value, unit: own } => (*value, *own),
            _ => (at.to_unit(unit).unwrap_or(0), unit),
        };
        let per_second = unit.per_second();
        let offset = self.zone.offset_of_local(count.div_euclid(per_second));
        let shifted = count.saturating_sub(i64::from(offset).saturating_mul(per_second));
        Ok(Value::Timestamp(Timestamp::At { value: shifted, unit }))
    }
}

fn is_time(name: &str) -> bool {
    matches!(
        name,
        "io.debezium.time.Timestamp"
            | "io.debezium.time.MicroTimestamp"
            | "io.debezium.time.NanoTimestamp"
            | "io.debezium.time.ZonedTimestamp"
            | "io.debezium.time.ZonedTime"
            | "org.apache.kafka.connect.data.Timestamp"
    )
}

fn unparsable(text: &str) -> Error {
    Error::data(format!("Text '{text}' could not be parsed at index 0"))
}

fn rules_of<'a>(list: &str, rules: impl IntoIterator<Item = &'a str>) -> Result<Vec<Rule>> {
    const NAME: &str = r#"[".\w\s_]+"#;
    let rules: Vec<&str> = rules.into_iter().collect();
    if rules.is_empty() {
        return Ok(Vec::new());
    }
    let pattern = format!(r"\[(source|topic|{NAME}):({NAME}(?::{NAME})?(?:,|\]$))+");
    if !JavaPattern::new(list, &pattern)?.matches(&format!("[{}]", rules.join(", ")))? {
        return Err(Error::configuration(format!(
            "Invalid {list} list format. Please specify a list of rules in the format of \
             \"source:<tablename>:<fieldnames>\", \"topic:<topicname>:<fieldnames>\", \
             \"<matchname>:<fieldnames>\""
        )));
    }
    let mut out = Vec::with_capacity(rules.len());
    for rule in rules {
        let parts: Vec<&str> = rule.split(':').map(str::trim).collect();
        let of = match parts.first().map(|first| first.to_ascii_lowercase()).as_deref() {
            Some("source") => Some("source"),
            Some("topic") => Some("topic"),
            _ => None,
        };
        let mut rest = parts.iter().skip(usize::from(of.is_some()));
        let name = rest.next().copied().unwrap_or_default().to_owned();
        out.push(Rule { of, name, field: rest.next().map(|field| (*field).to_owned()) });
    }
    Ok(out)
}

/// Seconds of a day and nanoseconds of `15:13[:16[.945]]`, and what follows.
fn clock(text: &str) -> Option<((i64, u32), &str)> {
    let two = |text: &str, at: usize| text.get(at..at + 2)?.parse::<u8>().ok().map(i64::from);
    let (hours, minutes) = (two(text, 0)?, two(text, 3)?);
    if text.get(2..3)? != ":" {
        return None;
    }
    let mut rest = text.get(5..)?;
    let mut seconds = 0;
    let mut nanos = 0;
    if let Some(after) = rest.strip_prefix(':') {
        seconds = two(after, 0)?;
        rest = after.get(2..)?;
        if let Some(fraction) = rest.strip_prefix('.') {
            let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len());
            let digits = fraction.get(..end.min(9))?;
            nanos = format!("{digits:0<9}").parse().ok()?;
            rest = fraction.get(end..)?;
        }
    }
    Some((((hours * 60 + minutes) * 60 + seconds, nanos), rest))
}

/// `Z` or `+01:00`.
fn zone_offset(text: &str) -> Option<i32> {
    match text {
        "Z" => Some(0),
        text => match TimeZone::offset(text)? {
            TimeZone::Fixed(offset) => Some(offset),
            TimeZone::Rules(_) => None,
        },
    }
}

/// Seconds since the epoch in local time, nanoseconds, and the offset.
fn instant(text: &str) -> Option<(i64, u32, i32)> {
    let (date, time) = text.split_once('T')?;
    let (year, rest) = date.rsplit_once('-').and_then(|(ym, _)| ym.rsplit_once('-'))?;
    let day = day_of_date(
        year.parse().ok()?,
        rest.parse().ok()?,
        date.rsplit_once('-')?.1.parse().ok()?,
    )?;
    let ((seconds, nanos), rest) = clock(time)?;
    Some((day.checked_mul(86_400)?.checked_add(seconds)?, nanos, zone_offset(rest)?))
}

fn write_local(seconds: i64, nanos: u32, with_date: bool, out: &mut String) {
    if with_date {
        let (year, month, day) = date_of_day(seconds.div_euclid(86_400));
        let sign = if year > 9_999 { "+" } else { "" };
        let _ = write!(out, "{sign}{year:04}-{month:02}-{day:02}T");
    }
    let of_day = seconds.rem_euclid(86_400);
    let _ = write!(out, "{:02}:{:02}:{:02}", of_day / 3_600, of_day / 60 % 60, of_day % 60);
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

fn write_offset(offset: i32, out: &mut String) {
    if offset == 0 {
        out.push('Z');
        return;
    }
    let seconds = offset.unsigned_abs();
    let sign = if offset < 0 { '-' } else { '+' };
    let _ = write!(out, "{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    if !seconds.is_multiple_of(60) {
        let _ = write!(out, ":{:02}", seconds % 60);
    }
}

impl Transform for TimezoneConverter {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let destination = event.destination.clone();
        let table = event.origin().table.clone();
        if let Payload::Change(change) = &mut event.value {
            if change.operation != Operation::Table {
                let table = table.as_deref().or(change.schema.table());
                let name = table.map_or("", |table| &*table.table);
                let which = self.which(name, destination.as_str());
                for (image, row) in [("before", &mut change.before), ("after", &mut change.after)] {
                    if let Some(row) = row {
                        *row = self.image(row, image, &which)?;
                    }
                }
            }
        } else if let Some(envelope) = Envelope::of(&event.value) {
            let table = match envelope.part("source").as_ref().and_then(|s| s.by_name("table")) {
                Some(ValueRef::Text(table)) => table.to_owned(),
                _ => String::new(),
            };
            let which = self.which(&table, destination.as_str());
            let mut row = envelope.row().clone();
            for image in ["before", "after"] {
                if let (Some(part), Some(at)) = (envelope.part(image), row.schema().index_of(image))
                {
                    row.set(at, Value::Struct(self.image(&part, image, &which)?));
                }
            }
            event.value = Payload::row(row);
        }
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "TimezoneConverter"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
