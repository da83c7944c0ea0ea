//! Session codes: eight symbols that are easy to say and type.

use std::fmt;
use std::str::FromStr;

/// Twenty consonants: no vowels, so no words; none looks like a digit (RFC 8628, section 6.1).
pub const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// Symbols in a code. 20⁸ = 2.56 × 10¹⁰ codes.
pub const LENGTH: usize = 8;

/// A session's code, stored in upper case without the hyphen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionCode([u8; LENGTH]);

impl SessionCode {
    /// A code from random bytes; `None` when too many of them had to be rejected to stay uniform
    /// (a byte of 240 or more, 1 in 16).
    #[must_use]
    pub fn from_random(bytes: &[u8]) -> Option<Self> {
        let mut uniform = bytes
            .iter()
            .filter(|&&b| b < 240)
            .map(|&b| ALPHABET[usize::from(b % 20)]);
        let mut code = [0; LENGTH];
        for symbol in &mut code {
            *symbol = uniform.next()?;
        }
        Some(Self(code))
    }
}

/// The text is not a session code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code has eight letters, such as BCDF-GHJK")]
pub struct ParseError;

impl FromStr for SessionCode {
    type Err = ParseError;

    /// Case, spaces and hyphens do not matter.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut code = [0; LENGTH];
        let mut filled = 0;
        for c in text.chars().filter(|c| !c.is_whitespace() && *c != '-') {
            let symbol = u8::try_from(c.to_ascii_uppercase()).map_err(|_| ParseError)?;
            if filled == LENGTH || !ALPHABET.contains(&symbol) {
                return Err(ParseError);
            }
            code[filled] = symbol;
            filled += 1;
        }
        if filled == LENGTH {
            Ok(Self(code))
        } else {
            Err(ParseError)
        }
    }
}

impl fmt::Display for SessionCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, symbol) in self.0.iter().enumerate() {
            if i == 4 {
                f.write_str("-")?;
            }
            write!(f, "{}", char::from(*symbol))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_type() {
        let code: SessionCode = "bcdf ghjk".parse().unwrap();
        assert_eq!(code.to_string(), "BCDF-GHJK");
        assert_eq!("BCDF-GHJK".parse(), Ok(code));
        for bad in ["", "BCDF-GHJ", "BCDF-GHJKL", "ABCD-EFGH", "BCDF-GHJ1", "ＢCDFGHJK"] {
            assert_eq!(bad.parse::<SessionCode>(), Err(ParseError), "{bad}");
        }
    }

    #[test]
    fn random_codes_are_uniform() {
        assert_eq!(SessionCode::from_random(&[255; 64]), None);
        assert_eq!(SessionCode::from_random(&[0; 7]), None);
        let code = SessionCode::from_random(&[250, 0, 1, 2, 3, 4, 5, 6, 239]).unwrap();
        assert_eq!(code.to_string(), "BCDF-GHJZ");
    }
}
