use std::fs;
use std::path::Path;

use factmill_testkit::grafana::Dashboard;

/// Panels of the pipeline that show how things are now, whatever range is chosen.
const NOW: [&str; 5] = [
    "Lag",
    "Since the last epoch",
    "Positions",
    "Dead letter",
    "Tables",
];

/// The repository's `grafana/` folder.
fn grafana() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../grafana")
}

#[test]
fn every_dashboard_explains_its_panels_and_asks_the_provisioned_source() {
    let sources =
        fs::read_to_string(grafana().join("provisioning/datasources/warehouse.yml")).unwrap();
    let mut dashboards = 0;
    for file in fs::read_dir(grafana().join("dashboards")).unwrap() {
        let dashboard = Dashboard::read(&file.unwrap().path()).unwrap();
        assert!(
            !dashboard.queries.is_empty(),
            "{} has no panels",
            dashboard.title
        );
        for query in &dashboard.queries {
            let panel = format!("{}: {}", dashboard.title, query.panel);
            assert!(!query.description.is_empty(), "{panel} has no description");
            assert!(
                sources.contains(&format!("uid: {}\n", query.datasource)),
                "{panel} asks {}, which is not provisioned",
                query.datasource
            );
            let sql = dashboard.sql(query).unwrap();
            assert!(!sql.contains("$__"), "{panel} keeps a macro: {sql}");
            let (from, to) = (dashboard.range.from, dashboard.range.to);
            let day = |moment: chrono::DateTime<chrono::Utc>| moment.format("%Y-%m-%d").to_string();
            let now = dashboard.title == "Pipeline" && NOW.contains(&query.panel.as_str());
            assert_eq!(
                sql.contains(&day(from)) || sql.contains(&day(to)),
                !now,
                "{panel} follows the time range, or does not, against what is said here: {sql}"
            );
        }
        dashboards += 1;
    }
    assert!(dashboards > 0);
}
