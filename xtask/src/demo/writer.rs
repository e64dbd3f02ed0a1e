//! The shop in business: a few hundred statements a second of every kind.

use std::{sync::Arc, time::Duration};

use fastrand::Rng;
use tokio::{sync::watch, time::MissedTickBehavior};
use tokio_postgres::{Client, Transaction};

use super::{report::Progress, schema::large_text, told};
use crate::{Failure, Result};

/// A transaction of two or three statements this often: some hundred statements a second.
const PAUSE: Duration = Duration::from_millis(8);

/// The rows that a transaction has changed.
#[derive(Debug, Default, Clone, Copy)]
struct Changed {
    inserted: u64,
    updated: u64,
    moved: u64,
    deleted: u64,
}

/// Does business until `stopped` turns true.
pub(super) async fn run(
    mut client: Client,
    seed: u64,
    progress: Arc<Progress>,
    stopped: watch::Receiver<bool>,
) -> Result<()> {
    let mut random = Rng::with_seed(seed);
    let mut clock = tokio::time::interval(PAUSE);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !*stopped.borrow() {
        clock.tick().await;
        business(&mut client, &mut random, &progress)
            .await
            .map_err(|error| Failure::new(format!("writing to the shop: {}", told(&error))))?;
    }
    Ok(())
}

/// One transaction.
async fn business(
    client: &mut Client,
    random: &mut Rng,
    progress: &Progress,
) -> Result<(), tokio_postgres::Error> {
    let mut transaction = client.transaction().await?;
    let mut changed = Changed::default();
    match random.u8(..100) {
        0..35 => order(&transaction, random, &mut changed).await?,
        35..55 => next_status(&transaction, random, &mut changed).await?,
        55..70 => visits(&transaction, random, &mut changed).await?,
        70..78 => customer(&transaction, random, &mut changed).await?,
        78..86 => forget_order(&transaction, random, &mut changed).await?,
        86..91 => new_sku(&transaction, random, &mut changed).await?,
        91..95 => description(&transaction, random, &mut changed).await?,
        95..98 => half_rolled_back(&mut transaction, random, &mut changed).await?,
        _ => {
            order(&transaction, random, &mut changed).await?;
            transaction.rollback().await?;
            Progress::add(&progress.rolled_back, 1);
            return Ok(());
        }
    }
    transaction.commit().await?;
    Progress::add(&progress.committed, 1);
    Progress::add(&progress.inserted, changed.inserted);
    Progress::add(&progress.updated, changed.updated);
    Progress::add(&progress.moved, changed.moved);
    Progress::add(&progress.deleted, changed.deleted);
    Ok(())
}

/// Somebody orders one to three products.
async fn order(
    transaction: &Transaction<'_>,
    random: &mut Rng,
    changed: &mut Changed,
) -> Result<(), tokio_postgres::Error> {
    let customer = random.i64(1..=1_000);
    let row = transaction
        .query_one("insert into shop.orders (customer_id) values ($1) returning id", &[&customer])
        .await?;
    let order: i64 = row.try_get(0)?;
    let lines = transaction
        .execute(
            "insert into shop.order_items
             select $1, row_number() over (), sku, 1 + length(title) % 4, price
             from (select * from shop.products order by sku offset $2 limit $3) as picked",
            &[&order, &random.i64(0..290), &random.i64(1..=3)],
        )
        .await?;
    let total = transaction
        .execute(
            "update shop.orders set total =
                 (select sum(quantity * price) from shop.order_items where order_id = $1)
             where id = $1",
            &[&order],
        )
        .await?;
    changed.inserted += 1 + lines;
    changed.updated += total;
    Ok(())
}

/// An order is paid, sent, returned.
async fn next_status(
    transaction: &Transaction<'_>,
    random: &mut Rng,
    changed: &mut Changed,
) -> Result<(), tokio_postgres::Error> {
    changed.updated += transaction
        .execute(
            "update shop.orders set status = case status
                 when 'placed' then 'paid' when 'paid' then 'sent' else 'returned'
             end::shop.order_status where id = $1",
            &[&random.i64(1..=4_000)],
        )
        .await?;
    changed.updated += transaction
        .execute(
            "update shop.customers set balance = balance + 0.01, notes = notes where id = $1",
            &[&random.i64(1..=1_000)],
        )
        .await?;
    Ok(())
}

/// Somebody looks at pages: rows of the table without a key.
async fn visits(
    transaction: &Transaction<'_>,
    random: &mut Rng,
    changed: &mut Changed,
) -> Result<(), tokio_postgres::Error> {
    changed.inserted += transaction
        .execute(
            "insert into shop.visits (customer_id, page, details)
             select $1, '/products/' || n, jsonb_build_object('seconds', n)
             from generate_series(1, $2) as n",
            &[&random.i64(1..=1_000), &random.i32(1..=4)],
        )
        .await?;
    Ok(())
}

/// A customer comes, or changes what is known about them.
async fn customer(
    transaction: &Transaction<'_>,
    random: &mut Rng,
    changed: &mut Changed,
) -> Result<(), tokio_postgres::Error> {
    let number = random.i64(1..=1_000);
    changed.inserted += transaction
        .execute(
            "insert into shop.customers (name, email)
             values ('Müller ' || $1, 'mueller' || $1 || '@example.com')",
            &[&number.to_string()],
        )
        .await?;
    changed.updated += transaction
        .execute(
            "update shop.customers
             set preferences = jsonb_build_object('newsletter', id % 2 = 1), notes = null
             where id = $1",
            &[&number],
        )
        .await?;
    Ok(())
}

/// An order goes with all its items.
async fn forget_order(
    transaction: &Transaction<'_>,
    random: &mut Rng,
    changed: &mut Changed,
) -> Result<(), tokio_postgres::Error> {
    let order = random.i64(1..=4_000);
    for statement in [
        "delete from shop.order_items where order_id = $1",
        "delete from shop.orders where id = $1",
    ] {
        changed.deleted += transaction.execute(statement, &[&order]).await?;
    }
    Ok(())
}

/// A product gets another key; its large description stays as it is, and is not in the log.
async fn new_sku(
    transaction: &Transaction<'_>,
    random: &mut Rng,
    changed: &mut Changed,
) -> Result<(), tokio_postgres::Error> {
    changed.moved += transaction
        .execute(
            "update shop.products set sku = split_part(sku, '/', 1) || '/' || $2
             where sku = (select sku from shop.products order by sku offset $1 limit 1)",
            &[&random.i64(0..300), &format!("{:016x}", random.u64(..))],
        )
        .await?;
    Ok(())
}

/// A product gets another price, and sometimes another description.
async fn description(
    transaction: &Transaction<'_>,
    random: &mut Rng,
    changed: &mut Changed,
) -> Result<(), tokio_postgres::Error> {
    let large = if random.bool() { large_text("1") } else { "description".to_owned() };
    changed.updated += transaction
        .execute(
            &format!(
                "update shop.products set price = price + 0.05, description = {large}
                 where sku = (select sku from shop.products order by sku offset $1 limit 1)"
            ),
            &[&random.i64(0..300)],
        )
        .await?;
    Ok(())
}

/// An order in a savepoint that is rolled back, and another that stays.
async fn half_rolled_back(
    transaction: &mut Transaction<'_>,
    random: &mut Rng,
    changed: &mut Changed,
) -> Result<(), tokio_postgres::Error> {
    let savepoint = transaction.transaction().await?;
    order(&savepoint, random, &mut Changed::default()).await?;
    savepoint.rollback().await?;
    order(transaction, random, changed).await
}
