//! Events as a `Stream`, rows as a struct of one's own, acknowledged when they are dealt with.
//!
//!     cargo run --release --example typed_stream -- postgres://app@db/shop

use cdc_core::offset_store::FileOffsetStore;
use cdc_core::{Operation, Pipeline};
use cdc_postgres::PostgresSource;
use futures_util::StreamExt;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
struct Order<'a> {
    id: i64,
    customer: &'a str,
    total: Option<String>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "postgres://app@db/shop".to_owned());
    let source = PostgresSource::builder(url).tables(["public.orders"]).build()?;
    let mut stream = Pipeline::builder("order-watch", source)
        .offsets(FileOffsetStore::open("order-watch")?)
        .stream()?;
    while let Some(event) = stream.next().await {
        let event = event?;
        match (event.operation(), event.after_as::<Order<'_>>()?) {
            (Some(Operation::Delete), _) => println!("gone: {:?}", event.key.as_row()),
            (Some(operation), Some(order)) => {
                println!("{operation:?}: {} {} {:?}", order.id, order.customer, order.total);
            }
            _ => {}
        }
        // This one and all before it: what is not acknowledged comes again after a restart.
        stream.ack(&event);
    }
    stream.close().await?;
    Ok(())
}
