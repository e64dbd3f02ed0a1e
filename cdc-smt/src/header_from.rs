//! `HeaderFrom`: fields as headers.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{ChangeEvent, Error, Header, Properties, Result, Schema, ValueType};

use crate::Side;
use crate::content::{Content, or_default};
use crate::field_path::{self, FieldPath, FieldSyntax};
use crate::one_side::{OneSide, Place, one_side};
use crate::options;
use crate::schema_cache::SchemaCache;
use crate::selection::{PathTree, Selected, Selection};

/// Whether a field stays where it was: the option `operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoveOrCopy {
    /// It is taken out (`move`).
    Move,
    /// It stays (`copy`).
    Copy,
}

impl MoveOrCopy {
    pub(crate) fn from_properties(properties: &Properties) -> Result<Self> {
        Ok(match options::word(properties, "operation", &["move", "copy"], None)? {
            "copy" => MoveOrCopy::Copy,
            _ => MoveOrCopy::Move,
        })
    }
}

/// Adds headers with the values of fields (`org.apache.kafka.connect.transforms.HeaderFrom`).
///
/// | option | default | |
/// |---|---|---|
/// | `fields` | required | the fields |
/// | `headers` | required | as many names of headers |
/// | `operation` | required | `move` or `copy` |
/// | `field.syntax.version` | `V1` | see [`FieldSyntax`]; only here |
/// | `replace.null.with.default` | `true` | whether a null becomes the field's default |
///
/// ```
/// use cdc_core::{ChangeEvent, Destination, Payload, Transform};
/// use cdc_smt::{FieldSyntax, HeaderFrom, MoveOrCopy, Side};
///
/// # use cdc_core::testkit::{shop, some_origin};
/// let mut header = HeaderFrom::new(Side::Value, MoveOrCopy::Copy).field("id", "order", FieldSyntax::V1)?;
/// # let event = ChangeEvent::new(Destination::named("t"), Payload::Absent, Payload::row(shop::order(7, "pen")), some_origin());
/// let mut out = Vec::new();
/// header.apply(event, &mut out)?;
/// assert_eq!(out[0].headers.iter().next().map(|h| &*h.name), Some("order"));
/// # Ok::<(), cdc_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HeaderFrom {
    place: Place,
    operation: MoveOrCopy,
    fields: Vec<(FieldPath, Arc<str>)>,
    schemas: SchemaCache<Arc<Plan>>,
}

#[derive(Debug)]
struct Plan {
    types: Vec<Arc<ValueType>>,
    rest: Option<Selected>,
}

one_side!(HeaderFrom, "HeaderFrom", replacing_nulls);

impl HeaderFrom {
    /// A transform of keys or values without fields.
    pub fn new(side: Side, operation: MoveOrCopy) -> Self {
        HeaderFrom {
            place: Place::new(side),
            operation,
            fields: Vec::new(),
            schemas: SchemaCache::default(),
        }
    }

    /// Adds a header with the value of a field.
    ///
    /// # Errors
    /// [`Configuration`](cdc_core::ErrorKind::Configuration) when back-quotes do not close.
    pub fn field(mut self, field: &str, header: &str, syntax: FieldSyntax) -> Result<Self> {
        self.fields.push((FieldPath::new(field, syntax)?, header.into()));
        Ok(self)
    }

    pub(crate) fn from_properties(
        side: Side,
        properties: &Properties,
        profile: &ConnectProfile,
    ) -> Result<Self> {
        properties.required("fields")?;
        let fields = field_path::listed(properties, "fields")?;
        let headers = options::required_list(properties, "headers")?;
        let operation = MoveOrCopy::from_properties(properties)?;
        if fields.len() != headers.len() {
            return Err(Error::configuration(
                "'fields' config must have the same number of elements as 'headers' config.",
            ));
        }
        let mut transform = Self::new(side, operation)
            .profile(profile)
            .replace_null_with_default(properties.bool("replace.null.with.default", true)?);
        transform.fields =
            fields.into_iter().zip(headers.iter().map(|header| header.as_str().into())).collect();
        Ok(transform)
    }

    fn rest(&self) -> Selection {
        let paths: Vec<FieldPath> = self.fields.iter().map(|(path, _)| path.clone()).collect();
        Selection { exclude: PathTree::of(&paths), ..Selection::default() }
    }

    fn plan(&mut self, schema: &Schema) -> Result<Arc<Plan>> {
        let mut schemas = std::mem::take(&mut self.schemas);
        let plan = schemas.get(schema.id(), || {
            let types = self.fields.iter().map(|(path, _)| {
                match path.field(schema, &self.place.profile)? {
                    Some(field) => Ok(Arc::new(field.value_type.clone())),
                    None => Err(Error::data(format!("Unknown field: {}", path.text()))),
                }
            });
            let types = types.collect::<Result<_>>()?;
            let rest = match self.operation {
                MoveOrCopy::Move => Some(self.rest().select(schema)?),
                MoveOrCopy::Copy => None,
            };
            Ok(Arc::new(Plan { types, rest }))
        });
        self.schemas = schemas;
        plan
    }
}

impl OneSide for HeaderFrom {
    fn place(&self) -> &Place {
        &self.place
    }

    fn content(&mut self, content: Content, event: &mut ChangeEvent) -> Result<Content> {
        const PURPOSE: &str = "header copy";
        if content.is_schemaless() {
            let entries = content.require_map(PURPOSE, &self.place.profile)?;
            for (path, header) in &self.fields {
                event.headers.push(Header {
                    name: Arc::clone(header),
                    schema: None,
                    value: path.value_in_map(&entries),
                });
            }
            return Ok(Content::Schemaless(match self.operation {
                MoveOrCopy::Move => self.rest().map(&entries),
                MoveOrCopy::Copy => cdc_core::Value::Map(entries),
            }));
        }
        let row = content.require_struct(PURPOSE, &self.place.profile)?;
        let plan = self.plan(row.schema())?;
        for ((path, header), value_type) in self.fields.iter().zip(&plan.types) {
            event.headers.push(Header {
                name: Arc::clone(header),
                schema: Some(Arc::clone(value_type)),
                value: or_default(path.value(&row), value_type, self.place.replace_null),
            });
        }
        match &plan.rest {
            Some(rest) => rest.row(row, self.place.replace_null).map(Content::Struct),
            None => Ok(Content::Struct(row)),
        }
    }

    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        let plan = self.plan(schema)?;
        Ok(plan.rest.as_ref().map_or_else(|| Arc::clone(schema), |rest| Arc::clone(rest.schema())))
    }
}
