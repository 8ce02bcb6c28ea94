//! Calendar dates, as baselines name them: `2026-12-31`. It knows no time zone and no clock.

use std::fmt;
use std::str::FromStr;

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: i64,
    month: u8,
    day: u8,
}

/// A text that is no date.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a date of the form YYYY-MM-DD")]
pub struct NotADate(String);

impl Date {
    /// The date that lies this many days after 1970-01-01.
    pub fn from_unix_days(days: u64) -> Self {
        let mut left = days;
        let mut year = 1970;
        // Whole 400-year cycles first, so that no input takes long.
        year += (left / 146_097 * 400).cast_signed();
        left %= 146_097;
        while left >= year_days(year) {
            left -= year_days(year);
            year += 1;
        }
        let mut month = 1;
        while left >= u64::from(month_days(year, month)) {
            left -= u64::from(month_days(year, month));
            month += 1;
        }
        Self { year, month, day: left as u8 + 1 }
    }
}

impl FromStr for Date {
    type Err = NotADate;

    fn from_str(text: &str) -> Result<Self, NotADate> {
        let bad = || NotADate(text.to_owned());
        let mut parts = text.split('-');
        let mut number = |digits: usize| -> Option<u16> {
            let part = parts.next()?;
            let plain = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
            if plain { part.parse().ok() } else { None }
        };
        let (year, month, day) = (number(4), number(2), number(2));
        let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else { return Err(bad()) };
        let (year, month, day) = (i64::from(year), month as u8, day as u8);
        let exists = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
        if exists { Ok(Self { year, month, day }) } else { Err(bad()) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_days(year: i64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

fn month_days(year: i64, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_since_the_epoch_become_dates() {
        for (days, date) in [(0, "1970-01-01"), (58, "1970-02-28"), (59, "1970-03-01"), (11_016, "2000-02-29")] {
            assert_eq!(Date::from_unix_days(days).to_string(), date);
        }
        assert_eq!(Date::from_unix_days(20_454).to_string(), "2026-01-01");
        assert_eq!(Date::from_unix_days(47_540).to_string(), "2100-02-28");
        assert_eq!(Date::from_unix_days(47_541).to_string(), "2100-03-01");
    }

    #[test]
    fn dates_are_ordered_and_come_back_as_they_went() {
        let (a, b): (Date, Date) = ("2025-12-31".parse().unwrap(), "2026-01-01".parse().unwrap());
        assert!(a < b);
        assert_eq!(a.to_string(), "2025-12-31");
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in ["", "2026", "2026-1-1", "2026-13-01", "2026-02-29", "2026-04-31", "2026-01-01-01", "x026-01-01"] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }
}
