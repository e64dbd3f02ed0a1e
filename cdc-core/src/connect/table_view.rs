//! A table's schema as Debezium shows it: the structs of key, row and envelope with their names.

use std::sync::Arc;

use crate::data_type::{ConnectAttributes, DataType};
use crate::error::Result;
use crate::schema::{Schema, TableId};

use super::profile::Modes;
use super::schema::ConnectField;
use super::{native, source_block, transaction, verbatim};

/// The Connect view of a table's schema under a profile: see [`ConnectProfile::view`](super::ConnectProfile::view).
#[derive(Debug)]
pub struct TableView {
    key: Option<Arc<Schema>>,
    row: Arc<Schema>,
    envelope: Arc<Schema>,
    fields: Arc<[ConnectField]>,
}

impl TableView {
    pub(crate) fn new(schema: &Arc<Schema>, modes: &Modes) -> Result<Self> {
        let base = match schema.logical_name() {
            Some(name) => Some(name.to_owned()),
            None => schema.table().map(|table| topic_name(modes.topic_prefix.as_deref(), table)),
        };
        let named = |schema: &Arc<Schema>, suffix: &str, optional: bool| match &base {
            Some(base) if schema.connect().is_none() => {
                let name = format!("{base}.{suffix}");
                let name = modes.schema_names.adjust_schema(&name);
                let attributes = ConnectAttributes {
                    name: Some(Arc::from(&*name)),
                    ..ConnectAttributes::default()
                };
                schema.to_builder().optional(optional).connect(attributes).build()
            }
            _ => schema.to_builder().optional(optional).build(),
        };
        let key = schema.key_schema().map(|key| named(&as_key(key)?, "Key", false));
        let key = key.transpose()?;
        let row = named(schema, "Value", false)?;
        let image = named(schema, "Value", true)?;
        let image = || DataType::Struct(Arc::clone(&image));
        let fields = vec![
            verbatim::optional("before", image()),
            verbatim::optional("after", image()),
            verbatim::required("source", DataType::Struct(source_block::schema()?)),
            verbatim::optional("transaction", DataType::Struct(transaction::block_schema()?)),
            verbatim::required("op", DataType::TEXT),
            verbatim::optional("ts_ms", DataType::Int64),
            verbatim::optional("ts_us", DataType::Int64),
            verbatim::optional("ts_ns", DataType::Int64),
        ];
        let name = base.as_ref().map_or("Envelope".to_owned(), |base| format!("{base}.Envelope"));
        let name = modes.schema_names.adjust_schema(&name);
        let envelope = verbatim::named_struct(&name, Some(2), false, fields)?;
        let fields = native::connect_fields(schema, modes);
        Ok(TableView { key, row, envelope, fields })
    }

    /// The schema of keys, with its name; `None` without a key.
    pub fn key_schema(&self) -> Option<&Arc<Schema>> {
        self.key.as_ref()
    }

    /// The schema of a row that stands alone, with its name.
    pub fn row_schema(&self) -> &Arc<Schema> {
        &self.row
    }

    /// The schema of changes.
    pub fn envelope_schema(&self) -> &Arc<Schema> {
        &self.envelope
    }

    /// The columns as Connect has them. Columns of types that Debezium does not know are missing.
    pub fn fields(&self) -> &[ConnectField] {
        &self.fields
    }

    /// The column with this name in Connect.
    pub fn field(&self, name: &str) -> Option<&ConnectField> {
        self.fields.iter().find(|field| field.name() == name)
    }

    /// The schema of the row before and after in the envelope.
    pub(crate) fn image_schema(&self) -> Option<&Arc<Schema>> {
        match self.envelope.field(0).map(|field| field.data_type()) {
            Some(DataType::Struct(schema)) => Some(schema),
            _ => None,
        }
    }
}

/// The parameters of `column.propagate.source.type` are for values alone, and a key shows what is of the key alone.
fn as_key(key: &Schema) -> Result<Arc<Schema>> {
    let mut builder = key.to_builder();
    for field in builder.fields_mut() {
        field.native = None;
        field.key_only = false;
    }
    builder.build()
}

/// The topic of a table as Debezium names it: `[prefix.]schema.table`, what Kafka does not allow replaced by `_`.
///
/// ```
/// use cdc_core::TableId;
/// use cdc_core::connect::topic_name;
///
/// assert_eq!(topic_name(Some("shop"), &TableId::new("public", "Odd Names")), "shop.public.Odd_Names");
/// ```
pub fn topic_name(prefix: Option<&str>, table: &TableId) -> String {
    let name = match prefix {
        Some(prefix) => format!("{prefix}.{table}"),
        None => table.to_string(),
    };
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-') {
            out.push(letter);
        } else {
            // Java counts UTF-16 units.
            out.extend(std::iter::repeat_n('_', letter.len_utf16()));
        }
    }
    out
}
