//! `ByLogicalTableRouter` and `ToLogicalTopicRouter`: several tables into one destination.

use std::collections::HashMap;
use std::sync::Arc;

use cdc_core::connect::{ConnectProfile, NameAdjustment};
use cdc_core::java_pattern::JavaPattern;
use cdc_core::{
    ChangeEvent, ConnectAttributes, DataType, Destination, Error, Field, Payload, Properties,
    Result, Row, Schema, Transform, Value,
};

use crate::Side;
use crate::content::Content;
use crate::derive::{build, plain};
use crate::envelope::Envelope;
use crate::options;

/// Sends several tables, shards of one say, to one destination, under schemas of its name, with a field in the key that
/// says where a row came from (`io.debezium.transforms.ByLogicalTableRouter`, `ToLogicalTopicRouter`).
///
/// | option | default | |
/// |---|---|---|
/// | `topic.regex` | required | matches the whole names of the destinations to change |
/// | `topic.replacement` | required | the new name, `$1` is a group |
/// | `key.enforce.uniqueness` | `true` | whether the key gets a field with the old name |
/// | `key.field.name` | `__dbz__physicalTableIdentifier`, `__dbz__sourceIdentifier` | that field |
/// | `key.field.regex`, `key.field.replacement` | | what of the old name stands in it |
/// | `schema.name.adjustment.mode` | `none` | how names of schemas are made valid |
/// | `logical.table.cache.size`, `logical.destination.cache.size` | `16` | how many derived schemas are kept, at least |
///
/// A change stays a change: its rows are shared, and its table announces itself under the new name. The field is one of
/// the key of its rows too, so that a SQL target keeps rows of two tables apart; Debezium's records show it in the key alone.
///
/// ```
/// use cdc_core::{Change, ChangeEvent, Destination, Transform};
/// use cdc_smt::ByLogicalTableRouter;
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut route = ByLogicalTableRouter::new("(.*)orders_[0-9]+", "$1orders")?;
/// let event = ChangeEvent::change(Destination::named("shop.orders_7"), Change::create(shop::order(1, "pen")), some_origin());
/// let mut out = Vec::new();
/// route.apply(event, &mut out)?;
/// assert_eq!(out[0].destination.as_str(), "shop.orders");
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ByLogicalTableRouter {
    profile: ConnectProfile,
    regex: JavaPattern,
    replacement: String,
    key_field: Option<Arc<str>>,
    key_regex: Option<(JavaPattern, String)>,
    names: NameAdjustment,
    schemas: HashMap<(u64, Destination), Arc<Schema>>,
    kept: usize,
}

/// More schemas than that are not in use at once.
const KEPT: usize = 1_024;

fn invalid() -> Error {
    Error::configuration("Unable to validate config.")
}

impl ByLogicalTableRouter {
    /// A router whose keys get the field `__dbz__physicalTableIdentifier`.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when `regex` is no regular expression.
    pub fn new(regex: &str, replacement: &str) -> Result<Self> {
        Ok(ByLogicalTableRouter {
            profile: ConnectProfile::default(),
            regex: JavaPattern::new("topic.regex", regex)?,
            replacement: replacement.to_owned(),
            key_field: Some("__dbz__physicalTableIdentifier".into()),
            key_regex: None,
            names: NameAdjustment::None,
            schemas: HashMap::new(),
            kept: KEPT,
        })
    }

    /// The handling modes of the chain; without them Debezium's defaults.
    #[must_use]
    pub fn profile(mut self, profile: &ConnectProfile) -> Self {
        self.profile = profile.clone();
        self
    }

    /// The field of the key that says where a row came from; `None` leaves keys as they are.
    #[must_use]
    pub fn key_field(mut self, name: Option<&str>) -> Self {
        self.key_field = name.map(Into::into);
        self
    }

    /// What of the old name stands in that field.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when `regex` is no regular expression.
    pub fn key_field_value(mut self, regex: &str, replacement: &str) -> Result<Self> {
        let regex = JavaPattern::new("key.field.regex", regex)?;
        self.key_regex = Some((regex, replacement.to_owned()));
        Ok(self)
    }

