//! Whole files: their events, their refused rows, their errors, and what else is made of them.

use std::num::NonZeroUsize;

use factmill_core::error::ErrorKind;
use factmill_core::source::Classified;
use serde_json::json;

use super::*;

#[test]
fn an_event_has_its_fields_and_its_key() {
    let folder = Folder::with("Id,Description,Note,Amount\n7,Coffee x2,,20.50\n8,Tea,\"a,b\",\n");
    let mut source = folder.open();
    let hash = source.content_hash().to_owned();
    let event = next(&mut source).unwrap();
    assert_eq!(event.key(), Some(format!("{}:1", &hash[..32]).as_bytes()));
    let payload: Value = serde_json::from_slice(event.payload().unwrap()).unwrap();
    let wanted = json!({
        "description": "coffee x 2",
        "amount": 0.7625,
        "amount_raw": "20.50",
        "row_number": 1,
        "file": hash,
        "out_of_range": false,
    });
    assert_eq!(payload, wanted);
    let tea = events(&mut source).pop().unwrap();
    assert_eq!(
        (&tea["amount"], &tea["amount_raw"]),
        (&Value::Null, &Value::Null)
    );
}

#[test]
fn the_file_is_named_by_what_sha256sum_prints() {
    let folder = Folder::with("Description,Amount\n");
    assert_eq!(
        folder.open().content_hash(),
        "e5e6514244da2d9afe48a9054ad73eb6b0a181074081f085d5c57c3203f7f7c6"
    );
}

#[test]
fn amounts_keep_their_digits_and_are_flagged_beyond_the_range() {
    let csv =
        "Amount,Description\n0.1000000000000000055511151231,a1\n -30 ,b1\n1e2,c1\n+5.,d1\n.5,e1\n";
    let mut source = Folder::with(csv).open();
    let found: Vec<_> = events(&mut source)
        .into_iter()
        .map(|event| {
            (
                event["amount_raw"].as_str().unwrap().to_owned(),
                event["amount"].as_f64().unwrap(),
                event["out_of_range"].as_bool().unwrap(),
            )
        })
        .collect();
    let wanted = [
        ("0.1000000000000000055511151231", 0.2525, false),
        ("-30", -0.5, true),
        ("1e2", 2.75, true),
        ("+5.", 0.375, false),
        (".5", 0.2625, false),
    ];
    assert_eq!(
        found,
        wanted.map(|(raw, scaled, flag)| (raw.to_owned(), scaled, flag))
    );
}

const BAD_ROWS: &[u8] = b"Description,Amount\n\
    good,1\n\
    ,2\n\
    NULL,3\n\
    \"n/a\",4\n\
    good,twelve\n\
    good,-Infinity\n\
    good,1e999\n\
    good,NAN\n\
    caf\xE9,5\n\
    too,many,6\n\
    \n\
    \"two\nlines\",7\n\
    good,N/A\n\
    good\n\
    NONE,8\n\
    \"never closed,9\n\
    last,10";

#[test]
fn a_bad_row_is_told_with_its_line_and_the_others_go_on() {
    let folder = Folder::with(BAD_ROWS);
    let mut source = folder.open();
    let meter = source.meter();
    assert_eq!(rows(&events(&mut source)), [1, 11, 12, 13, 14, 16]);
    let report = meter.report();
    let refused: Vec<_> = report
        .first_refused
        .iter()
        .map(|refused| (refused.row, refused.line, refused.reason))
        .collect();
    let wanted = [
        (2, 3, Refusal::NoDescription),
        (3, 4, Refusal::NoDescription),
        (4, 5, Refusal::NoDescription),
        (5, 6, Refusal::UnparsableAmount),
        (6, 7, Refusal::InfiniteAmount),
        (7, 8, Refusal::InfiniteAmount),
        (8, 9, Refusal::UnparsableAmount),
        (9, 10, Refusal::NotUtf8),
        (10, 11, Refusal::TooManyFields),
        (15, 18, Refusal::Endless),
    ];
    assert_eq!(refused, wanted);
    assert_eq!((report.rows, report.refused_in_all()), (16, 10));
    assert_eq!(report.refused(Refusal::NoDescription), 3);
    assert_eq!(report.bytes_read, BAD_ROWS.len() as u64);
    assert_eq!(
        report.first_refused[3].to_string(),
        "line 6 (row 5) is left out: its amount is not a number: \"twelve\""
    );
    assert!(
        report
            .to_string()
            .starts_with("16 rows, 10 refused (3: it has no description; ")
    );
}

#[test]
fn chunks_and_tasks_change_nothing() {
    let folder = Folder::with(BAD_ROWS);
    let alone = events(&mut folder.open());
    for (chunk_size, tasks) in [(1, 1), (1, 7), (2, 3), (3, 2), (1000, 1)] {
        let settings = PaymentsSettings {
            chunk_size: NonZeroUsize::new(chunk_size).unwrap(),
            tasks: NonZeroUsize::new(tasks).unwrap(),
            ..folder.settings()
        };
        assert_eq!(events(&mut PaymentsSource::open(settings).unwrap()), alone);
    }
}

