//! Whole files, as users write them and get them wrong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed step is a failed test"
)]

use super::*;

const ALL: Needs = Needs {
    kafka: true,
    mongo: true,
    schema_registry: true,
    warehouse: true,
    lake: true,
    databases: BTreeSet::new(),
};

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write(FILE, text);
        folder
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    fn load(
        &self,
        profile: &str,
        needs: &Needs,
        variables: &[(&str, &str)],
    ) -> Result<Profile, Diagnostics> {
        let process = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        let environment = Environment::over(self.0.path(), process).unwrap();
        Profile::load(self.0.path(), profile, needs, &environment)
    }

    fn connections(&self, needs: &Needs) -> Connections {
        match self.load("local", needs, &[]).unwrap() {
            Profile::Servers(connections) => *connections,
            Profile::Embedded { directory, .. } => panic!("embedded in {}", directory.display()),
        }
    }

    fn refused(&self, profile: &str, needs: &Needs) -> String {
        self.load(profile, needs, &[]).unwrap_err().to_string()
    }
}

const SHIPPED: &str = include_str!("../../../../factmill.yml");

#[test]
fn without_a_file_there_is_the_embedded_profile_only() {
    let folder = Folder(tempfile::tempdir().unwrap());
    let variables = [("DATABASE_URL", "postgres://elsewhere/db")];
    let Profile::Embedded { directory, .. } = folder.load(EMBEDDED, &ALL, &variables).unwrap()
    else {
        panic!("nothing but the profile leaves embedded");
    };
    assert!(directory.ends_with(".factmill"));
    assert!(
        folder
            .refused("local", &ALL)
            .contains("profile `local` needs a factmill.yml")
    );
}

#[test]
fn the_shipped_file_is_embedded_unless_asked_and_then_names_what_is_missing() {
    let folder = Folder::with(SHIPPED);
    assert!(matches!(
        folder.load(EMBEDDED, &ALL, &[]).unwrap(),
        Profile::Embedded { .. }
    ));
    let refused = folder.refused("local", &ALL);
    assert!(refused.contains("`MONGO_URL` is not set"), "{refused}");
    assert!(refused.contains("`DATABASE_URL` is not set"), "{refused}");
    let registry = "`SCHEMA_REGISTRY_URL` is not set";
    assert!(refused.contains(registry), "{refused}");
    let variables = [("DATABASE_URL", "postgres://me@db/bank")];
    let needs = Needs {
        mongo: false,
        schema_registry: false,
        ..ALL
    };
    let Profile::Servers(connections) = folder.load("local", &needs, &variables).unwrap() else {
        panic!("local has servers");
    };
    assert!(
        connections.mongo.is_none(),
        "what is not used needs no variable"
    );
    assert_eq!(connections.kafka.unwrap().brokers, "127.0.0.1:9092");
    assert_eq!(
        connections.warehouse.unwrap().url.expose(),
        "postgres://me@db/bank"
    );
}

#[test]
fn everything_wrong_is_shown_at_once_with_place_and_nearest_name() {
    let folder = Folder::with(
        "profiles:\n  local:\n    kafka: { broker: x }\n    warehouse: { url: \"${DATABASE_URL}\", tls: { mode: verify_full } }\n  prod:\n    lakes: { path: x }\n",
    );
    folder.write(".env", "DATABASE_URI=postgres://x\n");
    let refused = folder.refused("local", &ALL);
    for line in [
        "factmill.yml:3:14: unknown key `broker`",
        "did you mean `brokers`?",
        "missing key `brokers`",
        "factmill.yml:4:23: variable `DATABASE_URL` is not set\n  help: did you mean `DATABASE_URI`?",
        "cannot be `verify_full`\n  help: did you mean `verify-full`?",
        "factmill.yml:6:5: unknown key `lakes`",
    ] {
        assert!(refused.contains(line), "{line}\nin:\n{refused}");
    }
}

#[test]
fn a_wrong_profile_is_answered_with_the_nearest() {
    let refused = Folder::with(SHIPPED).refused("locla", &ALL);
    assert!(
        refused.contains("no profile `locla`\n  help: did you mean `local`?"),
        "{refused}"
    );
}

#[test]
fn a_connection_that_is_needed_and_not_there_is_named() {
    let folder = Folder::with("profiles:\n  local:\n    kafka: { brokers: x }\n");
    let refused = folder.refused("local", &ALL);
    for key in ["mongo", "schema_registry", "warehouse", "lake"] {
        let line =
            format!("factmill.yml:2:3: profile `local` has no `{key}`, which this command uses");
        assert!(refused.contains(&line), "{line}\nin:\n{refused}");
    }
    assert!(
        folder
            .load(
                "local",
                &Needs {
                    kafka: true,
                    ..Needs::default()
                },
                &[]
            )
            .is_ok()
    );
}