    /// How the names of schemas are made valid.
    #[must_use]
    pub fn schema_names(mut self, names: NameAdjustment) -> Self {
        self.names = names;
        self
    }

    /// The transform by Debezium's options. `class` tells the two apart.
    pub(crate) fn from_properties(
        class: &str,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        let by_table = class.ends_with("ByLogicalTableRouter");
        let (field, cache) = match by_table {
            true => ("__dbz__physicalTableIdentifier", "logical.table.cache.size"),
            false => ("__dbz__sourceIdentifier", "logical.destination.cache.size"),
        };
        let describe = |error: Error| {
            tracing::error!(%error, "{class}");
            invalid().with_source(error)
        };
        let required = |name: &str| {
            properties.required_string(name).map_err(|error| invalid().with_source(error))
        };
        let mut router = Self::new(&required("topic.regex")?, &required("topic.replacement")?)
            .map_err(describe)?
            .profile(profile);
        let unique = properties.bool("key.enforce.uniqueness", true).map_err(describe)?;
        let field = properties.string("key.field.name", field);
        router.key_field = unique.then(|| field.into());
        let regex = properties.get("key.field.regex").filter(|regex| !regex.trim().is_empty());
        let replacement = properties.get("key.field.replacement");
        if let Some(regex) = regex {
            let replacement = replacement.filter(|r| !r.trim().is_empty()).ok_or_else(invalid)?;
            router = router.key_field_value(regex, replacement).map_err(describe)?;
        }
        let name = "schema.name.adjustment.mode";
        let mode = properties.string(name, "none");
        router.names = NameAdjustment::parse(name, &mode).map_err(describe)?;
        let kept = properties.i32(cache, 16).map_err(describe)?;
        router.kept = usize::try_from(kept).unwrap_or(0).max(KEPT);
        Ok(router)
    }

    fn route(&self, from: &Destination) -> Result<Option<Destination>> {
        if !self.regex.matches(from.as_str())? {
            return Ok(None);
        }
        let to =
            self.regex.replace_first(from.as_str(), &self.replacement).map_err(options::as_data)?;
        Ok((!to.is_empty()).then(|| Destination::named(&to)))
    }

    fn derived(
        &mut self,
        schema: &Arc<Schema>,
        to: &Destination,
        make: impl FnOnce(&Self) -> Result<Arc<Schema>>,
    ) -> Result<Arc<Schema>> {
        let key = (schema.id(), to.clone());
        if let Some(known) = self.schemas.get(&key) {
            return Ok(Arc::clone(known));
        }
        let made = make(self)?;
        if self.schemas.len() >= self.kept {
            self.schemas.clear();
        }
        self.schemas.insert(key, Arc::clone(&made));
        Ok(made)
    }

    fn name(&self, to: &Destination, suffix: &str) -> Arc<str> {
        let name = format!("{to}.{suffix}");
        Arc::from(&*self.names.adjust_schema(&name))
    }

    /// What the field of the key holds.
    fn table_of(&self, from: &Destination) -> Result<Value> {
        let from = from.as_str();
        Ok(Value::text(match &self.key_regex {
            Some((regex, replacement)) if regex.matches(from)? => {
                regex.replace_first(from, replacement).map_err(options::as_data)?
            }
            _ => from.to_owned(),
        }))
    }

    /// The schema of a table's rows under a name of the destination. The key's field is one of the row's key too: else rows of two
    /// tables could not be told apart in a target that keeps rows.
    fn rows(&mut self, schema: &Arc<Schema>, to: &Destination) -> Result<Arc<Schema>> {
        self.derived(schema, to, |router| {
            let mut builder = schema.to_builder().logical_name(to.as_str());
            if let (Some(name), true) = (&router.key_field, schema.has_key()) {
                let mut field = Field::required(Arc::clone(name), DataType::TEXT);
                field.key_only = true;
                let columns = schema.key().iter().filter_map(|&at| schema.field(at));
                let mut key: Vec<Arc<str>> = columns.map(|key| Arc::clone(&key.name)).collect();
                key.push(Arc::clone(name));
                builder = builder.field(field).key(key);
            }
            build(builder)
        })
    }

