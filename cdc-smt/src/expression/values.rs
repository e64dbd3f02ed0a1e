//! Records as CEL reads them: fields are converted when an expression asks for them.

use std::collections::HashMap;

use cdc_core::connect::{ConnectProfile, JavaValue};
use cdc_core::{ChangeEvent, Headers, Payload, Row, ValueRef, ValueType};
use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Sizer};
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, MAP_TYPE,
    Type,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

type Converted<T> = std::result::Result<T, ExecutionError>;
type Boxed<'v> = Box<dyn Val + 'v>;

/// The variables of a record.
pub(super) struct Variables<'a> {
    record: &'a ChangeEvent,
    profile: &'a ConnectProfile,
}

impl<'a> Variables<'a> {
    pub(super) fn new(record: &'a ChangeEvent, profile: &'a ConnectProfile) -> Self {
        Variables { record, profile }
    }

    fn payload<'b>(&'b self, payload: &'b Payload) -> Option<CowVal<'b, 'b>> {
        let value = match payload {
            Payload::Value { schema, value } => {
                converted(schema.as_deref(), value.as_ref(), self.profile).ok()?
            }
            _ => Box::new(CelNull),
        };
        Some(CowVal::Owned(value))
    }
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match variable {
            "value" => self.payload(&self.record.value),
            "key" => self.payload(&self.record.key),
            "topic" => Some(CowVal::owned(CelString::from(self.record.destination.as_str()))),
            "headers" | "header" => Some(CowVal::owned(HeadersByName {
                headers: &self.record.headers,
                profile: self.profile,
            })),
            _ => None,
        }
    }
}

/// The fields of a struct.
#[derive(Clone, Copy)]
struct Fields<'a> {
    row: &'a Row,
    profile: &'a ConnectProfile,
}

impl std::fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.row, f)
    }
}

impl<'a> Fields<'a> {
    fn field<'v>(&self, name: &str) -> Converted<Option<Boxed<'v>>>
    where
        'a: 'v,
    {
        let Some(index) = self.row.schema().index_of(name) else { return Ok(None) };
        let (Some(field), Some(value)) = (self.row.schema().field(index), self.row.get(index))
        else {
            return Ok(None);
        };
        converted(Some(&field.value_type), value, self.profile).map(Some)
    }
}

fn name_of(index: &dyn Val) -> Converted<&str> {
    index.downcast_ref::<CelString>().map(CelString::inner).ok_or_else(|| {
        ExecutionError::UnexpectedType {
            got: index.get_type().name().to_owned(),
            want: "string".to_owned(),
        }
    })
}

fn no_such_key(name: &str) -> ExecutionError {
    ExecutionError::NoSuchKey(std::sync::Arc::new(name.to_owned()))
}

/// What is read by names alone: a struct, headers.
macro_rules! by_name {
    ($type:ident) => {
        impl Val for $type<'_> {
            fn get_type(&self) -> &Type {
                &MAP_TYPE
            }

            fn cel_type() -> &'static Type {
                &MAP_TYPE
            }

            fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
            where
                Self: 'v,
            {
                Some(self)
            }

            fn as_container(&self) -> Option<&dyn Container> {
                Some(self)
            }

            fn as_sizer(&self) -> Option<&dyn Sizer> {
                Some(self)
            }

            fn equals(&self, other: &dyn Val) -> bool {
                self.is_same(other)
            }

            fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
            where
                Self: 'v,
            {
                Box::new(*self)
            }
        }

        impl Indexer for $type<'_> {
            fn get<'b, 'v>(&'b self, index: &dyn Val) -> Converted<CowVal<'b, 'v>>
            where
                Self: 'v,
            {
                let name = name_of(index)?;
                self.field(name)?.map(CowVal::Owned).ok_or_else(|| no_such_key(name))
            }

            fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Converted<Boxed<'v>>
            where
                Self: 'v,
            {
                let name = name_of(index)?;
                self.field(name)?.ok_or_else(|| no_such_key(name))
            }
        }

        impl Container for $type<'_> {
            fn contains(&self, name: &dyn Val) -> Converted<bool> {
                Ok(self.field(name_of(name)?)?.is_some())
            }
        }
    };
}

by_name!(Fields);
by_name!(HeadersByName);

impl Fields<'_> {
    fn is_same(&self, other: &dyn Val) -> bool {
        let (Some(fields), Some(size)) = (other.as_indexer(), other.as_sizer()) else {
            return false;
        };
        size.size() == self.size()
            && self.row.schema().fields().iter().all(|field| {
                let (mine, name) = (self.field(&field.name), CelString::from(&*field.name));
                match (mine, fields.get(&name)) {
                    (Ok(Some(mine)), Ok(theirs)) => mine.equals(theirs.as_ref()),
                    _ => false,
                }
            })
    }
}

