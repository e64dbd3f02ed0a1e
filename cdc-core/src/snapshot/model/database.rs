//! A database as a snapshot sees it: commits are logged in one order and become visible in another.

use std::sync::{Arc, OnceLock};

use super::setup::OPEN;
use super::tape::Tape;
use crate::data_type::DataType;
use crate::event::{Change, ChangeEvent, Destination};
use crate::origin::{Origin, SnapshotMark, TransactionId, TransactionOrigin};
use crate::row::Row;
use crate::schema::{Field, Schema, TableId};
use crate::value::Value;

/// How many keys there are at most.
pub(super) const KEYS: usize = 6;
/// How often columns are added at most.
pub(super) const GENERATIONS: usize = 2;

/// A row of the table with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    /// Written by every statement, larger each time.
    pub(super) version: i64,
    /// What an update may leave out of its image.
    pub(super) large: i64,
    /// Columns that were added later.
    pub(super) added: [Option<i64>; GENERATIONS],
    /// The row filter of the publication leaves it out.
    pub(super) hidden: bool,
}

/// All rows at some moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct State {
    pub(super) keyed: [Option<Columns>; KEYS],
    /// The table without a key, sorted.
    pub(super) bag: Vec<i64>,
    /// How many columns were added.
    pub(super) generation: usize,
}

impl State {
    /// The row that the publication shows.
    pub(super) fn shown(&self, key: usize) -> Option<Columns> {
        self.keyed[key].filter(|row| !row.hidden)
    }

    fn take_from_bag(&mut self, value: i64) {
        if let Some(at) = self.bag.iter().position(|other| *other == value) {
            self.bag.remove(at);
        }
    }

    fn put_in_bag(&mut self, value: i64) {
        let at = self.bag.partition_point(|other| *other < value);
        self.bag.insert(at, value);
    }

    pub(super) fn apply(&mut self, statement: &Statement) {
        match *statement {
            Statement::Insert(key, row) => self.keyed[key] = Some(row),
            Statement::Update { from, to, row, .. } => {
                self.keyed[from] = None;
                self.keyed[to] = Some(row);
            }
            Statement::Show(key, row) => self.keyed[key] = Some(row),
            Statement::Hide(key, row) => self.keyed[key] = Some(row),
            Statement::Delete(key) => self.keyed[key] = None,
            Statement::Truncate => self.keyed = [None; KEYS],
            Statement::AddColumn => self.generation += 1,
            Statement::BagInsert(value) => self.put_in_bag(value),
            Statement::BagDelete(value) => self.take_from_bag(value),
            Statement::BagUpdate(from, to) => {
                self.take_from_bag(from);
                self.put_in_bag(to);
            }
            Statement::BagTruncate => self.bag.clear(),
        }
    }
}

/// What a change leaves out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Image {
    Complete,
    /// The large value was not changed (TOAST).
    WithoutLarge,
    /// Only the large value was changed (MINIMAL).
    OnlyLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Statement {
    Insert(usize, Columns),
    Update {
        from: usize,
        to: usize,
        row: Columns,
        image: Image,
    },
    /// An update moves a row into the filter: an insert of what it changed.
    Show(usize, Columns),
    Hide(usize, Columns),
    Delete(usize),
    Truncate,
    AddColumn,
    BagInsert(i64),
    BagDelete(i64),
    BagUpdate(i64, i64),
    BagTruncate,
}

impl Statement {
    fn is_exclusive(self) -> bool {
        matches!(self, Statement::Truncate | Statement::AddColumn | Statement::BagTruncate)
    }

