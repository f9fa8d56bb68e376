//! The services on a real broker, and on the in-process one of the embedded profile.

use std::collections::HashMap;

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use factmill_produce::ecommerce::{Ask, Followed, Follower};
use factmill_produce::partition_of;
use factmill_testkit::Kafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::mocking::MockCluster;
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};

use super::*;

/// A record of the topic: partition, key, the header `source`, payload.
type Record = (i32, Vec<u8>, String, Vec<u8>);

fn read(brokers: &str, topic: &str, count: usize) -> Vec<Record> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "reads-all")
        .create()
        .unwrap();
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
    let mut all = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        all.add_partition_offset(topic, partition.id(), Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&all).unwrap();
    let record = |_| {
        let message = consumer.poll(PATIENCE).unwrap().unwrap();
        let headers = message.headers().unwrap();
        let source = headers.get(0);
        assert_eq!(source.key, "source");
        (
            message.partition(),
            message.key().unwrap().to_vec(),
            String::from_utf8(source.value.unwrap().to_vec()).unwrap(),
            message.payload().unwrap().to_vec(),
        )
    };
    (0..count).map(record).collect()
}

fn brokers(address: &str) -> [(String, String); 1] {
    [("bootstrap.servers".to_owned(), address.to_owned())]
}

/// Both services, the simulated third party, and a follower of each; the report of the services.
async fn run(
    bootstrap: &str,
    topic: &str,
    count: u64,
) -> (factmill_produce::Report, [Followed; 2]) {
    let api = listener().await;
    let settings = EcommerceSettings {
        third_party: format!("{}/transactions", url(&api)),
        rate: factmill_produce::Rate::Max,
        bad_percent: 2.0,
        ..EcommerceSettings::new(topic)
    };
    let listeners = Listeners {
        generator: listener().await,
        third_party: listener().await,
    };
    let (generator, third_party) = (
        format!("{}/real_time_response", url(&listeners.generator)),
        format!("{}/transactions", url(&listeners.third_party)),
    );
    let cancel = CancellationToken::new();
    let serving = ecommerce::serve(listeners, settings, brokers(bootstrap), &cancel, |_| {});
    let simulated = ecommerce::simulated_third_party(api, 3, 0.0, &cancel);
    let following = async {
        let ask = Ask {
            count: Some(count),
            ..Ask::default()
        };
        let follower = Follower::new().unwrap();
        let followed = tokio::try_join!(
            follower.follow(&generator, ask, &cancel, |_| {}),
            follower.follow(&third_party, ask, &cancel, |_| {}),
        );
        cancel.cancel();
        let (generated, polled) = followed.unwrap();
        [generated, polled]
    };
    let (report, simulated, followed) = tokio::join!(serving, simulated, following);
    simulated.unwrap();
    (report.unwrap(), followed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_follower_counts_is_in_the_topic_with_key_and_source() {
    let kafka = Kafka::shared().await.unwrap();
    let topic = factmill_testkit::unique_name("transactions").replace('_', "-");
    let (report, followed) = run(kafka.brokers(), &topic, 1500).await;
    for followed in followed {
        assert_eq!((followed.documents, followed.problems), (1500, 0));
    }
    assert_eq!((report.acknowledged, report.given_up), (3000, 0));
    assert!(report.bad > 0);
    let records = read(kafka.brokers(), &topic, 3000);
    let mut of_source: HashMap<&str, u32> = HashMap::new();
    for (partition, key, source, _) in &records {
        assert_eq!(*partition, partition_of(key, 4));
        *of_source.entry(source).or_default() += 1;
    }
    assert_eq!(
        of_source,
        HashMap::from([("generator", 1500), ("third_party", 1500)])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_brokers_of_the_embedded_profile_take_events_too() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("transactions_topic", 4, 1).unwrap();
    let (report, _) = run(&cluster.bootstrap_servers(), "transactions_topic", 200).await;
    assert_eq!(report.acknowledged, 400);
    assert_eq!(
        read(&cluster.bootstrap_servers(), "transactions_topic", 400).len(),
        400
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_restarts_costs_nothing_that_was_shown() {
    let kafka = Kafka::start().await.unwrap();
    if !kafka.restartable() {
        return;
    }
    let topic = factmill_testkit::unique_name("transactions").replace('_', "-");
    let listeners = Listeners {
        generator: listener().await,
        third_party: listener().await,
    };
    let address = format!(
        "{}/real_time_response?rate=500&count=5000",
        url(&listeners.generator)
    );
    let cancel = CancellationToken::new();
    let settings = EcommerceSettings {
        topic: topic.clone(),
        ..settings()
    };
    let serving = ecommerce::serve(
        listeners,
        settings,
        brokers(kafka.brokers()),
        &cancel,
        |_| {},
    );
    let watching = async {
        let mut events = open(&address).await;
        let mut shown = Vec::new();
        loop {
            let event = next(&mut events).await;
            match event.event.as_deref() {
                Some("end") => break,
                other => assert_eq!(other, None, "{event:?}"),
            }
            shown.push(event.data.unwrap());
            if shown.len() == 1000 {
                kafka.kill().unwrap();
                kafka.restart().await.unwrap();
            }
        }
        cancel.cancel();
        shown
    };
    let (report, shown) = tokio::join!(serving, watching);
    assert_eq!((report.unwrap().acknowledged, shown.len()), (5000, 5000));
    let mut stored: Vec<_> = read(kafka.brokers(), &topic, 5000)
        .into_iter()
        .map(|(.., payload)| String::from_utf8(payload).unwrap())
        .collect();
    let mut shown = shown;
    stored.sort_unstable();
    shown.sort_unstable();
    assert!(stored == shown, "each event once");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_broker_is_an_unreachable_service() {
    let listeners = Listeners {
        generator: listener().await,
        third_party: listener().await,
    };
    let cancel = CancellationToken::new();
    let error = ecommerce::serve(
        listeners,
        settings(),
        brokers("127.0.0.1:9"),
        &cancel,
        |_| {},
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
}