#[test]
fn what_is_missing_has_an_error_of_its_own() {
    let folder = Folder::with("description,Amount\n1,2\n");
    let refused = |settings| PaymentsSource::open(settings).unwrap_err();
    let error = refused(folder.settings());
    assert!(matches!(
        error,
        PaymentsError::MissingColumn {
            column: "Description",
            ..
        }
    ));
    assert!(
        error.to_string().contains("`description`, `Amount`"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Configuration);
    folder.write("in.csv", "Description\n");
    assert!(matches!(
        refused(folder.settings()),
        PaymentsError::MissingColumn {
            column: "Amount",
            ..
        }
    ));
    folder.write("in.csv", "\n\n");
    assert!(matches!(
        refused(folder.settings()),
        PaymentsError::NoHeader { .. }
    ));
    let missing = PaymentsSettings {
        input: folder.path("missing.csv"),
        ..folder.settings()
    };
    assert!(matches!(refused(missing), PaymentsError::Input { .. }));
    folder.write("in.csv", "Description,Amount\n");
    for scaler in [
        "",
        "{}",
        "{\"data_min\": 2, \"data_max\": 1}",
        "{\"data_min\": \"a\"}",
    ] {
        folder.write("scaler.json", scaler);
        assert!(
            matches!(refused(folder.settings()), PaymentsError::Scaler { .. }),
            "{scaler}"
        );
    }
    let folder = Folder::with("Description,Amount\n");
    let percent = PaymentsSettings {
        bad_percent: 101.0,
        ..folder.settings()
    };
    assert!(matches!(refused(percent), PaymentsError::BadPercent(_)));
}

#[test]
fn a_file_that_changes_meanwhile_is_told() {
    let folder = Folder::with("Description,Amount\n".to_owned() + &"coffee,1\n".repeat(100_000));
    let mut source = folder.open();
    assert!(next(&mut source).is_some());
    folder.write(
        "in.csv",
        "Description,Amount\n".to_owned() + &"coffee,2\n".repeat(100_000),
    );
    let mut event = Event::default();
    let error = loop {
        event.clear();
        match source.next(&mut event) {
            Ok(Next::Event) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("was changed"), "{error}");
}

#[test]
fn cleaned_rows_are_written_as_csv() {
    let folder = Folder::with(BAD_ROWS);
    let output = folder.path("out.csv");
    let meter = PaymentsMeter::default();
    let report = clean_file(&folder.settings(), &output, None, &meter).unwrap();
    assert_eq!((report.rows, report.refused_in_all()), (16, 10));
    let all = BAD_ROWS.len() as u64;
    assert_eq!(meter.bytes(), (all, all), "what a bar is drawn of");
    assert_eq!(
        folder.read("out.csv"),
        "row,description,amount,amount_raw\n\
         1,good,0.275,1\n11,two lines,0.425,7\n12,good,,\n13,good,,\n14,none,0.45,8\n16,last,0.5,10\n"
    );
    let same = clean_file(
        &folder.settings(),
        &folder.path("in.csv"),
        None,
        &PaymentsMeter::default(),
    );
    assert!(matches!(same, Err(PaymentsError::OutputIsInput { .. })));
    assert_eq!(
        std::fs::read(folder.path("in.csv")).unwrap(),
        BAD_ROWS,
        "the input is as it was"
    );
}

#[test]
fn so_many_rows_as_were_asked_for_are_cleaned_and_fitted() {
    let folder = Folder::with("Description,Amount\na,3\n,4\nb,5\nc,600\n");
    let output = folder.path("out.csv");
    for (count, chunk_size, rows) in [(3, 1000, 3), (3, 2, 3), (0, 1000, 0), (9, 2, 4)] {
        let meter = PaymentsMeter::default();
        let settings = PaymentsSettings {
            chunk_size: NonZeroUsize::new(chunk_size).unwrap(),
            ..folder.settings()
        };
        let report = clean_file(&settings, &output, Some(count), &meter).unwrap();
        assert_eq!(report.rows, rows, "{count} by {chunk_size}");
        let written = folder.read("out.csv").lines().count() as u64 - 1;
        assert_eq!(written, rows - report.refused_in_all());
    }
    let meter = PaymentsMeter::default();
    let fitted = fit(&folder.settings(), &folder.path("s.json"), Some(3), &meter);
    assert_eq!(fitted.unwrap().0.data_max(), 5.0);
}

#[test]
fn a_scaler_is_fitted_to_the_rows_that_are_payments() {
    let folder = Folder::with("Description,Amount\na1,3\n,-900\nb1,-2.5\nc1,inf\nd1,\ne1,40\n");
    let fitted = folder.path("fitted.json");
    let new = PaymentsMeter::default;
    let (scaler, report) = fit(&folder.settings(), &fitted, None, &new()).unwrap();
    assert_eq!((scaler.data_min(), scaler.data_max()), (-2.5, 40.0));
    assert_eq!((report.rows, report.refused_in_all()), (6, 2));
    assert_eq!(
        folder.read("fitted.json"),
        "{\"data_min\":-2.5,\"data_max\":40.0}\n"
    );
    assert_eq!(Scaler::load(&folder.path("fitted.json")).unwrap(), scaler);
    folder.write("in.csv", "Description,Amount\na1,\n");
    let nothing = fit(&folder.settings(), &fitted, None, &new());
    assert!(matches!(nothing, Err(PaymentsError::NothingToFit { .. })));
}

#[test]
fn the_sample_has_its_scaler_and_some_bad_rows() {
    let (input, scaler) = sample();
    let mut source = PaymentsSource::open(PaymentsSettings::new(&input, &scaler)).unwrap();
    let meter = source.meter();
    let events = events(&mut source);
    let report = meter.report();
    assert!((2000..5000).contains(&events.len()));
    assert_eq!(events.len() as u64, report.rows - report.refused_in_all());
    assert!((1..50).contains(&report.refused_in_all()), "{report}");
    assert!(events.iter().all(|event| event["out_of_range"] == false));
    let folder = Folder::new();
    let settings = PaymentsSettings::new(&input, &scaler);
    let (fitted, _) = fit(
        &settings,
        &folder.path("fitted.json"),
        None,
        &PaymentsMeter::default(),
    )
    .unwrap();
    assert_eq!(fitted, Scaler::load(&scaler).unwrap());
}
