//! Durations as people write them.

use std::time::Duration;

use humantime::DurationError;

/// Reads a duration in the notation of `humantime`, such as `1h 30m`. The error says what is wrong
/// with it.
///
/// Piece by piece and added up here: `humantime` 2.4 panics on a sum that ends in exactly one
/// second more than a `Duration` can hold, and what a file says must never panic.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let mut sum = Duration::ZERO;
    for piece in pieces(text) {
        let duration = humantime::parse_duration(piece).map_err(|error| problem(piece, &error))?;
        sum = sum.checked_add(duration).ok_or_else(too_large)?;
    }
    Ok(sum)
}

/// Cuts before every digit that follows a letter: `1h30m` is `1h` and `30m`. There is always at
/// least one piece.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut in_unit = false;
        let cut = text.char_indices().find(|&(_, c)| {
            in_unit |= c.is_alphabetic();
            in_unit && c.is_ascii_digit()
        });
        let (piece, after) = match cut {
            Some((at, _)) => (&text[..at], Some(&text[at..])),
            None => (text, None),
        };
        rest = after;
        Some(piece)
    })
}

/// The error in words that need no offset: it would count within the piece.
fn problem(piece: &str, error: &DurationError) -> String {
    let from = |at: usize| piece.get(at..).unwrap_or(piece).trim_end();
    match error {
        DurationError::InvalidCharacter(at) => match from(*at).chars().next() {
            Some(c) => format!("{c:?} has no place in one"),
            None => "it is not complete".to_owned(),
        },
        DurationError::NumberExpected(at) => format!("{:?} has no number before it", from(*at)),
        DurationError::UnknownUnit { unit, .. } if unit.is_empty() => {
            format!("{:?} has no unit after it", piece.trim())
        }
        DurationError::UnknownUnit { unit, .. } => {
            format!("unknown unit {unit:?}, use ms, s, m, h, d, w, month or year")
        }
        DurationError::NumberOverflow => too_large(),
        DurationError::Empty => "it is empty".to_owned(),
    }
}

fn too_large() -> String {
    "it is too large, or finer than a nanosecond".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_begin_where_a_number_follows_a_unit() {
        let cut = |text| pieces(text).collect::<Vec<_>>();
        assert_eq!(cut("1h30m"), ["1h", "30m"]);
        assert_eq!(cut("1 hour 30 min"), ["1 hour ", "30 min"]);
        assert_eq!(cut("1 000 s"), ["1 000 s"]);
        assert_eq!(cut("0"), ["0"]);
        assert_eq!(cut(""), [""]);
    }

    #[test]
    fn agrees_with_humantime_where_that_does_not_panic() {
        for text in ["1h", "1h30m", "1.5h 3ms", "2 weeks 1 day", "0", "0s", "1us 1ns", "1 000 s"] {
            assert_eq!(parse(text), Ok(humantime::parse_duration(text).unwrap()), "{text}");
        }
    }

    #[test]
    fn a_sum_that_overflows_by_a_second_is_an_error() {
        let text = format!("{}s 1000ms", u64::MAX);
        assert_eq!(parse(&text), Err(too_large()));
    }
}
