use std::fs;
use std::path::Path;

use factmill_project::job_schema;

/// Editors complete `jobs/*.yml` with the file that this test holds to the types;
/// `cargo xtask schema` writes it anew.
#[test]
fn job_schema_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas/job.schema.json");
    let schema = format!("{:#}\n", job_schema());
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, &schema).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == schema,
        "docs/schemas/job.schema.json is not what the types say: run `cargo xtask schema`"
    );
}
