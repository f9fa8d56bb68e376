//! Avro messages, read by their schema and said in JSON (Avro 1.12 specification, "Binary
//! Encoding").

use arrow::datatypes::i256;
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Timelike};
use factmill_core::dead_letter::Reason;

use super::super::contract::whole_record;
use super::super::fault::Rejection;
use super::super::scan::MAX_DEPTH;
use super::super::write;
use super::schema::{Node, NodeId, Schema, Unit};

/// The most text that one message may become: a few bytes can promise billions of empty elements.
const MOST_TEXT: usize = 64 << 20;

/// Writes the message in JSON.
pub(super) fn write_json(
    schema: &Schema,
    message: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Rejection> {
    let mut reader = Reader {
        nodes: &schema.nodes,
        bytes: message,
        at: 0,
        out,
    };
    reader.value(schema.root, 0)?;
    if reader.at < message.len() {
        return reader.malformed("the end of the message");
    }
    Ok(())
}

struct Reader<'r> {
    nodes: &'r [Node],
    bytes: &'r [u8],
    at: usize,
    out: &'r mut Vec<u8>,
}

type Read<T> = Result<T, Rejection>;

impl<'r> Reader<'r> {
    #[cold]
    fn malformed<T>(&self, expected: &str) -> Read<T> {
        let detail = format!(
            "expected {expected} at byte {} of the Avro message",
            self.at
        );
        Err(whole_record(Reason::Malformed, detail))
    }

    #[cold]
    fn does_not_fit<T>(&self, what: &str) -> Read<T> {
        let detail = format!("{what} before byte {} of the Avro message", self.at);
        Err(whole_record(Reason::DoesNotFit, detail))
    }

    fn value(&mut self, node: NodeId, depth: u32) -> Read<()> {
        let nodes = self.nodes;
        match &nodes[node] {
            Node::Null | Node::Unfinished => self.out.extend_from_slice(b"null"),
            Node::Boolean => match self.take(1)? {
                [0] => self.out.extend_from_slice(b"false"),
                [1] => self.out.extend_from_slice(b"true"),
                _ => return self.malformed("0 or 1 for a boolean"),
            },
            Node::Whole => {
                let whole = self.whole()?;
                write::write_to(self.out, format_args!("{whole}"));
            }
            Node::Float => {
                let value = f32::from_le_bytes(self.array()?);
                write::float(self.out, value);
            }
            Node::Double => {
                let value = f64::from_le_bytes(self.array()?);
                write::float(self.out, value);
            }
            Node::Bytes => {
                let bytes = self.sized()?;
                write::bytes(self.out, bytes);
            }
            Node::String => {
                let text = self.sized()?;
                write::text(self.out, text);
            }
            Node::Fixed(size) => {
                let bytes = self.take(*size)?;
                write::bytes(self.out, bytes);
            }
            Node::Enum(symbols) => {
                let index = self.whole()?;
                match usize::try_from(index)
                    .ok()
                    .and_then(|index| symbols.get(index))
                {
                    Some(symbol) => self.out.extend_from_slice(symbol),
                    None => return self.malformed("a symbol of the enum"),
                }
            }
            Node::Union(branches) => {
                let index = self.whole()?;
                match usize::try_from(index)
                    .ok()
                    .and_then(|index| branches.get(index))
                {
                    // a union of unions would recurse without a container
                    Some(branch) => return self.value(*branch, self.deeper(depth)?),
                    None => return self.malformed("a branch of the union"),
                }
            }
            Node::Record(fields) => {
                let depth = self.deeper(depth)?;
                self.out.push(b'{');
                for (at, (name, node)) in fields.iter().enumerate() {
                    if at > 0 {
                        self.out.push(b',');
                    }
                    self.out.extend_from_slice(name);
                    self.value(*node, depth)?;
                    self.bounded()?;
                }
                self.out.push(b'}');
            }
            Node::Array(items) => {
                self.blocks(b"[]", depth, |reader, depth| reader.value(*items, depth))?
            }
            Node::Map(values) => self.blocks(b"{}", depth, |reader, depth| {
                let key = reader.sized()?;
                write::text(reader.out, key);
                reader.out.push(b':');
                reader.value(*values, depth)
            })?,
            Node::Decimal { size, scale } => {
                let bytes = match size {
                    Some(size) => self.take(*size)?,
                    None => self.sized()?,
                };
                self.decimal(bytes, *scale)?;
            }
            Node::Date => self.date()?,
            Node::Time(unit) => self.time(*unit)?,
            Node::Timestamp { unit, local } => self.timestamp(*unit, *local)?,
            Node::Duration => {
                let [months, days, millis] =
                    [self.array()?, self.array()?, self.array()?].map(u32::from_le_bytes);
                let (seconds, millis) = (millis / 1000, millis % 1000);
                let text = format_args!("\"P{months}M{days}DT{seconds}.{millis:03}S\"");
                write::write_to(self.out, text);
            }
        }
        Ok(())
    }

    fn deeper(&self, depth: u32) -> Read<u32> {
        // unions count too: twice what the reader of JSON follows is enough for all it takes
        if depth >= 2 * MAX_DEPTH {
            return Err(whole_record(
                Reason::TooDeep,
                format!(
                    "values nest too deep at byte {} of the Avro message",
                    self.at
                ),
            ));
        }
        Ok(depth + 1)
    }

    fn bounded(&self) -> Read<()> {
        if self.out.len() > MOST_TEXT {
            return self.does_not_fit("more than 64 MiB of JSON");
        }
        Ok(())
    }