    pub(super) fn table(self) -> Table {
        match self {
            Statement::BagInsert(_)
            | Statement::BagDelete(_)
            | Statement::BagUpdate(..)
            | Statement::BagTruncate => Table::Bag,
            _ => Table::Keyed,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Keyed,
    Bag,
}

impl Table {
    pub(super) fn id(self) -> &'static Arc<TableId> {
        static IDS: OnceLock<[Arc<TableId>; 2]> = OnceLock::new();
        let ids =
            IDS.get_or_init(|| ["keyed", "bag"].map(|name| Arc::new(TableId::new("public", name))));
        &ids[self as usize]
    }

    pub(super) fn destination(self) -> Destination {
        Destination::of_table(self.id())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Aborted,
    /// Its commit is in the log; nobody sees it yet, and it keeps its locks.
    Logged,
    Visible,
}

#[derive(Debug, Clone)]
pub(super) struct Transaction {
    pub(super) statements: Vec<Statement>,
    pub(super) status: Status,
    /// The bits of keys and of values in the bag.
    locks: u64,
    tables: u64,
    exclusive: u64,
    /// Becomes visible before it is flushed.
    asynchronous: bool,
    /// The server says that it is visible (of MySQL, some time after it is).
    pub(super) shown: bool,
    place: usize,
    pub(super) origin: Arc<TransactionOrigin>,
    /// So many of its statements are not in the stream: the tables came into it later.
    unseen: usize,
}

/// What the adversary may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Workload {
    pub(super) transactions: usize,
    pub(super) statements: usize,
    pub(super) minimal_images: bool,
    pub(super) asynchronous: bool,
    /// Visible sets lag behind what is visible.
    pub(super) subset: bool,
    pub(super) key_changes: bool,
    pub(super) row_filter: bool,
    pub(super) schema_changes: bool,
    pub(super) text_keys: bool,
}

#[derive(Debug)]
pub(super) struct Database {
    pub(super) workload: Workload,
    pub(super) transactions: Vec<Transaction>,
    pub(super) visible: State,
    /// Indexes of transactions in the order of their commits.
    pub(super) log: Vec<usize>,
    /// The state before each transaction of the log and after each of its statements.
    pub(super) history: Vec<Vec<State>>,
    pub(super) flushed: usize,
    /// Reads that hold the table's lock.
    pub(super) readers: [usize; 2],
    counter: i64,
}

impl Database {
    pub(super) fn new(workload: Workload, tape: &mut Tape) -> Self {
        let mut visible = State::default();
        for key in 0..KEYS {
            if tape.pick(3) != 1 {
                let hidden = workload.row_filter && tape.once_in(6);
                visible.keyed[key] =
                    Some(Columns { version: 1, large: 1, added: [None; GENERATIONS], hidden });
            }
        }
        visible.bag = (0..tape.pick(4)).map(|at| at as i64 % 2).collect();
        visible.bag.sort_unstable();
        Database {
            workload,
            transactions: Vec::new(),
            history: vec![vec![visible.clone()]],
            visible,
            log: Vec::new(),
            flushed: 0,
            readers: [0; 2],
            counter: 100,
        }
    }

    fn held(&self) -> impl Iterator<Item = &Transaction> {
        let held = |t: &&Transaction| matches!(t.status, Status::Active | Status::Logged);
        self.transactions.iter().filter(held)
    }

    pub(super) fn can_lock(&self, table: Table) -> bool {
        self.held().all(|transaction| transaction.exclusive >> table as usize & 1 == 0)
    }

    /// The state at a place of the log: before the transaction with this number, plus some of its statements.
    pub(super) fn state_at(&self, place: usize, statements: usize) -> &State {
        &self.history[place][statements]
    }