#[test]
fn embedded_and_servers_do_not_mix() {
    let folder = Folder::with("profiles:\n  x: { embedded: {}, kafka: { brokers: b } }\n");
    let refused = folder.refused("x", &ALL);
    assert!(
        refused.contains("factmill.yml:2:22: profile `x` is embedded and names `kafka` too"),
        "{refused}"
    );
}

#[test]
fn tls_and_sasl_become_settings_of_librdkafka_and_no_secret_is_shown() {
    let folder = Folder::with(
        "profiles:\n  local:\n    kafka:\n      brokers: b:9093\n      tls: { ca_file: ca.pem, key_file: /key.pem, key_password: hunter3 }\n      sasl: { mechanism: SCRAM-SHA-512, username: me, password_file: pw }\n      properties: { socket.timeout.ms: \"5000\" }\n",
    );
    folder.write("pw", "hunter2\n");
    let kafka = folder
        .connections(&Needs {
            kafka: true,
            ..Needs::default()
        })
        .kafka
        .unwrap();
    let value = |name: &str| kafka.properties[name].expose().to_owned();
    assert_eq!(value("security.protocol"), "sasl_ssl");
    assert_eq!(
        value("ssl.ca.location"),
        folder.0.path().join("ca.pem").to_string_lossy()
    );
    assert_eq!(value("ssl.key.location"), "/key.pem");
    assert_eq!(value("ssl.endpoint.identification.algorithm"), "https");
    assert_eq!(
        (
            value("sasl.mechanism").as_str(),
            value("sasl.password").as_str()
        ),
        ("SCRAM-SHA-512", "hunter2")
    );
    assert_eq!(value("socket.timeout.ms"), "5000");
    let shown = format!("{kafka:?}");
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn passwords_come_from_files_too_and_never_twice() {
    let folder = Folder::with(
        "profiles:\n  local:\n    mongo: { url: \"mongodb://me@m/?replicaSet=rs0\", password_file: pw, tls: { ca_file: /c a.pem } }\n    warehouse: { url: \"postgres://me@db/bank\", password_file: pw, tls: {}, lock_timeout: 5s }\n",
    );
    folder.write("pw", "p@ss\n");
    let needs = Needs {
        mongo: true,
        warehouse: true,
        ..Needs::default()
    };
    let connections = folder.connections(&needs);
    assert_eq!(
        connections.mongo.unwrap().url.expose(),
        "mongodb://me:p%40ss@m/?replicaSet=rs0&tls=true&tlsCAFile=%2Fc%20a.pem"
    );
    let warehouse = connections.warehouse.unwrap();
    assert_eq!(warehouse.url.expose(), "postgres://me:p%40ss@db/bank");
    assert_eq!(warehouse.tls_mode, Some(TlsMode::VerifyFull));
    assert_eq!(
        warehouse.lock_timeout,
        Some(std::time::Duration::from_secs(5))
    );

    let twice = Folder::with(
        "profiles:\n  local:\n    mongo: { url: \"mongodb://m\", password_file: none }\n    warehouse: { url: \"postgres://me@db/bank\", password: a, password_file: b }\n",
    );
    let refused = twice.refused("local", &needs);
    assert!(
        refused.contains("cannot read ") && refused.contains("none"),
        "{refused}"
    );
    assert!(
        refused.contains("`password` and `password_file` are both given"),
        "{refused}"
    );
}

#[test]
fn a_schema_registry_has_one_login_and_shows_none() {
    let needs = Needs {
        schema_registry: true,
        ..Needs::default()
    };
    let with = |settings: &str| {
        let folder = Folder::with(&format!(
            "profiles:\n  local:\n    schema_registry: {{ {settings} }}\n"
        ));
        folder.write("pw", "hunter2\n");
        folder
    };
    let header = |settings: &str| {
        let registry = with(settings).connections(&needs).schema_registry.unwrap();
        let config = registry.config();
        let shown = format!("{registry:?} {config:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let user = config
            .user
            .map(|(user, password)| format!("{user}:{}", password.expose()));
        let token = config
            .headers
            .first()
            .map(|(_, value)| value.expose().to_owned());
        user.or(token)
    };
    let url = "url: \"https://r/apis/ccompat/v7\"";
    assert_eq!(header(url), None);
    let wanted = Some("me:hunter2".to_owned());
    assert_eq!(
        header(&format!("{url}, user: me, password: hunter2, tls: {{}}")),
        wanted
    );
    assert_eq!(
        header(&format!("{url}, user: me, password_file: pw")),
        wanted
    );
    let wanted = Some("Bearer hunter2".to_owned());
    assert_eq!(header(&format!("{url}, token_file: pw")), wanted);
    let tls = with(&format!("{url}, tls: {{ ca_file: ca.pem }}"));
    let registry = tls.connections(&needs).schema_registry.unwrap();
    assert_eq!(registry.ca_file, Some(tls.0.path().join("ca.pem")));

    for (settings, wanted) in [
        ("url: \"r:8081\"", "begins with `https://`"),
        (
            "url: \"https://me:hunter2@r\"",
            "write it as `user` and `password`",
        ),
        (
            "url: \"http://r\", tls: {}",
            "`tls` is for a URL that begins with `https://`",
        ),
        ("url: \"http://r\", user: me", "`user` needs a `password`"),
        (
            "url: \"http://r\", password: hunter2",
            "the password needs a `user`",
        ),
        (
            "url: \"http://r\", user: me, password: hunter2, token: t",
            "keep one",
        ),
    ] {
        let refused = with(settings).refused("local", &needs);
        assert!(refused.contains(wanted), "{wanted}\nin:\n{refused}");
        assert!(!refused.contains("hunter2"), "{refused}");
    }
}

#[test]
fn the_lake_is_a_folder_or_a_bucket() {
    let needs = Needs {
        lake: true,
        ..Needs::default()
    };
    let folder = Folder::with("profiles: { local: { lake: { path: data/lake } } }\n");
    let Some(Lake::Folder(path)) = folder.connections(&needs).lake else {
        panic!("a folder");
    };
    assert_eq!(path, folder.0.path().join("data/lake"));
    let bucket = Folder::with(
        "profiles: { local: { lake: { path: \"s3://b/p\", s3: { endpoint: \"http://m\", secret_access_key: hunter2 } } } }\n",
    );
    let Some(Lake::S3 { url, settings }) = bucket.connections(&needs).lake else {
        panic!("a bucket");
    };
    assert_eq!(url, "s3://b/p");
    assert_eq!(settings["aws_endpoint"].expose(), "http://m");
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(
        Folder::with("profiles: { local: { lake: { path: \"gs://b\" } } }\n")
            .refused("local", &needs)
            .contains("s3://")
    );
}

#[test]
fn the_schema_that_editors_use_is_current() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/factmill.schema.json");
    let schema = schemars::schema_for!(FactmillFile);
    let schema = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        std::fs::write(&file, &schema).unwrap();
    }
    assert!(
        std::fs::read_to_string(&file).is_ok_and(|written| written == schema),
        "docs/schemas/factmill.schema.json is not what the types say: run `cargo xtask schema`"
    );
}

