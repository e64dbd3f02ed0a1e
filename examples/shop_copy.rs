//! The ten lines: one table of PostgreSQL, copied into SQLite and kept up to date.
//!
//!     cargo run --release --example shop_copy

use cdc_core::Pipeline;
use cdc_postgres::PostgresSource;
use cdc_sinks::SqliteSink;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source =
        PostgresSource::builder("postgres://app@db/shop").tables(["public.orders"]).build()?;
    let sink = SqliteSink::open("shop.db")?;
    Pipeline::builder("shop-copy", source)
        .sink(sink)
        .build()?
        .run_until(tokio::signal::ctrl_c())
        .await?;
    Ok(())
}