    /// A transaction begins and does all that it will do.
    pub(super) fn begin(&mut self, tape: &mut Tape) -> Option<String> {
        let held = self.held().fold(0, |locks, transaction| locks | transaction.locks);
        let (mut tables, mut exclusive) = (0, 0);
        let taken = self
            .held()
            .fold((0, 0), |(tables, exclusive), t| (tables | t.tables, exclusive | t.exclusive));
        let mut own = self.visible.clone();
        let mut statements = Vec::new();
        let mut locks = 0u64;
        for _ in 0..=tape.pick(self.workload.statements) {
            let choices = self.choices(&own, held, taken, tables, tape);
            if choices.is_empty() {
                break;
            }
            let statement = choices[tape.pick(choices.len())];
            locks |= match statement {
                Statement::Insert(key, _)
                | Statement::Show(key, _)
                | Statement::Hide(key, _)
                | Statement::Delete(key) => 1 << key,
                Statement::Update { from, to, .. } => 1 << from | 1 << to,
                Statement::BagDelete(value) | Statement::BagUpdate(value, _) => 256 << value,
                _ => 0,
            };
            let table = 1 << statement.table() as u64;
            tables |= table;
            if statement.is_exclusive() {
                exclusive |= table;
            }
            own.apply(&statement);
            statements.push(statement);
            self.counter += 1;
        }
        if statements.is_empty() {
            return None;
        }
        let number = self.transactions.len();
        let said = format!("T{number} begins {statements:?}");
        let asynchronous = self.workload.asynchronous && tape.once_in(3);
        self.transactions.push(Transaction {
            statements,
            status: Status::Active,
            locks,
            tables,
            exclusive,
            asynchronous,
            shown: false,
            place: usize::MAX,
            origin: origin(Some(number), 0, 0),
            unseen: 0,
        });
        Some(said)
    }

    fn choices(
        &self,
        own: &State,
        held: u64,
        (taken, exclusive): (u64, u64),
        mine: u64,
        tape: &mut Tape,
    ) -> Vec<Statement> {
        let version = self.counter + 1;
        let mut choices = Vec::new();
        let free = |key: usize| held >> key & 1 == 0;
        let locked = |table: Table| exclusive >> table as u64 & 1 == 1;
        // Nobody else is in the table, and neither is this transaction: its earlier rows would come under new columns.
        let alone = |table: Table| {
            (taken | mine) >> table as u64 & 1 == 0 && self.readers[table as usize] == 0
        };
        let mut added = [None; GENERATIONS];
        added[..own.generation].fill(Some(version));
        if !locked(Table::Keyed) {
            for key in (0..KEYS).filter(|key| free(*key)) {
                match own.keyed[key] {
                    None => {
                        let row = Columns { version, large: version, added, hidden: false };
                        choices.push(Statement::Insert(key, row));
                    }
                    Some(row) if row.hidden => {
                        let row = Columns { version, added, hidden: false, ..row };
                        choices.push(Statement::Show(key, row));
                    }
                    Some(row) => {
                        let complete = Columns { version, large: version, added, ..row };
                        let without = Columns { version, added, ..row };
                        let mut update = |to, row, image| {
                            choices.push(Statement::Update { from: key, to, row, image });
                        };
                        update(key, complete, Image::Complete);
                        update(key, without, Image::WithoutLarge);
                        if self.workload.minimal_images {
                            let only = Columns { large: version, ..row };
                            update(key, only, Image::OnlyLarge);
                        }
                        if self.workload.key_changes {
                            for to in (0..KEYS).filter(|to| free(*to) && own.keyed[*to].is_none()) {
                                update(to, without, Image::WithoutLarge);
                                if to % 2 == 0 {
                                    update(to, complete, Image::Complete);
                                }
                            }
                        }
                        choices.push(Statement::Delete(key));
                        if self.workload.row_filter && key % 3 == 0 {
                            let hidden = Columns { version, hidden: true, ..row };
                            choices.push(Statement::Hide(key, hidden));
                        }
                    }
                }
            }
        }
        if !locked(Table::Bag) {
            choices.push(Statement::BagInsert(version % 3));
            for value in 0..3 {
                if held >> (8 + value) & 1 == 0 && own.bag.contains(&value) {
                    choices.push(Statement::BagDelete(value));
                    choices.push(Statement::BagUpdate(value, version % 3));
                }
            }
        }
        if tape.once_in(8) {
            if alone(Table::Keyed) {
                choices = vec![Statement::Truncate];
                if self.workload.schema_changes && own.generation < GENERATIONS {
                    choices.push(Statement::AddColumn);
                }
            } else if alone(Table::Bag) {
                choices = vec![Statement::BagTruncate];
            }
        }
        choices
    }

