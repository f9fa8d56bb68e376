//! A body that arrives in pieces, cut into lines of bounded length.

/// A line longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong;

/// Cuts bytes into lines; what follows the last line end waits for the next piece.
#[derive(Debug)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    longest: usize,
}

impl Lines {
    /// Lines of at most `longest` bytes.
    pub(crate) fn new(longest: usize) -> Self {
        Self {
            rest: Vec::new(),
            longest,
        }
    }

    /// Calls `line` for each line that `piece` ends, without its end (`\n` or `\r\n`).
    pub(crate) fn push(
        &mut self,
        mut piece: &[u8],
        mut line: impl FnMut(&[u8]),
    ) -> Result<(), TooLong> {
        while let Some(end) = piece.iter().position(|&byte| byte == b'\n') {
            let (head, tail) = (&piece[..end], &piece[end + 1..]);
            if self.rest.len() + head.len() > self.longest {
                return Err(TooLong);
            }
            if self.rest.is_empty() {
                line(without_return(head));
            } else {
                self.rest.extend_from_slice(head);
                line(without_return(&self.rest));
                self.rest.clear();
            }
            piece = tail;
        }
        if self.rest.len() + piece.len() > self.longest {
            return Err(TooLong);
        }
        self.rest.extend_from_slice(piece);
        Ok(())
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]], longest: usize) -> Result<Vec<Vec<u8>>, TooLong> {
        let mut lines = Lines::new(longest);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece, |line| found.push(line.to_vec()))?;
        }
        Ok(found)
    }

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let text = b"one\r\n\ntwo\nthr\xE9e\nrest without an end";
        let expected: [&[u8]; 4] = [b"one", b"", b"two", b"thr\xE9e"];
        for size in 1..text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(
                cut(&pieces, 100).as_deref(),
                Ok(&expected.map(<[u8]>::to_vec)[..])
            );
        }
    }

    #[test]
    fn a_line_without_end_is_refused() {
        assert_eq!(cut(&[b"abc", b"def"], 5), Err(TooLong));
        assert_eq!(cut(&[b"abcdef\n"], 5), Err(TooLong));
        assert!(cut(&[b"abcde\n", b"abcde"], 5).is_ok());
    }
}