#[test]
fn of_the_databases_only_those_are_looked_at_whose_tables_models_read() {
    let both = "databases: { crm: { url: \"postgres://me@crm/db\", password_file: pw }, other: { url: \"${NOT_SET}\" } }";
    let needs = Needs {
        databases: ["crm".to_owned()].into(),
        ..Needs::default()
    };
    for (servers, name) in [("", "local"), ("embedded: {}, ", "mine")] {
        let folder = Folder::with(&format!("profiles:\n  {name}: {{ {servers}{both} }}\n"));
        folder.write("pw", "hunter2\n");
        let databases = match folder.load(name, &needs, &[]).unwrap() {
            Profile::Servers(connections) => connections.databases,
            Profile::Embedded { databases, .. } => databases,
        };
        assert_eq!(databases.keys().collect::<Vec<_>>(), ["crm"]);
        assert_eq!(
            databases["crm"].url.expose(),
            "postgres://me:hunter2@crm/db"
        );
        assert!(!format!("{databases:?}").contains("hunter2"));
        let none = folder.load(name, &Needs::default(), &[]).unwrap();
        assert!(!format!("{none:?}").contains("crm"), "nobody asked");
        let unknown = Needs {
            databases: ["crn".to_owned()].into(),
            ..Needs::default()
        };
        let refused = folder.refused(name, &unknown);
        assert!(
            refused.contains(&format!(
                "factmill.yml:2:3: profile `{name}` has no database `crn`"
            )),
            "{refused}"
        );
    }
}