    pub(super) fn abort(&mut self, number: usize) {
        self.transactions[number].status = Status::Aborted;
        self.transactions[number].shown = true;
    }

    /// The commit is written to the log.
    pub(super) fn commit(&mut self, number: usize) {
        let mut states = vec![self.history[self.log.len()][0].clone()];
        for statement in &self.transactions[number].statements {
            let mut state = states.last().expect("a state").clone();
            state.apply(statement);
            states.push(state);
        }
        let place = self.log.len();
        self.history.push(vec![states.last().expect("a state").clone()]);
        self.history[place] = states;
        self.log.push(number);
        let transaction = &mut self.transactions[number];
        transaction.status = Status::Logged;
        transaction.place = place;
        transaction.origin = origin(Some(number), place as u64, 0);
        if !transaction.asynchronous {
            self.flushed = self.log.len();
        }
    }

    pub(super) fn can_be_visible(&self, number: usize) -> bool {
        let transaction = &self.transactions[number];
        transaction.status == Status::Logged
            && (transaction.asynchronous || self.flushed > transaction.place)
    }

    pub(super) fn become_visible(&mut self, number: usize) {
        let transaction = &mut self.transactions[number];
        transaction.status = Status::Visible;
        transaction.shown = !self.workload.subset;
        for statement in &transaction.statements {
            self.visible.apply(statement);
        }
    }

    /// What a snapshot that is taken now says that it shows.
    pub(super) fn shown(&self) -> u64 {
        let numbers = self.transactions.iter().enumerate().filter(|(_, t)| t.shown);
        numbers.fold(0, |set, (number, _)| set | 1 << number)
    }

    /// The transactions that hold the lock on their own id, as in `pg_locks`.
    pub(super) fn locked_ids(&self) -> u64 {
        self.transactions.iter().enumerate().fold(0, |set, (number, t)| match t.status {
            Status::Logged => set | 1 << number,
            Status::Active => set | 1 << OPEN << number,
            Status::Aborted | Status::Visible => set,
        })
    }

    /// The tables come into the stream now. What was done before is not in it: of a transaction that is open perhaps only the
    /// later part.
    pub(super) fn begin_to_stream(&mut self, tape: &mut Tape) {
        for transaction in &mut self.transactions {
            let statements = transaction.statements.len();
            transaction.unseen = statements;
            if transaction.status == Status::Active {
                transaction.unseen -= tape.pick(statements + 1);
            }
        }
    }

    /// The transactions before a place of the log.
    pub(super) fn logged_before(&self, place: usize) -> u64 {
        self.log[..place].iter().fold(0, |set, number| set | 1 << number)
    }

    // ---- how it looks in the log

    pub(super) fn key(&self, key: usize) -> Value {
        if self.workload.text_keys {
            Value::text(format!("k{key}"))
        } else {
            Value::Int32(key as i32)
        }
    }

    pub(super) fn schema(&self, table: Table, generation: usize) -> Arc<Schema> {
        static SCHEMAS: OnceLock<Vec<Arc<Schema>>> = OnceLock::new();
        let schemas = SCHEMAS.get_or_init(|| {
            let mut schemas = Vec::new();
            for text in [false, true] {
                let id = if text { DataType::TEXT } else { DataType::Int32 };
                for generation in 0..=GENERATIONS {
                    let fields = [
                        Field::required("id", id.clone()),
                        Field::optional("version", DataType::Int64),
                        Field::optional("large", DataType::Int64),
                    ];
                    let added = (0..generation)
                        .map(|at| Field::optional(format!("added{at}"), DataType::Int64));
                    let builder = Schema::builder().table((**Table::Keyed.id()).clone());
                    let builder = builder.fields(fields.into_iter().chain(added)).key(["id"]);
                    schemas.push(builder.build().expect("a schema"));
                }
            }
            let bag = Schema::builder().table((**Table::Bag.id()).clone());
            let bag = bag.field(Field::required("value", DataType::Int64));
            schemas.push(bag.build().expect("a schema"));
            schemas
        });
        match table {
            Table::Bag => Arc::clone(schemas.last().expect("a schema")),
            Table::Keyed => {
                let kind = usize::from(self.workload.text_keys) * (GENERATIONS + 1);
                Arc::clone(&schemas[kind + generation])
            }
        }
    }

