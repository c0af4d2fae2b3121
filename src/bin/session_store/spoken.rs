//! Times as people say them.

use std::time::{Duration, SystemTime};

/// To about a hundredth: "45s", "3h 12m", "2d 4h", "100d".
pub(crate) fn span(span: Duration) -> String {
    let secs = span.as_secs();
    let (mins, hours, days) = (secs / 60, secs / 3_600, secs / 86_400);
    match secs {
        0..60 => format!("{secs}s"),
        60..600 => format!("{mins}m {}s", secs % 60),
        600..3_600 => format!("{mins}m"),
        3_600..86_400 => format!("{hours}h {}m", mins % 60),
        86_400..864_000 => format!("{days}d {}h", hours % 24),
        _ => format!("{days}d"),
    }
}

/// How long ago, by the clock of this machine; what lies ahead is now.
pub(crate) fn since(at: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(at).unwrap_or_default()
}

/// "in 5m", "3h ago", "never".
pub(crate) fn deadline(at: Option<SystemTime>, now: SystemTime) -> String {
    match at {
        None => "never".into(),
        Some(at) if at <= now => format!("{} ago", span(since(at, now))),
        Some(at) => format!("in {}", span(at.duration_since(now).unwrap_or_default())),
    }
}

pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// As a person counts: "1 session", "2 sessions".
pub(crate) fn count(n: u64, one: &str) -> String {
    if n == 1 { format!("1 {one}") } else { format!("{n} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (secs, said) in
            [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3_661, "1h 1m"), (90_061, "1d 1h"), (864_000, "10d")]
        {
            assert_eq!(span(Duration::from_secs(secs)), said);
        }
    }

    #[test]
    fn deadlines_say_on_which_side_they_are() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(deadline(None, now), "never");
        assert_eq!(deadline(Some(now + Duration::from_secs(5)), now), "in 5s");
        assert_eq!(deadline(Some(now - Duration::from_secs(5)), now), "5s ago");
        assert_eq!(deadline(Some(now), now), "0s ago");
    }
}