    /// Elements in counted blocks, between the two brackets.
    fn blocks(
        &mut self,
        brackets: &[u8; 2],
        depth: u32,
        element: impl Fn(&mut Self, u32) -> Read<()>,
    ) -> Read<()> {
        let depth = self.deeper(depth)?;
        self.out.push(brackets[0]);
        let mut first = true;
        loop {
            let count = self.whole()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // the block's size in bytes follows, to skip it
                self.whole()?;
            }
            for _ in 0..count.unsigned_abs() {
                if !std::mem::take(&mut first) {
                    self.out.push(b',');
                }
                element(self, depth)?;
                self.bounded()?;
            }
        }
        self.out.push(brackets[1]);
        Ok(())
    }

    fn take(&mut self, size: usize) -> Read<&'r [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = rest.get(..size) else {
            return self.malformed(&format!("{size} bytes, {} are left,", rest.len()));
        };
        self.at += size;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let taken = self.take(N)?;
        Ok(*taken.first_chunk().expect("so many were taken"))
    }

    fn sized(&mut self) -> Read<&'r [u8]> {
        let size = self.whole()?;
        match usize::try_from(size) {
            Ok(size) => self.take(size),
            Err(_) => self.malformed("a length"),
        }
    }

    /// A zigzag variable-length number.
    #[inline]
    fn whole(&mut self) -> Read<i64> {
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return self.malformed("a number");
            };
            self.at += 1;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                if shift == 63 && byte > 1 {
                    break;
                }
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        self.malformed("a number of 64 bits")
    }

    fn decimal(&mut self, bytes: &[u8], scale: usize) -> Read<()> {
        let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
        let filling = if negative { 0xFF } else { 0 };
        let extra = bytes.len().saturating_sub(32);
        if scale > 10_000 || bytes[..extra].iter().any(|byte| *byte != filling) {
            return self.does_not_fit("a decimal of more than 256 bits or 10000 places");
        }
        let mut padded = [filling; 32];
        padded[32 - (bytes.len() - extra)..].copy_from_slice(&bytes[extra..]);
        let digits = match bytes.len() {
            ..=16 => {
                let low = padded.last_chunk::<16>().expect("32 are more than 16");
                i128::from_be_bytes(*low).to_string()
            }
            _ => i256::from_be_bytes(padded).to_string(),
        };
        let (sign, digits) = match digits.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None => ("", digits.as_str()),
        };
        let text = if scale == 0 {
            write::write_to(self.out, format_args!("{sign}{digits}"));
            return Ok(());
        } else {
            format!("{digits:0>width$}", width = scale + 1)
        };
        let (whole, places) = text.split_at(text.len() - scale);
        write::write_to(self.out, format_args!("{sign}{whole}.{places}"));
        Ok(())
    }

    fn date(&mut self) -> Read<()> {
        let days = self.whole()?;
        let date = TimeDelta::try_days(days)
            .and_then(|days| NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(days));
        let Some(date) = date else {
            return self.does_not_fit("a date beyond the calendar");
        };
        let (year, month, day) = (date.year(), date.month(), date.day());
        write::write_to(self.out, format_args!("\"{year:04}-{month:02}-{day:02}\""));
        Ok(())
    }

    fn time(&mut self, unit: Unit) -> Read<()> {
        let count = self.whole()?;
        let (seconds, nanos) = unit.split(count);
        if !(0..86_400).contains(&seconds) {
            return self.does_not_fit("a time beyond its day");
        }
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write::write_to(
            self.out,
            format_args!("\"{hour:02}:{minute:02}:{second:02}"),
        );
        fraction(self.out, unit, nanos);
        self.out.push(b'"');
        Ok(())
    }

    fn timestamp(&mut self, unit: Unit, local: bool) -> Read<()> {
        let count = self.whole()?;
        let (seconds, nanos) = unit.split(count);
        let Some(at) = DateTime::from_timestamp(seconds, nanos) else {
            return self.does_not_fit("a time beyond the calendar");
        };
        let (year, month, day) = (at.year(), at.month(), at.day());
        let (hour, minute, second) = (at.hour(), at.minute(), at.second());
        write::write_to(
            self.out,
            format_args!("\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"),
        );
        fraction(self.out, unit, nanos);
        self.out
            .extend_from_slice(if local { b"\"" } else { b"Z\"" });
        Ok(())
    }
}

impl Unit {
    /// Whole seconds and the nanoseconds beyond them.
    fn split(self, count: i64) -> (i64, u32) {
        let (per_second, nanos) = match self {
            Self::Millis => (1_000, 1_000_000),
            Self::Micros => (1_000_000, 1_000),
            Self::Nanos => (1_000_000_000, 1),
        };
        let beyond = count.rem_euclid(per_second) as u32;
        (count.div_euclid(per_second), beyond * nanos)
    }
}

fn fraction(out: &mut Vec<u8>, unit: Unit, nanos: u32) {
    match unit {
        Unit::Millis => write::write_to(out, format_args!(".{:03}", nanos / 1_000_000)),
        Unit::Micros => write::write_to(out, format_args!(".{:06}", nanos / 1_000)),
        Unit::Nanos => {
            // finer than microseconds is refused, trailing zeros are not
            let text = format!("{nanos:09}");
            let text = text.trim_end_matches('0');
            write::write_to(out, format_args!(".{text:0<6}"));
        }
    }
}
