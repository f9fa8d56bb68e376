//! Events that come late or twice.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::banking::Expected;
use super::super::world::{Sent, World};
use super::{bytes, event};

#[tokio::test(flavor = "multi_thread")]
async fn of_duplicates_and_late_events_the_newest_by_event_time_stays() -> Result<()> {
    let world = World::start().await?;
    world.servers.kafka.create_topic(&world.topic, 2).await?;
    let (one, two) = (Uuid::new_v4(), Uuid::new_v4());
    let change = |id: Uuid, minute: u32, amount: &str| {
        event(id, |event| {
            event["timestamp"] = json!(format!("2024-01-06T10:{minute:02}:00Z"));
            event["amount"] = json!(amount);
            event["customer"]["customer_id"] = json!(id.to_string());
            event["customer"]["name"] = json!(format!("name {minute} {amount}"));
        })
    };
    let send = async |partition: i32, event: Value| {
        let payload = bytes(&event);
        let sent = Sent {
            partition,
            payload: Some(&payload),
            ..Sent::default()
        };
        world.send(&world.topic, &sent).await
    };
    // within one batch: late, sent twice, and a tie that the later offset wins
    send(0, change(one, 10, "1")).await?;
    send(0, change(one, 5, "2")).await?;
    send(0, change(one, 10, "3")).await?;
    send(0, change(one, 10, "3")).await?;
    send(1, change(two, 59, "4")).await?;
    send(0, change(two, 58, "5")).await?;
    let warehouse = world.warehouse().await?;
    let after = async |one_amount: &str, one_name: &str| -> Result<()> {
        world.run(&["stream", "banking", "--once"])?;
        Expected::of(&world.records()?)
            .compare(&warehouse, "banking")
            .await?;
        let row = warehouse
            .query_one(
                "select f.amount::text, c.name from banking.fct_transactions f join banking.dim_customer c using (customer_id) \
                 where f.transaction_id = $1",
                &[&one],
            )
            .await?;
        let found: (&str, &str) = (row.get(0), row.get(1));
        ensure!(
            found == (one_amount, one_name),
            "{found:?} after {one_amount}"
        );
        Ok(())
    };
    after("3.00", "name 10 3").await?;
    // late in a later batch, also from the other partition
    send(0, change(one, 9, "6")).await?;
    send(1, change(one, 9, "7")).await?;
    after("3.00", "name 10 3").await?;
    send(1, change(one, 11, "8")).await?;
    send(0, change(two, 1, "9")).await?;
    after("8.00", "name 11 8").await?;
    let row = warehouse
        .query_one(
            "select first_seen_at::text, last_seen_at::text, \
                 (select sum(transaction_count)::bigint from banking.agg_daily_by_type), \
                 (select sum(total_amount)::text from banking.agg_daily_by_type) \
             from banking.dim_account",
            &[],
        )
        .await;
    let row = row.context("one account was seen")?;
    let total: (i64, &str) = (row.get(2), row.get(3));
    ensure!(total == (2, "12.00"), "the aggregate counts {total:?}");
    Ok(())
}
