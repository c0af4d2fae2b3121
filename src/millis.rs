//! How durations look in JSON: whole milliseconds, in a field whose name ends in `_ms`.
//!
//! Used as `#[serde(rename = "age_ms", serialize_with = "millis::serialize")]`. Configuration is another matter: people
//! write that, so it has units in the text (`"1h"`).

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Writes a duration as whole milliseconds, rounded down.
pub(crate) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(whole(*duration))
}

/// The same for a duration that may be absent, which is written as `null`.
pub(crate) fn serialize_option<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(whole).serialize(serializer)
}

fn whole(duration: Duration) -> u64 {
    // `u128` is more than most readers of JSON can take; 584 million years are enough.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_round_down_and_saturate() {
        assert_eq!(whole(Duration::from_micros(1_999)), 1);
        assert_eq!(whole(Duration::MAX), u64::MAX);
    }
}
