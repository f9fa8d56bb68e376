//! The generator's response, and what both services have in common.

use std::collections::HashSet;

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use factmill_produce::ecommerce::{Ask, Follower, SOURCE_HEADER};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_was_stored_in_its_order() {
    let shelf = Shelf::new();
    let shop = Shop::open(settings(), shelf.clone()).await;
    let url = format!("{}/real_time_response?rate=max&count=300", shop.generator);
    let events = all(&url).await;
    let (end, shown) = events.split_last().unwrap();
    assert_eq!(end.event.as_deref(), Some("end"));
    let kept = shelf.kept();
    assert_eq!((shown.len(), kept.len()), (300, 300));
    let mut ids = HashSet::new();
    for (index, (event, kept)) in shown.iter().zip(&kept).enumerate() {
        let document = document(event);
        assert_eq!(event.data.as_ref().unwrap().as_bytes(), kept.payload);
        assert_eq!(event.id, Some(format!("0-{index}")));
        let id = document["transaction_id"].as_str().unwrap().to_owned();
        assert_eq!(kept.key.as_deref(), Some(id.as_bytes()));
        assert_eq!(
            kept.headers,
            [(SOURCE_HEADER.to_owned(), b"generator".to_vec())]
        );
        assert!(ids.insert(id));
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_shown_after_its_acknowledgement_and_not_before() {
    let (shelf, mut acknowledge) = Shelf::held();
    let shop = Shop::open(settings(), shelf).await;
    let url = format!("{}/real_time_response?rate=max&count=2", shop.generator);
    let mut events = open(&url).await;
    let (first, second) = (
        acknowledge.recv().await.unwrap(),
        acknowledge.recv().await.unwrap(),
    );
    let stored = |offset| {
        Ok(Stored {
            partition: 3,
            offset,
        })
    };
    second.send(stored(8)).unwrap();
    // The second one is stored, but stands behind the first one.
    let early = tokio::time::timeout(Duration::from_millis(100), events.next()).await;
    assert!(early.is_err(), "{early:?}");
    first.send(stored(7)).unwrap();
    assert_eq!(next(&mut events).await.id.as_deref(), Some("3-7"));
    assert_eq!(next(&mut events).await.id.as_deref(), Some("3-8"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_not_stored_is_a_problem_and_the_response_goes_on() {
    let (shelf, mut acknowledge) = Shelf::held();
    let shop = Shop::open(settings(), shelf).await;
    let url = format!("{}/real_time_response?rate=max&count=2", shop.generator);
    let mut events = open(&url).await;
    let away = KafkaError::MessageProduction(RDKafkaErrorCode::MessageTimedOut);
    acknowledge.recv().await.unwrap().send(Err(away)).unwrap();
    let problem = next(&mut events).await;
    assert_eq!(problem.event.as_deref(), Some("problem"));
    assert!(problem.data.unwrap().contains("stayed away"));
    drop(acknowledge.recv().await.unwrap());
    assert_eq!(next(&mut events).await.event.as_deref(), Some("problem"));
    assert_eq!(next(&mut events).await.event.as_deref(), Some("end"));
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_response_makes_its_own_events_and_a_seed_repeats_them() {
    let shop = Shop::open(settings(), Shelf::new()).await;
    let ids = async |query: &str| {
        let url = format!("{}/real_time_response?rate=max&{query}", shop.generator);
        let mut events = all(&url).await;
        events.pop();
        let ids = events
            .iter()
            .map(|event| document(event)["transaction_id"].to_string());
        ids.collect::<Vec<_>>()
    };
    let (one, other) = tokio::join!(ids("count=50"), ids("count=50"));
    assert!(one.iter().all(|id| !other.contains(id)));
    let seeded = ids("count=50&seed=99").await;
    assert_eq!(ids("count=50&seed=99").await, seeded);
    assert_eq!(ids("count=10&seed=99&from=40").await, seeded[40..]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_ends_its_response() {
    let shelf = Shelf::new();
    let shop = Shop::open(settings(), shelf.clone()).await;
    let url = format!("{}/real_time_response?rate=200", shop.generator);
    let mut stays = open(&url).await;
    let mut leaves = open(&url).await;
    next(&mut leaves).await;
    drop(leaves);
    // The socket's end is noticed with one of the next events: then only one response makes any.
    let one_makes_all = async {
        loop {
            let before = shelf.kept().len();
            for _ in 0..40 {
                next(&mut stays).await;
            }
            let made = shelf.kept().len() - before;
            if made <= 45 {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, one_makes_all).await.unwrap();
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_a_second_by_default() {
    let shop = Shop::open(settings(), Shelf::new()).await;
    let mut events = open(&format!("{}/real_time_response", shop.generator)).await;
    next(&mut events).await;
    let begun = std::time::Instant::now();
    next(&mut events).await;
    next(&mut events).await;
    let took = begun.elapsed().as_secs_f64();
    assert!((1.5..4.0).contains(&took), "two events took {took} s");
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_open_responses_at_once() {
    let shop = Shop::open(settings(), Shelf::new()).await;
    let mut events = open(&format!("{}/real_time_response", shop.generator)).await;
    next(&mut events).await;
    let begun = std::time::Instant::now();
    shop.close().await;
    assert!(begun.elapsed() < Duration::from_secs(2));
    let rest: Vec<_> = events.collect().await;
    assert!(rest.len() <= 1, "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_makes_no_sense_is_refused_with_its_reason() {
    let shop = Shop::open(settings(), Shelf::new()).await;
    for (path, query) in [
        (format!("{}/real_time_response", shop.generator), "rate=0"),
        (format!("{}/transactions", shop.third_party), "speed=1"),
    ] {
        let answer = client()
            .get(format!("{path}?{query}"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 400);
        let refusal: Value = answer.json().await.unwrap();
        assert!(refusal["error"].as_str().unwrap().contains(&query[..4]));
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_says_how_it_stands_and_documents_itself() {
    let shop = Shop::open(settings(), Shelf::new()).await;
    for (address, service, path) in [
        (&shop.generator, "generator", "/real_time_response"),
        (&shop.third_party, "third_party", "/transactions"),
    ] {
        let asked = async |path: &str| {
            let answer = client()
                .get(format!("{address}{path}"))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 200, "{path}");
            answer.text().await.unwrap()
        };
        let status: Value = serde_json::from_str(&asked("/").await).unwrap();
        assert_eq!(
            (&status["service"], &status["status"], &status["topic"]),
            (&service.into(), &"ok".into(), &"transactions_topic".into())
        );
        let api: Value = serde_json::from_str(&asked("/openapi.json").await).unwrap();
        assert_eq!(api["openapi"], "3.1.0");
        let events = &api["paths"][path]["get"]["responses"]["200"]["content"];
        assert!(events["text/event-stream"]["schema"].is_object(), "{api}");
        let order = &api["components"]["schemas"]["Order"]["properties"];
        for field in ["transaction_id", "product_details", "shipping_address"] {
            assert!(order[field].is_object(), "{field}");
        }
        let page = asked("/docs").await;
        assert!(page.contains("swagger-ui"), "{page}");
        assert!(!page.contains("https://"), "nothing comes from elsewhere");
        assert!(
            asked("/docs/swagger-initializer.js")
                .await
                .contains("/openapi.json")
        );
    }
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_allowed_origins_may_read() {
    let allowed = |origins: &[&str]| EcommerceSettings {
        cors: origins.iter().map(|&origin| origin.to_owned()).collect(),
        ..settings()
    };
    for (origins, origin, expected) in [
        (&[][..], "http://127.0.0.1:5173", None),
        (
            &["http://127.0.0.1:5173"],
            "http://127.0.0.1:5173",
            Some("http://127.0.0.1:5173"),
        ),
        (&["http://127.0.0.1:5173"], "http://evil.example", None),
        (&["*"], "http://evil.example", Some("*")),
    ] {
        let shop = Shop::open(allowed(origins), Shelf::new()).await;
        let asked = client().get(&shop.generator).header("origin", origin);
        let answer = asked.send().await.unwrap();
        let header = answer.headers().get("access-control-allow-origin");
        let header = header.map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header.as_deref(), expected, "{origins:?}");
        shop.close().await;
    }
    for wrong in ["127.0.0.1:5173", "http://127.0.0.1:5173/", "null", "a b"] {
        let listeners = Listeners {
            generator: listener().await,
            third_party: listener().await,
        };
        let cancel = CancellationToken::new();
        let served =
            ecommerce::serve_with(listeners, allowed(&[wrong]), Shelf::new(), &cancel).await;
        let error = served.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{wrong}");
        assert!(error.to_string().contains(wrong), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_counts_until_the_end_and_goes_on_after_a_restart() {
    let shelf = Shelf::new();
    let shop = Shop::open(settings(), shelf.clone()).await;
    let ask = Ask {
        rate: Some("200".parse().unwrap()),
        count: Some(400),
        seed: Some(5),
        bad_percent: Some(10.0),
        from: 0,
    };
    let address = shop.generator.strip_prefix("http://").unwrap().to_owned();
    let (told, mut tells) = mpsc::unbounded_channel();
    let url = format!("{}/real_time_response", shop.generator);
    let following = tokio::spawn(async move {
        let cancel = CancellationToken::new();
        let progress = move |followed: &ecommerce::Followed| drop(told.send(followed.documents));
        let follower = Follower::new().unwrap();
        follower.follow(&url, ask, &cancel, progress).await
    });
    while tells.recv().await.unwrap() < 100 {}
    shop.close().await;
    // the same service again, at the same place
    let listeners = Listeners {
        generator: TcpListener::bind(&address).await.unwrap(),
        third_party: listener().await,
    };
    let cancel = CancellationToken::new();
    let (token, outbox) = (cancel.clone(), shelf.clone());
    let served =
        tokio::spawn(
            async move { ecommerce::serve_with(listeners, settings(), outbox, &token).await },
        );
    let followed = following.await.unwrap().unwrap();
    assert_eq!((followed.documents, followed.problems), (400, 0));
    assert!(followed.reopened >= 1, "{followed:?}");
    let keys: HashSet<_> = shelf.kept().into_iter().map(|kept| kept.key).collect();
    assert_eq!(
        keys.len(),
        400,
        "each document of the sequence, none beyond"
    );
    cancel.cancel();
    served.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_without_a_service_says_what_to_do() {
    let url = format!("{}/real_time_response", url(&listener().await));
    let cancel = CancellationToken::new();
    let follower = Follower::new().unwrap();
    let error = follower
        .follow(&url, Ask::default(), &cancel, |_| {})
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("factmill serve"), "{error}");
}
