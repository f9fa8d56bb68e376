//! Records and fields of CSV, by their bytes (RFC 4180; a line feed alone ends a record too).

use super::Dialect;

/// Where the first record of a text ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It is whole: its bytes end before `content`, the next record begins at `next`.
    At { content: usize, next: usize },
    /// It goes on behind the text, within quotes or not.
    Open { quoted: bool },
}

/// Finds the end of the record that `text` begins with. Line ends within quotes do not end it.
pub(crate) fn record_end(text: &[u8], dialect: Dialect) -> End {
    let mut at = 0;
    let mut begins = true;
    while let Some(&byte) = text.get(at) {
        if begins && byte == dialect.quote {
            match closing(text, at + 1, dialect.quote) {
                Some(close) => at = close + 1,
                None => return End::Open { quoted: true },
            }
            begins = false;
            continue;
        }
        if byte == b'\n' {
            let content = at - usize::from(at > 0 && text[at - 1] == b'\r');
            return End::At {
                content,
                next: at + 1,
            };
        }
        begins = byte == dialect.delimiter;
        at += 1;
    }
    End::Open { quoted: false }
}

/// The quote that closes the field whose content begins at `at`.
fn closing(text: &[u8], mut at: usize, quote: u8) -> Option<usize> {
    loop {
        at += text[at..].iter().position(|byte| *byte == quote)?;
        if text.get(at + 1) != Some(&quote) {
            return Some(at);
        }
        at += 2;
    }
}

/// What is wrong with a record; `at` counts its bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(super) at: usize,
    pub(super) expected: &'static str,
}

/// The fields of one record after the other, in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    quoted: Vec<bool>,
}

impl Fields {
    /// Reads the fields of `record`, which has no line end behind it.
    pub(crate) fn read(&mut self, record: &[u8], dialect: Dialect) -> Result<(), Broken> {
        self.bytes.clear();
        self.ends.clear();
        self.quoted.clear();
        let mut at = 0;
        loop {
            let quoted = record.get(at) == Some(&dialect.quote);
            at = if quoted {
                self.quoted_field(record, at + 1, dialect)?
            } else {
                let rest = &record[at..];
                let end = rest.iter().position(|byte| *byte == dialect.delimiter);
                let end = at + end.unwrap_or(rest.len());
                self.bytes.extend_from_slice(&record[at..end]);
                end
            };
            self.ends.push(self.bytes.len());
            self.quoted.push(quoted);
            if at == record.len() {
                return Ok(());
            }
            // behind the delimiter
            at += 1;
        }
    }

    /// Appends the content from `at` on; gives where its delimiter is, or the end.
    fn quoted_field(
        &mut self,
        record: &[u8],
        at: usize,
        dialect: Dialect,
    ) -> Result<usize, Broken> {
        let Some(close) = closing(record, at, dialect.quote) else {
            return Err(Broken {
                at: record.len(),
                expected: "a closing quote",
            });
        };
        let mut rest = &record[at..close];
        while let Some(double) = rest.iter().position(|byte| *byte == dialect.quote) {
            self.bytes.extend_from_slice(&rest[..=double]);
            rest = &rest[double + 2..];
        }
        self.bytes.extend_from_slice(rest);
        match record.get(close + 1) {
            None => Ok(close + 1),
            Some(byte) if *byte == dialect.delimiter => Ok(close + 1),
            Some(_) => Err(Broken {
                at: close + 1,
                expected: "a delimiter behind the closing quote",
            }),
        }
    }

    /// How many fields.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The fields' values, and whether they stood in quotes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .zip(&self.quoted)
            .map(|((start, end), quoted)| (&self.bytes[start..*end], *quoted))
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at its first failure"
)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(record: &str) -> Result<Vec<String>, Broken> {
        let mut fields = Fields::default();
        fields.read(record.as_bytes(), Dialect::default())?;
        let texts = fields
            .iter()
            .map(|(value, _)| String::from_utf8_lossy(value).into_owned());
        Ok(texts.collect())
    }

    #[test]
    fn fields_are_read_as_they_are_written() {
        assert_eq!(fields("a,,c").unwrap(), ["a", "", "c"]);
        assert_eq!(fields("").unwrap(), [""]);
        assert_eq!(fields("a,").unwrap(), ["a", ""]);
        assert_eq!(fields("\"a,\n\"\"b\"\"\",\"\"").unwrap(), ["a,\n\"b\"", ""]);
        assert_eq!(fields("5\" pipe,b\"").unwrap(), ["5\" pipe", "b\""]);
        assert_eq!(fields("\"a").unwrap_err().expected, "a closing quote");
        assert_eq!(fields("\"a\"b,c").unwrap_err().at, 3);
    }

    #[test]
    fn a_record_ends_outside_of_quotes() {
        let end = |text: &str| record_end(text.as_bytes(), Dialect::default());
        assert_eq!(
            end("a,b\r\nc"),
            End::At {
                content: 3,
                next: 5
            }
        );
        assert_eq!(
            end("\"a\n\"\"\n\",b\nc"),
            End::At {
                content: 9,
                next: 10
            }
        );
        assert_eq!(
            end("\n"),
            End::At {
                content: 0,
                next: 1
            }
        );
        assert_eq!(end("a,b"), End::Open { quoted: false });
        assert_eq!(end("a,\"b\n"), End::Open { quoted: true });
        assert_eq!(
            end("5\" pipe\n"),
            End::At {
                content: 7,
                next: 8
            }
        );
    }

    proptest! {
        /// The `csv` crate writes, we read.
        #[test]
        fn what_others_write_is_read(
            records in prop::collection::vec(prop::collection::vec("[a\",\r\n é]{0,6}", 2..4), 1..5)
        ) {
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
            for record in &records {
                writer.write_record(record).unwrap();
            }
            let text = writer.into_inner().unwrap();
            let mut rest = &text[..];
            for record in &records {
                let End::At { content, next } = record_end(rest, Dialect::default()) else {
                    panic!("the writer ends every record");
                };
                let read = fields(std::str::from_utf8(&rest[..content]).unwrap()).unwrap();
                prop_assert_eq!(&read, record);
                rest = &rest[next..];
            }
            prop_assert!(rest.is_empty());
        }
    }
}
