use std::fs;
use std::path::Path;

use factmill_testkit::grafana::Dashboard;
use serde_json::Value;

/// The panel of a job's dashboard that shows how many of its records are set aside now: those of January
/// 2024 may have been set aside today.
const SET_ASIDE: &str = "Dead letters";

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
            let now = match dashboard.title.as_str() {
                "Pipeline" => NOW.contains(&query.panel.as_str()),
                _ => query.panel == SET_ASIDE,
            };
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

#[test]
fn every_dashboard_has_variables_units_thresholds_and_a_link_to_dead_letters() {
    for file in fs::read_dir(grafana().join("dashboards")).unwrap() {
        let file = file.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let title = dashboard["title"].as_str().unwrap();
        let panels = dashboard["panels"].as_array().unwrap();

        let variables = dashboard["templating"]["list"].as_array().unwrap();
        assert!(!variables.is_empty(), "{title} has no template variable");
        for variable in variables {
            let name = variable["name"].as_str().unwrap();
            let quoted = format!("${{{name}:sqlstring}}");
            let asks = |panel: &Value| panel["targets"].to_string().contains(&quoted);
            assert!(
                panels.iter().any(asks),
                "{title} asks nothing with {quoted}"
            );
        }
        for panel in panels {
            let panel_title = &panel["title"];
            let config = &panel["fieldConfig"];
            let has_unit = config["defaults"]["unit"].is_string()
                || config["overrides"].to_string().contains("\"id\":\"unit\"");
            // a letter is told in texts
            let of_texts = panel_title == "Dead letter" || panel_title == "Newest dead letters";
            assert!(has_unit || of_texts, "{title}: {panel_title} has no unit");
            if panel["type"] == "stat" {
                let steps = &config["defaults"]["thresholds"]["steps"];
                assert!(steps.is_array(), "{title}: {panel_title} has no thresholds");
            }
        }
        let judged = panels.iter().any(|panel| {
            let steps = &panel["fieldConfig"]["defaults"]["thresholds"]["steps"];
            steps.as_array().is_some_and(|steps| steps.len() > 1)
        });
        assert!(judged, "{title} judges nothing by a threshold");
        let link = "/d/pipeline/pipeline?";
        let linked = panels.iter().any(|panel| {
            let config = panel["fieldConfig"].to_string();
            config.contains(link) && config.contains("var-dead_letter=${__data.fields.")
        });
        assert!(linked, "{title} has no link to a dead letter");
    }
}
