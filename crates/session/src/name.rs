//! Names that people may give themselves.

/// Most characters of a name.
const MAX_CHARS: usize = 24;

/// The name as it is shown, or why it is not taken. `taken` tells whether somebody else has it already.
pub(crate) fn accept(asked: &str, taken: impl Fn(&str) -> bool) -> Result<String, &'static str> {
    let name = asked.trim();
    if name.is_empty() {
        return Err("please say your name");
    }
    if name.chars().any(is_hidden) {
        return Err("the name contains characters that can not be shown");
    }
    // Two words stand apart by one blank.
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.chars().count() > MAX_CHARS {
        return Err("a name has at most 24 characters");
    }
    if !taken(&name) {
        return Ok(name);
    }
    (2_u32..)
        .map(|n| {
            let suffix = format!(" {n}");
            let keep = MAX_CHARS - suffix.len();
            let stem: String = name.chars().take(keep).collect();
            format!("{}{suffix}", stem.trim_end())
        })
        .find(|n| !taken(n))
        .ok_or("the name is taken")
}

/// Whether two names look the same to a reader in a hurry.
pub(crate) fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// Control, direction, zero-width and private characters: they hide text, reverse it or show nothing.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
                | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
                | '\u{fe00}'..='\u{fe0e}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffd}'
                | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{10ffff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(asked: &str, taken: &[&str], expected: Result<&str, ()>) {
        let name = accept(asked, |n| taken.iter().any(|t| same(t, n)));
        assert_eq!(name.as_deref().map_err(|_| ()), expected, "{asked:?}");
    }

    #[test]
    fn names() {
        check("  小明 ", &[], Ok("小明"));
        check("Zoë  O'Neil", &[], Ok("Zoë O'Neil"));
        check("", &[], Err(()));
        check(" \u{3000}\t", &[], Err(()));
        check("a\nb", &[], Err(()));
        check("a\u{202e}b", &[], Err(()));
        check("a\u{200b}", &[], Err(()));
        check("\u{2066}x\u{2069}", &[], Err(()));
        check(&"名".repeat(24), &[], Ok(&"名".repeat(24)));
        check(&"名".repeat(25), &[], Err(()));
    }

    #[test]
    fn a_taken_name_gets_a_number() {
        check("Li", &["LI"], Ok("Li 2"));
        check("Li", &["Li", "Li 2"], Ok("Li 3"));
        let long = "x".repeat(24);
        check(&long, &[&long], Ok(&format!("{} 2", "x".repeat(22))));
    }
}