    pub(super) fn row(&self, key: usize, row: Columns, image: Image, generation: usize) -> Row {
        let of = |there: bool, value: i64| if there { value.into() } else { Value::Unavailable };
        let mut values = vec![
            self.key(key),
            of(image != Image::OnlyLarge, row.version),
            of(image != Image::WithoutLarge, row.large),
        ];
        values.extend(row.added[..generation].iter().map(|added| match image {
            Image::OnlyLarge => Value::Unavailable,
            _ => Value::from(*added),
        }));
        Row::new(self.schema(Table::Keyed, generation), values).expect("a row")
    }

    fn key_row(&self, key: usize, generation: usize) -> Row {
        let schema = self.schema(Table::Keyed, generation);
        let mut values = schema.unavailable_values();
        values[0] = self.key(key);
        Row::new(schema, values).expect("a row")
    }

    pub(super) fn bag_row(&self, value: i64) -> Row {
        Row::new(self.schema(Table::Bag, 0), vec![value.into()]).expect("a row")
    }

    /// The change of a statement as the log has it; none for what the log does not carry.
    pub(super) fn change(&self, place: usize, index: usize) -> Option<ChangeEvent> {
        let transaction = &self.transactions[self.log[place]];
        let statement = transaction.statements[index];
        if index < transaction.unseen {
            return None;
        }
        let generation = self.history[place][index].generation;
        let change = match statement {
            Statement::Insert(key, row) => {
                Change::create(self.row(key, row, Image::Complete, generation))
            }
            Statement::Update { from, to, row, image } => {
                let before = (from != to).then(|| self.key_row(from, generation));
                Change::update(before, self.row(to, row, image, generation))
            }
            Statement::Show(key, row) => {
                Change::create(self.row(key, row, Image::WithoutLarge, generation))
            }
            Statement::Hide(key, _) | Statement::Delete(key) => {
                Change::delete(self.key_row(key, generation))
            }
            Statement::Truncate => Change::truncate(self.schema(Table::Keyed, generation)),
            Statement::AddColumn => return None,
            Statement::BagInsert(value) => Change::create(self.bag_row(value)),
            Statement::BagDelete(value) => Change::delete(self.bag_row(value)),
            Statement::BagUpdate(from, to) => {
                Change::update(Some(self.bag_row(from)), self.bag_row(to))
            }
            Statement::BagTruncate => Change::truncate(self.schema(Table::Bag, 0)),
        };
        Some(self.event(statement.table(), change, Arc::clone(&transaction.origin), index))
    }

    pub(super) fn event(
        &self,
        table: Table,
        change: Change,
        transaction: Arc<TransactionOrigin>,
        index: usize,
    ) -> ChangeEvent {
        let origin = Origin {
            log_position: transaction.position[0],
            transaction,
            index: index as u64,
            table: Some(Arc::clone(table.id())),
            snapshot: SnapshotMark::No,
            shown_by_snapshot: false,
            batch: 0,
            place: 0,
        };
        ChangeEvent::change(table.destination(), change, origin)
    }
}

/// Where something stands: the place in the log, and for rows how many statements of the transaction there are done.
pub(super) fn origin(number: Option<usize>, place: u64, done: u64) -> Arc<TransactionOrigin> {
    Arc::new(TransactionOrigin {
        connector: "model",
        database: "model".into(),
        id: number.map(|number| TransactionId::Xid(number as u32)),
        commit_time_us: None,
        position: [place, done],
        previous_commit: None,
        replicated_from: None,
    })
}
