//! A scanner over the text of one JSON document (RFC 8259): strict, without recursion, and without
//! an allocation for strings that hold no escape.

/// How many objects and arrays may be open at once: what MongoDB allows a document to nest.
pub(crate) const MAX_DEPTH: u32 = 100;

/// Why a text is not a JSON document that we follow. `at` counts bytes from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Something else stood where `expected` belongs.
    Malformed { at: usize, expected: &'static str },
    /// More than [`MAX_DEPTH`] containers are open.
    TooDeep { at: usize },
}

/// A string of the document, without its quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Text {
    /// It stands in the document as it is.
    Plain { start: usize, end: usize },
    /// It had escapes; the scanner's scratch holds its value until the next string.
    Unescaped,
}

/// What a `jsonb` of Postgres refuses although it is JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// A string or name holds `\u0000`.
    pub(crate) nul: bool,
    /// A number is beyond what `numeric` holds.
    pub(crate) number: bool,
}

/// Reads one document from its start to its end.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    scratch: &'a mut String,
}

impl<'a> Scanner<'a> {
    /// At the start of `text`; `scratch` is a buffer to reuse.
    pub(crate) fn new(text: &'a str, scratch: &'a mut String) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: 0,
            depth: 0,
            scratch,
        }
    }

    /// Where the scanner stands, to come back to with [`Self::rewind`].
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to a place of the same nesting.
    pub(crate) fn rewind(&mut self, at: usize) {
        self.at = at;
    }

    /// The text between two places.
    pub(crate) fn between(&self, start: usize, end: usize) -> &'a str {
        &self.text[start..end]
    }

    fn malformed<T>(&self, expected: &'static str) -> Result<T, Broken> {
        Err(Broken::Malformed {
            at: self.at,
            expected,
        })
    }

    /// The next byte that is not white space, not consumed; 0 at the end, which no token starts with.
    #[inline]
    pub(crate) fn peek(&mut self) -> u8 {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(&byte) => return byte,
                None => return 0,
            }
        }
    }

    /// Consumes `byte`, after white space, if it is next.
    #[inline]
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        if found {
            self.at += 1;
        }
        found
    }

    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Broken> {
        if self.eat(byte) {
            Ok(())
        } else {
            self.malformed(expected)
        }
    }

    /// Consumes `token` if it stands exactly here: a quick way past a name that was expected.
    #[inline]
    pub(crate) fn eat_exactly(&mut self, token: &[u8]) -> bool {
        let found = self.bytes[self.at..].starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    /// Consumes the `{` or `[` that [`Self::peek`] saw.
    #[inline]
    pub(crate) fn open(&mut self) -> Result<(), Broken> {
        if self.depth == MAX_DEPTH {
            return Err(Broken::TooDeep { at: self.at });
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// After a member or an element: true when a `,` promises another, false when `closing` ended
    /// the container.
    #[inline]
    pub(crate) fn more(&mut self, closing: u8) -> Result<bool, Broken> {
        match self.peek() {
            b',' => {
                self.at += 1;
                Ok(true)
            }
            byte if byte == closing => {
                self.at += 1;
                self.depth -= 1;
                Ok(false)
            }
            _ if closing == b'}' => self.malformed("`,` or `}`"),
            _ => self.malformed("`,` or `]`"),
        }
    }

    /// Ends the container at once if it is empty.
    #[inline]
    pub(crate) fn closes(&mut self, closing: u8) -> bool {
        let closed = self.eat(closing);
        if closed {
            self.depth -= 1;
        }
        closed
    }

    /// Nothing but white space may follow the document.
    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        self.peek();
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            self.malformed("the end of the document")
        }
    }

    /// `true`, `false` or `null`.
    #[inline]
    pub(crate) fn literal(&mut self, word: &'static str) -> Result<(), Broken> {
        if self.eat_exactly(word.as_bytes()) {
            Ok(())
        } else {
            self.malformed("a value")
        }
    }

    /// What is next is no value.
    pub(crate) fn no_value<T>(&self) -> Result<T, Broken> {
        self.malformed("a value")
    }

    /// The name of a member, up to and with its colon.
    #[inline]
    pub(crate) fn name(&mut self) -> Result<Text, Broken> {
        self.expect(b'"', "a name in quotes")?;
        let name = self.string()?;
        self.expect(b':', "`:`")?;
        Ok(name)
    }

    /// A string whose opening quote was consumed.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Text, Broken> {
        let start = self.at;
        self.at = plain_end(self.bytes, start);
        match self.bytes.get(self.at) {
            Some(b'"') => {
                let end = self.at;
                self.at += 1;
                Ok(Text::Plain { start, end })
            }
            Some(b'\\') => self.unescape(start),
            Some(_) => self.malformed("an escape instead of a control character"),
            None => self.malformed("a closing quote"),
        }
    }

    /// The value of a string that was just read.
    #[inline]
    pub(crate) fn value(&self, text: Text) -> &str {
        match text {
            Text::Plain { start, end } => &self.text[start..end],
            Text::Unescaped => self.scratch,
        }
    }

    /// The rest of a string whose first backslash was met.
    #[cold]
    fn unescape(&mut self, start: usize) -> Result<Text, Broken> {
        self.scratch.clear();
        self.scratch.push_str(&self.text[start..self.at]);
        loop {
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Text::Unescaped);
                }
                Some(b'\\') => {
                    self.at += 1;
                    let character = self.escape()?;
                    self.scratch.push(character);
                }
                Some(_) => {
                    let end = plain_end(self.bytes, self.at);
                    if end == self.at {
                        return self.malformed("an escape instead of a control character");
                    }
                    self.scratch.push_str(&self.text[self.at..end]);
                    self.at = end;
                }
                None => return self.malformed("a closing quote"),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Broken> {
        let Some(&byte) = self.bytes.get(self.at) else {
            return self.malformed("an escape");
        };
        let character = match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return self.malformed("an escape"),
        };
        self.at += 1;
        Ok(character)
    }

    /// `\uXXXX`, with a second one where the first is half of a pair.
    fn unicode_escape(&mut self) -> Result<char, Broken> {
        let first = self.hex4()?;
        let code = match first {
            0xD800..=0xDBFF => {
                if !self.eat_exactly(b"\\u") {
                    return self.malformed("the second half of a surrogate pair");
                }
                let second = self.hex4()?;
                if !(0xDC00..=0xDFFF).contains(&second) {
                    return self.malformed("the second half of a surrogate pair");
                }
                0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
            }
            _ => first,
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.malformed("the first half of a surrogate pair"),
        }
    }

    fn hex4(&mut self) -> Result<u32, Broken> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self
                .bytes
                .get(self.at)
                .and_then(|&byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return self.malformed("four hexadecimal digits");
            };
            code = code << 4 | digit;
            self.at += 1;
        }
        Ok(code)
    }

    /// A number, as it stands.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<&'a str, Broken> {
        let start = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.malformed("a digit"),
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    #[inline]
    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    #[inline]
    fn some_digits(&mut self) -> Result<(), Broken> {
        let start = self.at;
        self.digits();
        if self.at > start {
            Ok(())
        } else {
            self.malformed("a digit")
        }
    }

    /// Passes over a value of any kind, checking its grammar.
    pub(crate) fn skip(&mut self) -> Result<(), Broken> {
        self.pass::<false>(&mut Refused::default())
    }

    /// Passes over a value and says what of it a `jsonb` refuses.
    pub(crate) fn skip_watching(&mut self) -> Result<Refused, Broken> {
        let mut refused = Refused::default();
        self.pass::<true>(&mut refused)?;
        Ok(refused)
    }

    /// The open containers are bits of `objects`, the innermost lowest: [`MAX_DEPTH`] fit.
    fn pass<const WATCH: bool>(&mut self, refused: &mut Refused) -> Result<(), Broken> {
        const { assert!(MAX_DEPTH <= u128::BITS) };
        let outside = self.depth;
        let mut objects: u128 = 0;
        loop {
            match self.peek() {
                b'{' => {
                    self.open()?;
                    objects = objects << 1 | 1;
                    if !self.closes(b'}') {
                        self.pass_name::<WATCH>(refused)?;
                        continue;
                    }
                    objects >>= 1;
                }
                b'[' => {
                    self.open()?;
                    objects <<= 1;
                    if !self.closes(b']') {
                        continue;
                    }
                    objects >>= 1;
                }
                b'"' => {
                    self.at += 1;
                    let text = self.string()?;
                    self.watch_text::<WATCH>(text, refused);
                }
                b'-' | b'0'..=b'9' => {
                    let number = self.number()?;
                    if WATCH {
                        refused.number |= !super::number::postgres_holds(number);
                    }
                }
                b't' => self.literal("true")?,
                b'f' => self.literal("false")?,
                b'n' => self.literal("null")?,
                _ => return self.no_value(),
            }
            loop {
                if self.depth == outside {
                    return Ok(());
                }
                let in_object = objects & 1 == 1;
                if self.more(if in_object { b'}' } else { b']' })? {
                    if in_object {
                        self.pass_name::<WATCH>(refused)?;
                    }
                    break;
                }
                objects >>= 1;
            }
        }
    }

    #[inline]
    fn pass_name<const WATCH: bool>(&mut self, refused: &mut Refused) -> Result<(), Broken> {
        let name = self.name()?;
        self.watch_text::<WATCH>(name, refused);
        Ok(())
    }

    #[inline]
    fn watch_text<const WATCH: bool>(&self, text: Text, refused: &mut Refused) {
        if WATCH && matches!(text, Text::Unescaped) {
            refused.nul |= self.scratch.as_bytes().contains(&0);
        }
    }
}

/// The first byte from `at` on that a string cannot hold as it is: a quote, a backslash, a control
/// character; the length of `bytes` when there is none.
#[inline]
fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // `below(x, n)` has the high bit of the lowest byte of `x` that is below n (n up to 128), and
    // perhaps of bytes above that one: the lowest is all that is asked for.
    let below = |word: u64, n: u64| word.wrapping_sub(ONES * n) & !word & HIGHS;
    while let Some(chunk) = bytes[at..].first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        let special = below(word ^ (ONES * u64::from(b'"')), 1)
            | below(word ^ (ONES * u64::from(b'\\')), 1)
            | below(word, 0x20);
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests;
