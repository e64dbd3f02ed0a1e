//! `items`: eight columns of the usual types, some 200 bytes a row, and changes of its rows.

use std::sync::Arc;

use cdc_core::{
    Change, ChangeEvent, DataType, Destination, Field, Origin, Row, RowsBuilder, Schema,
    SnapshotMark, TableId, TransactionId, TransactionOrigin,
};

/// Updates and deletes hit one of so many newest rows.
pub const NEWEST: usize = 20_000;

const NOTE: &str =
    "lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt";

/// `public.items` with its key `id`.
#[derive(Debug, Clone)]
pub struct Items {
    schema: Arc<Schema>,
    table: Arc<TableId>,
    destination: Destination,
    transaction: Arc<TransactionOrigin>,
}

impl Items {
    /// The table.
    ///
    /// # Errors
    /// None in practice: the schema is a valid one.
    pub fn new() -> cdc_core::Result<Self> {
        let table = TableId::new("public", "items");
        let schema = Schema::builder()
            .table(table.clone())
            .fields([
                Field::required("id", DataType::Int64),
                Field::required("customer", DataType::Int32),
                Field::required(
                    "amount",
                    DataType::Decimal { precision: Some(12), scale: Some(2) },
                ),
                Field::required("status", DataType::TEXT),
                Field::optional("email", DataType::TEXT),
                Field::required("active", DataType::Bool),
                Field::required("created_at", DataType::TimestampTz { precision: 6 }),
                Field::optional("note", DataType::TEXT),
            ])
            .key(["id"])
            .build()?;
        let transaction = TransactionOrigin {
            connector: "postgresql",
            database: "shop".into(),
            id: Some(TransactionId::Xid(744)),
            commit_time_us: Some(1_795_000_000_123_456),
            position: [0x16B_3748, 0x16B_3748],
            previous_commit: Some(0x16B_3000),
            replicated_from: None,
        };
        Ok(Items {
            destination: Destination::of_table(&table),
            table: Arc::new(table),
            schema,
            transaction: Arc::new(transaction),
        })
    }

    /// The schema.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The row with this id, in its version; it has values once the block is sealed.
    ///
    /// # Errors
    /// None in practice: the values are those of the schema.
    pub fn row(&self, block: &mut RowsBuilder, id: i64, version: u32) -> cdc_core::Result<Row> {
        let first = block.position();
        block.int64(id);
        block.int32(i32::try_from(id % 100_000).unwrap_or(0));
        block.decimal(id % 1_000_000 + i64::from(version), 2);
        block.text(["new", "paid", "shipped", "closed"][version as usize % 4]);
        block.text(&format!("customer{}@example.com", id % 100_000));
        block.boolean(id % 2 == 0);
        block.timestamp_micros(1_795_000_000_000_000 + id * 1_001);
        block.text(&format!("{version:08} {NOTE}"));
        block.row(&self.schema, first)
    }

    /// The key of a row, all that a server sends of one that was deleted.
    ///
    /// # Errors
    /// None in practice.
    pub fn key_alone(&self, block: &mut RowsBuilder, id: i64) -> cdc_core::Result<Row> {
        let first = block.position();
        block.int64(id);
        (1..self.schema.fields().len()).for_each(|_| block.unavailable());
        block.row(&self.schema, first)
    }

    /// The event of a change.
    pub fn event(&self, number: u64, change: Change) -> ChangeEvent {
        let origin = Origin {
            transaction: Arc::clone(&self.transaction),
            index: number,
            log_position: 0x16B_3000 + number,
            table: Some(Arc::clone(&self.table)),
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        };
        ChangeEvent::change(self.destination.clone(), change, origin)
    }

    /// The table announcing itself.
    pub fn announcement(&self) -> ChangeEvent {
        self.event(0, Change::table(Arc::clone(&self.schema)))
    }
}

/// Which rows updates and deletes hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hits {
    /// One of the [newest](NEWEST).
    Newest,
    /// Any row.
    Any,
}

/// 50 % inserts, 35 % updates and 15 % deletes, the same ones in every run.
#[derive(Debug)]
pub struct Mix {
    block: RowsBuilder,
    items: Items,
    hits: Hits,
    random: fastrand::Rng,
    live: Vec<i64>,
    next_id: i64,
    number: u64,
}

impl Mix {
    /// Changes of a table that is empty.
    pub fn new(items: Items, hits: Hits) -> Self {
        Mix {
            block: RowsBuilder::new(),
            items,
            hits,
            random: fastrand::Rng::with_seed(7),
            live: Vec::new(),
            next_id: 1,
            number: 0,
        }
    }

    /// Inserts alone.
    ///
    /// # Errors
    /// None in practice.
    pub fn inserts(&mut self, count: usize) -> cdc_core::Result<Vec<ChangeEvent>> {
        let events = (0..count).map(|_| self.insert()).collect();
        self.block.seal();
        events
    }

    /// The next changes of the mix.
    ///
    /// # Errors
    /// None in practice.
    pub fn changes(&mut self, count: usize) -> cdc_core::Result<Vec<ChangeEvent>> {
        let events = (0..count).map(|_| self.change()).collect();
        self.block.seal();
        events
    }

    fn change(&mut self) -> cdc_core::Result<ChangeEvent> {
        match self.random.u32(0..100) {
            0..50 => self.insert(),
            50..85 => self.update(),
            _ => self.delete(),
        }
    }

    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn insert(&mut self) -> cdc_core::Result<ChangeEvent> {
        let row = self.items.row(&mut self.block, self.next_id, 0)?;
        self.live.push(self.next_id);
        self.next_id += 1;
        let number = self.number();
        Ok(self.items.event(number, Change::create(row)))
    }

    /// The place of a live row.
    fn hit(&mut self) -> Option<usize> {
        let oldest = match self.hits {
            Hits::Newest => self.live.len().saturating_sub(NEWEST),
            Hits::Any => 0,
        };
        (oldest < self.live.len()).then(|| self.random.usize(oldest..self.live.len()))
    }

    fn update(&mut self) -> cdc_core::Result<ChangeEvent> {
        let Some(place) = self.hit() else { return self.insert() };
        let version = self.random.u32(1..1_000_000);
        let row = self.items.row(&mut self.block, self.live[place], version)?;
        let number = self.number();
        Ok(self.items.event(number, Change::update(None, row)))
    }

    /// Of the row before the server sends the key alone.
    fn delete(&mut self) -> cdc_core::Result<ChangeEvent> {
        let Some(place) = self.hit() else { return self.insert() };
        let id = match self.hits {
            Hits::Newest => self.live.remove(place),
            Hits::Any => self.live.swap_remove(place),
        };
        let row = self.items.key_alone(&mut self.block, id)?;
        let number = self.number();
        Ok(self.items.event(number, Change::delete(row)))
    }
}
