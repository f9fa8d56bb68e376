//! Runs that go on where an earlier one ended, and events that are broken on purpose.

use super::*;

const COUNT: u64 = 25;

/// Rows 1 to 25; 5, 10, 15, 20 and 25 are refused.
fn csv() -> String {
    (1..=COUNT)
        .map(|row| {
            let amount = if row % 5 == 0 { "?" } else { "1" };
            format!("payment,{amount}\n")
        })
        .fold("Description,Amount\n".to_owned(), |csv, row| csv + &row)
}

fn settings(folder: &Folder) -> PaymentsSettings {
    PaymentsSettings {
        chunk_size: 7.try_into().unwrap(),
        state: Some(folder.path("state.json")),
        ..folder.settings()
    }
}

fn open(folder: &Folder) -> PaymentsSource {
    PaymentsSource::open(settings(folder)).unwrap()
}

#[test]
fn a_run_goes_on_after_the_last_row_that_is_acknowledged() {
    let folder = Folder::with(csv());
    let mut first = open(&folder);
    assert_eq!(first.resumes_after(), 0);
    (0..12).for_each(|_| assert!(next(&mut first).is_some()));
    first.acknowledged(4).unwrap();
    first.acknowledged(9).unwrap();
    drop(first);
    // Nine events are rows 1 to 11 without 5 and 10.
    let mut second = open(&folder);
    assert_eq!((second.resumes_after(), second.is_finished()), (11, false));
    let rows = rows(&events(&mut second));
    assert_eq!(rows, [12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24]);
    assert_eq!(
        second.meter().report().rows,
        14,
        "rows passed over are not counted"
    );
    second.acknowledged(11).unwrap();
    let mut third = open(&folder);
    assert_eq!((third.resumes_after(), third.is_finished()), (25, true));
    assert!(next(&mut third).is_none());
    third.acknowledged(0).unwrap();
    assert!(
        open(&folder).is_finished(),
        "a run without events changes nothing"
    );
}

#[test]
fn a_run_without_acknowledgements_begins_again() {
    let folder = Folder::with(csv());
    let mut first = open(&folder);
    assert_eq!(events(&mut first).len(), 20);
    first.acknowledged(0).unwrap();
    assert_eq!(open(&folder).resumes_after(), 0);
}

#[test]
fn another_content_is_another_file() {
    let folder = Folder::with(csv());
    let mut first = open(&folder);
    let count = events(&mut first).len() as u64;
    first.acknowledged(count).unwrap();
    assert!(open(&folder).is_finished());
    folder.write("in.csv", csv() + "more,1\n");
    assert_eq!(open(&folder).resumes_after(), 0);
}

#[test]
fn a_finished_file_is_sent_again_when_asked_for() {
    let folder = Folder::with(csv());
    let mut first = open(&folder);
    let count = events(&mut first).len() as u64;
    first.acknowledged(count).unwrap();
    let again = PaymentsSettings {
        again: true,
        ..settings(&folder)
    };
    assert_eq!(events(&mut PaymentsSource::open(again).unwrap()).len(), 20);
}

#[test]
fn a_state_that_is_no_state_is_told() {
    let folder = Folder::with(csv());
    folder.write("state.json", "{");
    let error = PaymentsSource::open(settings(&folder)).unwrap_err();
    assert!(matches!(error, PaymentsError::State { .. }));
}

#[test]
fn the_same_seed_breaks_the_same_events_from_any_place() {
    let folder = Folder::with("Description,Amount\n".to_owned() + &"coffee,1\n".repeat(400));
    let bad = |seed, state: Option<PathBuf>| {
        let settings = PaymentsSettings {
            bad_percent: 25.0,
            seed,
            state,
            ..folder.settings()
        };
        let mut source = PaymentsSource::open(settings).unwrap();
        let all: Vec<_> = std::iter::from_fn(|| next(&mut source))
            .map(|event| (event.is_bad(), event.payload().map(<[u8]>::to_vec)))
            .collect();
        (source, all)
    };
    let (_, whole) = bad(1, None);
    assert_eq!(whole.len(), 400);
    let broken = whole.iter().filter(|(is_bad, _)| *is_bad).count();
    assert!((60..140).contains(&broken), "{broken}");
    assert!(
        whole
            .iter()
            .any(|(is_bad, payload)| *is_bad && payload.is_none())
    );
    assert_ne!(bad(2, None).1, whole);
    let state = folder.path("state.json");
    let (mut begun, _) = bad(1, Some(state.clone()));
    begun.acknowledged(150).unwrap();
    assert_eq!(bad(1, Some(state)).1, whole[150..]);
}
