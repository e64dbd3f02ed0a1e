//! What SQL targets have in common: names, tables, statements, offsets. Nothing here does I/O.

pub(crate) mod actions;
pub(crate) mod dialect;
pub(crate) mod json;
pub(crate) mod naming;
pub(crate) mod offsets;
pub(crate) mod plan;
pub(crate) mod rejected;
pub(crate) mod statement;
pub(crate) mod table;
pub(crate) mod temporal;