impl Sizer for Fields<'_> {
    fn size(&self) -> CelInt {
        i64::try_from(self.row.len()).unwrap_or(i64::MAX).into()
    }
}

/// Headers by their names, each with its `value`.
#[derive(Debug, Clone, Copy)]
struct HeadersByName<'a> {
    headers: &'a Headers,
    profile: &'a ConnectProfile,
}

impl<'a> HeadersByName<'a> {
    fn field<'v>(&self, name: &str) -> Converted<Option<Boxed<'v>>>
    where
        'a: 'v,
    {
        let Some(header) = self.headers.iter().rfind(|header| *header.name == *name) else {
            return Ok(None);
        };
        let value = converted(header.schema.as_deref(), header.value.as_ref(), self.profile)?;
        Ok(Some(Box::new(CelMap::from(HashMap::from([(CelMapKey::from("value"), value)])))))
    }

    /// Headers are compared one by one.
    fn is_same(&self, _other: &dyn Val) -> bool {
        false
    }
}

impl Sizer for HeadersByName<'_> {
    fn size(&self) -> CelInt {
        i64::try_from(self.headers.len()).unwrap_or(i64::MAX).into()
    }
}

/// A value as CEL has it.
fn converted<'v>(
    value_type: Option<&ValueType>,
    value: ValueRef<'v>,
    profile: &'v ConnectProfile,
) -> Converted<Boxed<'v>> {
    Ok(match value {
        ValueRef::Null => Box::new(CelNull),
        ValueRef::Bool(v) => Box::new(CelBool::from(v)),
        ValueRef::Int16(v) => Box::new(CelInt::from(i64::from(v))),
        ValueRef::Int32(v) => Box::new(CelInt::from(i64::from(v))),
        ValueRef::Int64(v) => Box::new(CelInt::from(v)),
        ValueRef::Float64(v) => Box::new(CelDouble::from(v)),
        ValueRef::Text(v) => Box::new(CelString::from(v)),
        ValueRef::Struct(row) => Box::new(Fields { row, profile }),
        ValueRef::Unavailable => {
            Box::new(CelString::from(profile.modes().placeholder.as_ref().to_owned()))
        }
        value => {
            let schema = value_type.and_then(|value_type| profile.connect_schema(value_type));
            let value = JavaValue::of(schema.as_ref(), &value).map_err(|error| {
                ExecutionError::FunctionError {
                    function: "field".to_owned(),
                    message: error.message().to_owned(),
                }
            })?;
            of_java(value)?
        }
    })
}

fn of_java<'v>(value: JavaValue) -> Converted<Boxed<'v>> {
    Ok(match value {
        JavaValue::Bool(v) => Box::new(CelBool::from(v)),
        JavaValue::Byte(v) => Box::new(CelInt::from(i64::from(v))),
        JavaValue::Short(v) => Box::new(CelInt::from(i64::from(v))),
        JavaValue::Integer(v) => Box::new(CelInt::from(i64::from(v))),
        JavaValue::Long(v) | JavaValue::Date(v) => Box::new(CelInt::from(v)),
        JavaValue::Float(v) => Box::new(CelDouble::from(f64::from(v))),
        JavaValue::Double(v) => Box::new(CelDouble::from(v)),
        JavaValue::Decimal(v) => Box::new(CelDouble::from(v.to_f64())),
        JavaValue::Text(v) => Box::new(CelString::from(v)),
        JavaValue::Bytes(v) => Box::new(CelBytes::from(v)),
        JavaValue::List(values) => {
            let values: Vec<Boxed<'v>> =
                values.into_iter().map(of_java).collect::<Converted<_>>()?;
            Box::new(CelList::from(values))
        }
        JavaValue::Map(entries) => {
            let mut map = HashMap::with_capacity(entries.len());
            for (key, value) in entries {
                map.insert(CelMapKey::try_from(of_java(key)?)?, of_java(value)?);
            }
            Box::new(CelMap::from(map))
        }
        JavaValue::Struct(fields) => {
            let mut map = HashMap::with_capacity(fields.len());
            for (name, value) in fields {
                map.insert(CelMapKey::from(name), of_java(value)?);
            }
            Box::new(CelMap::from(map))
        }
        _ => Box::new(CelNull),
    })
}
