use factmill_testkit::Postgres;

#[tokio::test]
async fn databases_are_apart() {
    let server = Postgres::shared().await.unwrap();
    let (one, other) = (
        server.create_database().await.unwrap(),
        server.create_database().await.unwrap(),
    );
    let client = one.connect().await.unwrap();
    client
        .batch_execute("create table t (a int)")
        .await
        .unwrap();
    let found = other
        .connect()
        .await
        .unwrap()
        .query_one("select to_regclass('t') is null", &[])
        .await
        .unwrap();
    assert!(found.get::<_, bool>(0));
}

#[tokio::test]
async fn a_committed_row_survives_a_kill() {
    let server = Postgres::start_durable().await.unwrap();
    if !server.restartable() {
        println!("skipped: the server is not ours to kill");
        return;
    }
    let database = server.create_database().await.unwrap();
    let client = database.connect().await.unwrap();
    client
        .batch_execute("create table t (a int); insert into t values (7)")
        .await
        .unwrap();
    client
        .batch_execute("begin; insert into t values (8)")
        .await
        .unwrap();
    server.kill().unwrap();
    assert!(client.query("select 1", &[]).await.is_err());
    assert!(database.connect().await.is_err());
    server.restart().await.unwrap();
    let rows = database
        .connect()
        .await
        .unwrap()
        .query("select a from t", &[])
        .await
        .unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row.get::<_, i32>(0))
            .collect::<Vec<_>>(),
        [7]
    );
}

#[tokio::test]
async fn a_halted_server_answers_when_it_goes_on() {
    let server = Postgres::start_with(&[]).await.unwrap();
    let client = server.connect().await.unwrap();
    server.stop_process().unwrap();
    let query = client.query_one("select 1", &[]);
    tokio::pin!(query);
    let halted = tokio::time::timeout(std::time::Duration::from_millis(300), query.as_mut()).await;
    assert!(halted.is_err(), "a halted server answered");
    server.continue_process().unwrap();
    assert_eq!(query.await.unwrap().get::<_, i32>(0), 1);
}
