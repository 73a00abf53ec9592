//! Bytes, spans of time and rates, as people read them: three digits and a unit.

use std::time::Duration;

use jiff::Timestamp;

/// What the core promises of the length of a hold.
const HOLD_TICK_SECONDS: f64 = 0.01;

/// `0 B`, `999 B`, `7.06 KB`, `14.1 MB`: powers of 1000.
pub fn bytes(count: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KB", "MB", "GB", "TB", "PB"];
    let (value, unit) = scaled(count, 1000.0, UNITS.len());
    if unit == 0 { format!("{value:.0} B") } else { format!("{} {}", three_digits(value), UNITS[unit]) }
}

/// `0`, `12`, `1.23k`, `45.6M`.
pub fn count(count: f64) -> String {
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    let (value, unit) = scaled(count, 1000.0, UNITS.len());
    if unit == 0 { format!("{value:.0}") } else { format!("{}{}", three_digits(value), UNITS[unit]) }
}

/// As `count`, with a decimal where it is small and not whole: `0.5`, `2.5`, `12`.
pub fn rate(per_second: f64) -> String {
    if per_second < 9.95 && (per_second - per_second.round()).abs() > 0.05 {
        format!("{per_second:.1}")
    } else {
        count(per_second)
    }
}

/// `130 ns`, `4.25 us`, `17 ms`, `3.1 s`, `4m 05s`, `3h 07m`, `2d 05h`.
pub fn span(span: Duration) -> String {
    const SECOND_NS: f64 = 1e9;
    let ns = span.as_nanos() as f64;
    let seconds = span.as_secs();
    match ns {
        _ if ns < 999.5 => format!("{ns:.0} ns"),
        _ if ns < 999.5e3 => format!("{} us", three_digits(ns / 1e3)),
        _ if ns < 999.5e6 => format!("{} ms", three_digits(ns / 1e6)),
        _ if ns < 59.95 * SECOND_NS => format!("{:.1} s", ns / SECOND_NS),
        _ if seconds < 3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ if seconds < 24 * 3600 => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / (24 * 3600), seconds / 3600 % 24),
    }
}

/// How long a slot has been held: the clock of holds ticks every few milliseconds, and is not looked at by a put or a get.
pub fn hold(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "a moment".to_owned() };
    if seconds < HOLD_TICK_SECONDS {
        return "<10 ms".to_owned();
    }
    span(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// A span that people follow as it grows: whole seconds from one second on.
pub fn age(seconds: f64) -> String {
    let whole = if seconds < 1.0 { seconds } else { seconds.floor() };
    let text = span(Duration::try_from_secs_f64(whole.max(0.0)).unwrap_or(Duration::MAX));
    text.strip_suffix(".0 s").map_or(text.clone(), |seconds| format!("{seconds} s"))
}

/// `2026-05-04T12:30:00Z`: UTC, to the second.
pub fn moment(moment: std::time::SystemTime) -> String {
    Timestamp::try_from(moment).map_or_else(
        |_| "beyond the calendar".to_owned(),
        |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// `1 item`, `2 items`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn scaled(count: f64, step: f64, units: usize) -> (f64, usize) {
    let (mut value, mut unit) = (count, 0);
    // What would round to 1000 is one of the next unit.
    while value >= step - 0.5 && unit + 1 < units {
        value /= step;
        unit += 1;
    }
    (value, unit)
}

fn three_digits(value: f64) -> String {
    match value {
        _ if value < 9.995 => format!("{value:.2}"),
        _ if value < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_three_digits_and_a_unit() {
        let cases =
            [(0.0, "0 B"), (999.0, "999 B"), (999.6, "1.00 KB"), (7056.0, "7.06 KB"), (14.1e6, "14.1 MB")];
        for (value, text) in cases {
            assert_eq!(bytes(value), text);
        }
        assert_eq!(bytes(2e18), "2000 PB");
    }

    #[test]
    fn rates_show_a_decimal_where_it_matters() {
        for (value, text) in
            [(0.0, "0"), (0.5, "0.5"), (2.0, "2"), (9.96, "10"), (999.7, "1.00k"), (45.6e6, "45.6M")]
        {
            assert_eq!(rate(value), text);
        }
    }

    #[test]
    fn spans_change_their_unit() {
        let cases = [
            (Duration::from_nanos(130), "130 ns"),
            (Duration::from_nanos(4250), "4.25 us"),
            (Duration::from_millis(17), "17.0 ms"),
            (Duration::from_millis(3100), "3.1 s"),
            (Duration::from_secs(245), "4m 05s"),
            (Duration::from_secs(11220), "3h 07m"),
            (Duration::from_secs(190_800), "2d 05h"),
        ];
        for (value, text) in cases {
            assert_eq!(span(value), text);
        }
    }

    #[test]
    fn holds_are_no_more_exact_than_their_clock() {
        for (value, text) in [(0.0, "<10 ms"), (0.009, "<10 ms"), (0.012, "12.0 ms"), (3.25, "3.2 s")] {
            assert_eq!(hold(Some(value)), text);
        }
        assert_eq!(hold(None), "a moment");
    }

    #[test]
    fn ages_are_whole_seconds() {
        let cases = [(0.25, "250 ms"), (3.9, "3 s"), (59.99, "59 s"), (61.5, "1m 01s"), (-1.0, "0 ns")];
        for (value, text) in cases {
            assert_eq!(age(value), text);
        }
    }
}