    fn key(&mut self, event: &mut ChangeEvent, to: &Destination) -> Result<()> {
        let content = Content::take(event, Side::Key, &self.profile)?;
        if content.is_null() {
            content.put(event, Side::Key);
            return Ok(());
        }
        let row = content.require_struct("Updating schema", &self.profile)?;
        let schema = self.derived(row.schema(), to, |router| {
            let mut builder = row.schema().to_builder();
            if let Some(field) = &router.key_field {
                let field = Field::new(Arc::clone(field), plain(DataType::TEXT, false));
                builder = builder.field(field);
            }
            let named = ConnectAttributes {
                name: Some(router.name(to, "Key")),
                ..row.schema().connect().map(|c| (**c).clone()).unwrap_or_default()
            };
            build(builder.connect(named))
        })?;
        let mut values: Vec<Value> =
            (0..row.len()).map(|index| row.value(index).unwrap_or_default()).collect();
        if self.key_field.is_some() {
            values.push(self.table_of(&event.destination)?);
        }
        event.key = Payload::row(Row::new(schema, values)?);
        Ok(())
    }

    /// The envelope and the images in it under names of the destination.
    fn envelope(&mut self, envelope: &Row, to: &Destination) -> Result<Row> {
        let schema = self.derived(envelope.schema(), to, |router| {
            let renamed = |schema: &Schema, suffix: &str| {
                let named = ConnectAttributes {
                    name: Some(router.name(to, suffix)),
                    ..schema.connect().map(|c| (**c).clone()).unwrap_or_default()
                };
                schema.to_builder().connect(named)
            };
            let mut builder = renamed(envelope.schema(), "Envelope");
            for field in builder.fields_mut() {
                if matches!(&*field.name, "before" | "after")
                    && let DataType::Struct(image) = &field.value_type.data_type
                {
                    let image = renamed(image, "Value").build()?;
                    field.value_type.connect = image.connect().cloned();
                    field.value_type.data_type = DataType::Struct(image);
                }
            }
            builder.build()
        })?;
        let values = schema.fields().iter().enumerate().map(|(index, field)| {
            match (envelope.value(index).unwrap_or_default(), field.data_type()) {
                (Value::Struct(row), DataType::Struct(image)) => {
                    row.with_schema(Arc::clone(image)).map(Value::Struct)
                }
                (value, _) => Ok(value),
            }
        });
        let values = values.collect::<Result<_>>()?;
        Row::new(schema, values)
    }
}

impl Transform for ByLogicalTableRouter {
    fn apply(&mut self, mut event: ChangeEvent, out: &mut Vec<ChangeEvent>) -> Result<()> {
        let Some(to) = self.route(&event.destination)? else {
            out.push(event);
            return Ok(());
        };
        self.key(&mut event, &to)?;
        if let Payload::Change(change) = &mut event.value {
            let schema = Arc::clone(&change.schema);
            let renamed = self.rows(&schema, &to)?;
            let added = match renamed.fields().len() > schema.fields().len() {
                true => Some(self.table_of(&event.destination)?),
                false => None,
            };
            for row in [&mut change.before, &mut change.after].into_iter().flatten() {
                match &added {
                    Some(table) => row.append(Arc::clone(&renamed), [table.clone()])?,
                    None => row.set_schema(Arc::clone(&renamed))?,
                }
            }
            change.schema = renamed;
        } else if let Some(envelope) = Envelope::of(&event.value) {
            event.value = Payload::row(self.envelope(&envelope.row().clone(), &to)?);
        }
        event.destination = to;
        out.push(event);
        Ok(())
    }

    fn name(&self) -> &str {
        "ByLogicalTableRouter"
    }

    fn boxed_clone(&self) -> Box<dyn Transform> {
        Box::new(self.clone())
    }
}
