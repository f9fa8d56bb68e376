//! MongoDB, for raw documents.

use std::time::Duration;

use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;

use super::report::Report;
use crate::config::Mongo;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(8);

/// Checks the server.
pub(super) async fn examine(mongo: &Mongo) -> Report {
    let mut report = Report::of("mongo");
    let mut options = match ClientOptions::parse(mongo.url.expose()).await {
        Ok(options) => options,
        Err(error) => {
            // The error quotes parts of the URL, which may be the password.
            let found = format!("the URL is not understood ({:?})", kind(&error));
            report.failed(
                "url",
                found,
                "write mongodb://user@host:27017/?replicaSet=…, characters like @ escaped as %40",
            );
            return report;
        }
    };
    options.server_selection_timeout = Some(PATIENCE);
    options.connect_timeout = Some(PATIENCE);
    let writes = options.write_concern.clone();
    let asked = async {
        let database = mongodb::Client::with_options(options)?.database("admin");
        let hello = database.run_command(doc! { "hello": 1 }).await?;
        // Greeting needs no login; this does.
        let ping = database.run_command(doc! { "connectionStatus": 1 }).await;
        Ok::<_, mongodb::error::Error>((hello, ping))
    };
    let (hello, status) = match asked.await {
        Ok(answers) => answers,
        Err(error) => {
            let found = format!("{}: {:?}", mongo.url, kind(&error));
            report.unreachable(
                "server",
                found,
                "start it, or correct `mongo.url` of the profile; or run without raw documents: --set raw_store.enabled=false",
            );
            return report;
        }
    };
    report.ok(
        "server",
        format!(
            "{}, wire version {}",
            mongo.url,
            number(&hello, "maxWireVersion")
        ),
    );
    match status {
        Ok(_) => report.ok("login", "accepted"),
        Err(error) => {
            let found = format!("{:?}", kind(&error));
            report.failed(
                "login",
                found,
                "check the user and `password_file` of `mongo` in the profile",
            );
        }
    }
    match hello.get_str("setName") {
        Ok(set) => report.ok("replica set", set),
        Err(_) => report.warning(
            "replica set",
            "none: a write that was confirmed can be lost with this one server",
            "run it as a replica set; one member is enough for one machine: rs.initiate()",
        ),
    }
    if writes.is_some_and(|concern| concern.w.is_some()) {
        report.warning(
            "write concern",
            "the URL asks for one",
            "leave `w` out of the URL: raw documents are written with majority",
        );
    }
    report
}

fn number(document: &Document, name: &str) -> i32 {
    document.get_i32(name).unwrap_or(0)
}

/// The kind of an error, without its text.
fn kind(error: &mongodb::error::Error) -> &'static str {
    use mongodb::error::ErrorKind;
    match &*error.kind {
        ErrorKind::InvalidArgument { .. } => "invalid argument",
        ErrorKind::Authentication { .. } => "the login was refused",
        ErrorKind::DnsResolve { .. } => "the name is not known",
        ErrorKind::ServerSelection { .. } => "no server answers",
        ErrorKind::InvalidTlsConfig { .. } => "the TLS settings do not work",
        ErrorKind::Command(_) => "the server refused",
        ErrorKind::Io(_) => "the connection failed",
        _ => "the server did not answer as expected",
    }
}
