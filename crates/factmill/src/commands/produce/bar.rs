//! How far a run is, for a person: a bar on a terminal, nothing elsewhere.

use std::time::Duration;

use factmill_produce::Progress;
use factmill_produce::payments::PaymentsMeter;
use indicatif::{ProgressBar, ProgressStyle};

use super::rate;
use crate::printer::{Printer, grouped};

/// How often it is drawn.
const REDRAW: Duration = Duration::from_millis(250);

/// The bar; clones draw the same one.
#[derive(Debug, Clone)]
pub(super) struct Bar {
    bar: ProgressBar,
    /// What is read, where the end of a file is the end of the run.
    file: Option<PaymentsMeter>,
}

impl Bar {
    /// Of events, up to `count` where that is known.
    pub(super) fn of_events(printer: &Printer, count: Option<u64>) -> Self {
        let (bar, template) = match count {
            Some(count) => (
                ProgressBar::new(count),
                "{bar:30} {human_pos}/{human_len} events  {msg}  {eta} left",
            ),
            None => (
                ProgressBar::new_spinner(),
                "{spinner} {human_pos} events  {msg}  {elapsed}",
            ),
        };
        Self::drawn(printer, bar, template, None)
    }

    /// Of the bytes of a file.
    pub(super) fn of_file(printer: &Printer, file: PaymentsMeter) -> Self {
        let bar = ProgressBar::new(file.bytes().1);
        let template = "{bar:30} {binary_bytes}/{binary_total_bytes}  {msg}  {eta} left";
        Self::drawn(printer, bar, template, Some(file))
    }

    fn drawn(
        printer: &Printer,
        bar: ProgressBar,
        template: &str,
        file: Option<PaymentsMeter>,
    ) -> Self {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let bar = printer.live().add(bar);
        bar.enable_steady_tick(REDRAW);
        Self { bar, file }
    }

    /// Shows what was acknowledged.
    pub(super) fn show(&self, progress: &Progress) {
        let seconds = progress.elapsed.as_secs_f64();
        let pace = format!("{}/s", grouped(rate(progress.acknowledged, seconds)));
        if self.file.is_some() {
            self.show_file();
            let events = grouped(progress.acknowledged);
            self.bar.set_message(format!("{events} events  {pace}"));
        } else {
            self.bar.set_position(progress.acknowledged);
            self.bar.set_message(pace);
        }
    }

    /// Shows how much of the file is read while `work` reads it.
    pub(super) async fn beside<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut again = tokio::time::interval(REDRAW);
        loop {
            tokio::select! {
                done = &mut work => {
                    self.show_file();
                    return done;
                }
                _ = again.tick() => self.show_file(),
            }
        }
    }

    fn show_file(&self) {
        if let Some((read, all)) = self.file.as_ref().map(PaymentsMeter::bytes) {
            self.bar.set_length(all);
            self.bar.set_position(read);
        }
    }

    /// Removes it.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use factmill_produce::payments::{PaymentsSettings, fit};

    use super::*;
    use crate::printer::Color;

    #[tokio::test]
    async fn a_file_is_shown_by_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.csv");
        let text = "Description,Amount\ncoffee,3\ntea,2\n";
        std::fs::write(&input, text).unwrap();
        let settings = PaymentsSettings::new(&input, "no-scaler.json");
        let meter = PaymentsMeter::default();
        let bar = Bar::of_file(&Printer::new(Color::Never), meter.clone());
        let scaler = folder.path().join("scaler.json");
        bar.beside(async { fit(&settings, &scaler, None, &meter) })
            .await
            .unwrap();
        let all = text.len() as u64;
        assert_eq!((bar.bar.position(), bar.bar.length()), (all, Some(all)));
        bar.show(&Progress {
            acknowledged: 2,
            bad: 0,
            skipped: 0,
            bytes: 90,
            elapsed: Duration::from_secs(1),
        });
        assert_eq!(bar.bar.position(), all, "events are told beside it");
        assert_eq!(bar.bar.message(), "2 events  2/s");
        bar.finish();
    }
}
