//! Transforms of the key or the value alone.

use std::sync::Arc;

use cdc_core::connect::ConnectProfile;
use cdc_core::{ChangeEvent, Operation, Payload, Result, Schema};

use crate::content::{Content, Side, is_flat_table};

/// The side that a transform works on, and how it reads what is there.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) side: Side,
    pub(crate) profile: ConnectProfile,
    /// Whether a null becomes the field's default, where the transform copies values.
    pub(crate) replace_null: bool,
}

impl Place {
    pub(crate) fn new(side: Side) -> Self {
        Place { side, profile: ConnectProfile::default(), replace_null: true }
    }
}

/// What a transform of one side does.
pub(crate) trait OneSide {
    /// Where it works.
    fn place(&self) -> &Place;

    /// What becomes of the content. The side that was taken is absent or null in `event` meanwhile.
    fn content(&mut self, content: Content, event: &mut ChangeEvent) -> Result<Content>;

    /// Changes a [struct where it stands](crate::content::struct_in_place): taking a row out and putting it back costs
    /// more than most changes do. `false` leaves it to [`content`](Self::content).
    #[inline]
    fn in_place(&mut self, _event: &mut ChangeEvent) -> Result<bool> {
        Ok(false)
    }

    /// What becomes of the schema of a table whose rows stand alone.
    fn table(&mut self, schema: &Arc<Schema>) -> Result<Arc<Schema>> {
        Ok(Arc::clone(schema))
    }

    /// The schema of the rows, where this takes them out of their envelopes.
    fn enveloped_table(&mut self, _schema: &Arc<Schema>) -> Result<Option<Arc<Schema>>> {
        Ok(None)
    }
}

/// Applies a transform of one side to an event. Inline, as an event is large and each call may copy it.
#[inline(always)]
pub(crate) fn apply<T: OneSide + ?Sized>(
    transform: &mut T,
    mut event: ChangeEvent,
    out: &mut Vec<ChangeEvent>,
) -> Result<()> {
    let side = transform.place().side;
    if event.operation() == Some(Operation::Table) {
        if side == Side::Value
            && let Payload::Change(change) = &mut event.value
        {
            let changed = match is_flat_table(change) {
                true => Some(transform.table(&change.schema)?),
                false => transform.enveloped_table(&change.schema)?,
            };
            if let Some(schema) = changed {
                change.schema = schema;
            }
        }
        out.push(event);
        return Ok(());
    }
    if transform.in_place(&mut event)? {
        out.push(event);
        return Ok(());
    }
    let content = Content::take(&mut event, side, &transform.place().profile)?;
    let content = transform.content(content, &mut event)?;
    content.put(&mut event, side);
    out.push(event);
    Ok(())
}

/// Makes a type with [`OneSide`] a transform, for the handling modes of a chain; `replacing_nulls` where it has Connect's option
/// `replace.null.with.default`.
macro_rules! one_side {
    ($type:ident, $name:literal, replacing_nulls) => {
        $crate::one_side::one_side!($type, $name);

        impl $type {
            /// Whether a null becomes the field's default.
            #[must_use]
            pub fn replace_null_with_default(mut self, replace: bool) -> Self {
                self.place.replace_null = replace;
                self
            }
        }
    };
    ($type:ident, $name:literal) => {
        impl $type {
            /// The handling modes of the chain; without them Debezium's defaults.
            #[must_use]
            pub fn profile(mut self, profile: &cdc_core::connect::ConnectProfile) -> Self {
                self.place.profile = profile.clone();
                self
            }
        }

        impl cdc_core::Transform for $type {
            fn apply(
                &mut self,
                event: cdc_core::ChangeEvent,
                out: &mut Vec<cdc_core::ChangeEvent>,
            ) -> cdc_core::Result<()> {
                $crate::one_side::apply(self, event, out)
            }

            fn name(&self) -> &str {
                $name
            }

            fn boxed_clone(&self) -> Box<dyn cdc_core::Transform> {
                Box::new(self.clone())
            }
        }
    };
}
pub(crate) use one_side;
