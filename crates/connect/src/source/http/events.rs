//! Server-sent events, as the HTML standard reads them ("interpreting an event stream").

use std::time::Duration;

use super::client::Attempt;
use super::lines::Lines;

/// The fields of the event under construction, and what outlives it.
#[derive(Default)]
pub(super) struct Events {
    data: Vec<u8>,
    has_data: bool,
    event: Option<String>,
    /// The id of this event and of all that follow without one.
    id: Option<String>,
    /// This event named its id itself.
    named: bool,
    /// How long to wait before a reconnect, as the server wishes.
    retry: Option<Duration>,
    begun: bool,
}

/// An event with data.
pub(super) struct Event<'e> {
    pub(super) data: &'e [u8],
    pub(super) event: Option<&'e str>,
    pub(super) id: Option<&'e str>,
    /// The id is its own, not that of an earlier event.
    pub(super) named: bool,
}

impl Events {
    /// The next event with data; `None` at the end, where an event that is not whole is dropped.
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self, lines: &mut Lines) -> Result<Option<Event<'_>>, Attempt> {
        loop {
            let Some(line) = lines.next().await? else {
                return Ok(None);
            };
            let line = lines.text(&line);
            let line = match self.begun {
                false => line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line),
                true => line,
            };
            self.begun = true;
            if line.is_empty() {
                lines.record_ends();
                if std::mem::take(&mut self.has_data) {
                    break;
                }
                self.event = None;
                continue;
            }
            let bytes = line.len();
            if self.field(line) {
                lines.record_goes_on(bytes);
            }
        }
        // one line end was added behind the last line of data
        self.data.pop();
        Ok(Some(Event {
            data: &self.data,
            event: self.event.as_deref(),
            id: self.id.as_deref().filter(|id| !id.is_empty()),
            named: self.named,
        }))
    }

    /// Forgets the event that was handed over.
    pub(super) fn forget(&mut self) {
        self.data.clear();
        self.event = None;
        self.named = false;
    }

    /// The pause that the server wishes before a reconnect.
    pub(super) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Takes a line that is not empty; whether it belongs to an event.
    fn field(&mut self, line: &[u8]) -> bool {
        let (name, value) = match line.iter().position(|byte| *byte == b':') {
            Some(0) => return false,
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => {
                self.data.extend_from_slice(value);
                self.data.push(b'\n');
                self.has_data = true;
            }
            b"event" => self.event = Some(String::from_utf8_lossy(value).into_owned()),
            b"id" if !value.contains(&0) => {
                self.id = Some(String::from_utf8_lossy(value).into_owned());
                self.named = true;
            }
            b"retry" if value.iter().all(u8::is_ascii_digit) => {
                let millis = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                self.retry = millis.map(Duration::from_millis).or(self.retry);
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test ends at its first failure")]
mod tests {
    use super::super::lines::{Ending, tests::of};
    use super::*;

    type Found = (String, Option<String>, Option<String>);

    async fn all(pieces: &[&str]) -> Vec<Found> {
        let mut lines = of(pieces, Ending::Any);
        let mut events = Events::default();
        let mut found = Vec::new();
        while let Some(event) = events.next(&mut lines).await.unwrap() {
            found.push((
                String::from_utf8(event.data.to_vec()).unwrap(),
                event.event.map(str::to_owned),
                event.id.map(str::to_owned),
            ));
            events.forget();
        }
        found
    }

    #[tokio::test]
    async fn events_are_read_as_the_standard_says() {
        let found = all(&[
            "\u{feff}:comment\n\ndata: a\ndata:b\nid: 1\n\n",
            "event: x\ndata\n\n",
            "event: dropped\n\nid\ndata:c\r\n\r\ndata: half",
        ])
        .await;
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            found,
            [
                ("a\nb".to_owned(), None, text("1")),
                (String::new(), text("x"), text("1")),
                ("c".to_owned(), None, None),
            ]
        );
    }

    #[tokio::test]
    async fn many_lines_of_one_event_are_bounded_too() {
        let mut lines = of(&["data: 123\ndata: 123\n", "data: 123\n", "x"], Ending::Any);
        let refused = Events::default().next(&mut lines).await.is_err();
        assert!(refused);
    }

    #[tokio::test]
    async fn comments_do_not_add_up() {
        let pieces = [": 0123456789\n\n"; 9];
        assert_eq!(all(&pieces).await, []);
    }
}
