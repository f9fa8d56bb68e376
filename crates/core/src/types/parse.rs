//! Reading a `data_type` as it is declared.

use super::{DeclaredType, NAMES, Precision, StructField, TypeError};

impl DeclaredType {
    /// Reads a `data_type`: case is ignored, Postgres's other names (`int8`, `timestamp with time
    /// zone`, `decimal`) are known.
    ///
    /// # Errors
    /// [`TypeError`], with the nearest name where one is near.
    pub fn parse(text: &str) -> Result<Self, TypeError> {
        let mut parser = Parser { text, at: 0 };
        let parsed = parser.data_type()?;
        parser.spaces();
        if parser.at < text.len() {
            return Err(parser.expected("the end"));
        }
        Ok(parsed)
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn expected(&self, expected: &'static str) -> TypeError {
        TypeError::Syntax {
            text: self.text.to_owned(),
            at: self.text[..self.at].chars().count() + 1,
            expected,
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn eat(&mut self, symbol: char) -> bool {
        self.spaces();
        let found = self.rest().starts_with(symbol);
        if found {
            self.at += symbol.len_utf8();
        }
        found
    }

    fn word(&mut self) -> String {
        self.spaces();
        let end = self
            .rest()
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(self.rest().len());
        let word = self.rest()[..end].to_owned();
        self.at += end;
        word
    }

    fn phrase(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        for expected in words {
            if !self.word().eq_ignore_ascii_case(expected) {
                self.at = start;
                return false;
            }
        }
        true
    }

    fn number(&mut self) -> Result<u32, TypeError> {
        let start = self.at;
        self.word().parse().map_err(|_| {
            self.at = start;
            self.expected("a whole number")
        })
    }

    fn length(&mut self) -> Result<Option<u32>, TypeError> {
        if !self.eat('(') {
            return Ok(None);
        }
        let length = self.number()?;
        if length == 0 {
            return Err(self.expected("a length above 0"));
        }
        self.close().map(|()| Some(length))
    }

    fn close(&mut self) -> Result<(), TypeError> {
        if self.eat(')') {
            Ok(())
        } else {
            Err(self.expected("`)`"))
        }
    }

    fn data_type(&mut self) -> Result<DeclaredType, TypeError> {
        let mut parsed = self.scalar()?;
        while self.eat('[') {
            if !self.eat(']') {
                return Err(self.expected("`]`"));
            }
            parsed = DeclaredType::List(Box::new(parsed));
        }
        Ok(parsed)
    }

    fn scalar(&mut self) -> Result<DeclaredType, TypeError> {
        use DeclaredType as T;
        let written = self.word();
        if written.is_empty() {
            return Err(self.expected("a type"));
        }
        Ok(match written.to_ascii_lowercase().as_str() {
            "smallint" | "int2" => T::SmallInt,
            "integer" | "int" | "int4" => T::Integer,
            "bigint" | "int8" => T::BigInt,
            "real" | "float4" => T::Real,
            "float8" | "float" => T::Double,
            "double" => {
                self.phrase(&["precision"]);
                T::Double
            }
            "numeric" | "decimal" => self.numeric()?,
            "text" | "string" => T::Text,
            "varchar" => self.length()?.map_or(T::Text, T::Varchar),
            "character" if self.phrase(&["varying"]) => self.length()?.map_or(T::Text, T::Varchar),
            "char" | "character" => T::Char(self.length()?.unwrap_or(1)),
            "boolean" | "bool" => T::Boolean,
            "date" => T::Date,
            "time" => {
                self.phrase(&["without", "time", "zone"]);
                T::Time
            }
            "interval" => T::Interval,
            "timestamptz" => T::TimestampTz,
            "timestamp" if self.phrase(&["with", "time", "zone"]) => T::TimestampTz,
            "timestamp" => {
                self.phrase(&["without", "time", "zone"]);
                T::Timestamp
            }
            "bytea" => T::Bytea,
            "uuid" => T::Uuid,
            "json" | "jsonb" => T::Json,
            "struct" => self.fields()?,
            _ => {
                return Err(TypeError::Unknown {
                    nearest: nearest(&written),
                    name: written,
                });
            }
        })
    }

    fn numeric(&mut self) -> Result<DeclaredType, TypeError> {
        if !self.eat('(') {
            return Ok(DeclaredType::Numeric(None));
        }
        let digits = self.number()?;
        let scale = if self.eat(',') { self.number()? } else { 0 };
        self.close()?;
        let byte = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
        Ok(DeclaredType::Numeric(Some(Precision::new(
            byte(digits),
            byte(scale),
        )?)))
    }

    fn fields(&mut self) -> Result<DeclaredType, TypeError> {
        if !self.eat('(') {
            return Err(self.expected("`(` and the fields"));
        }
        let mut fields = Vec::new();
        loop {
            let name = if self.eat('"') {
                self.quoted()?
            } else {
                self.word()
            };
            if name.is_empty() {
                return Err(self.expected("a field name"));
            }
            let data_type = self.data_type()?;
            fields.push(StructField { name, data_type });
            if !self.eat(',') {
                break;
            }
        }
        self.close()?;
        Ok(DeclaredType::Struct(fields))
    }

    /// The rest of a quoted name, `""` standing for a quote.
    fn quoted(&mut self) -> Result<String, TypeError> {
        let mut name = String::new();
        loop {
            let Some(end) = self.rest().find('"') else {
                return Err(self.expected("a closing quote"));
            };
            name.push_str(&self.rest()[..end]);
            self.at += end + 1;
            if !self.rest().starts_with('"') {
                return Ok(name);
            }
            name.push('"');
            self.at += 1;
        }
    }
}

/// The known name nearest to what was written, at most a third of it away.
fn nearest(written: &str) -> Option<&'static str> {
    let written = written.to_ascii_lowercase();
    NAMES
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, name), name))
        .filter(|(distance, name)| *distance <= name.len().div_ceil(3))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
    use super::*;

    #[test]
    fn reads_the_table_of_types() {
        for (text, printed) in [
            ("INT8", "bigint"),
            ("double precision", "double precision"),
            ("decimal(18, 2)", "numeric(18,2)"),
            ("numeric", "numeric"),
            ("character varying(3)", "varchar(3)"),
            ("timestamp with time zone", "timestamptz"),
            ("timestamp", "timestamp"),
            ("text[][]", "text[][]"),
            (
                "struct(id uuid, \"odd \"\"name\" text, items struct(sku text)[])",
                "struct(\"id\" uuid, \"odd \"\"name\" text, \"items\" struct(\"sku\" text)[])",
            ),
        ] {
            let parsed = DeclaredType::parse(text).unwrap();
            assert_eq!(parsed.to_string(), printed);
            assert_eq!(
                DeclaredType::parse(printed).unwrap(),
                parsed,
                "its text reads back"
            );
        }
    }

    #[test]
    fn a_wrong_type_says_where_and_what() {
        let message = |text| DeclaredType::parse(text).unwrap_err().to_string();
        assert_eq!(
            message("bigimt"),
            "unknown type `bigimt`; did you mean `bigint`?"
        );
        assert_eq!(
            message("struct(a text"),
            "expected `)` at character 14 of type `struct(a text`"
        );
        assert_eq!(
            message("text text"),
            "expected the end at character 6 of type `text text`"
        );
        assert!(message("numeric(80,2)").contains("1 to 76 digits"));
        assert!(message("numeric(300)").contains("1 to 76 digits"));
    }
}
