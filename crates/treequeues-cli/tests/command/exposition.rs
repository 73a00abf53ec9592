//! What Prometheus accepts, checked line by line.
//!
//! The rules are those of <https://prometheus.io/docs/instrumenting/exposition_formats/> and of `promtool check metrics`.

use std::collections::{BTreeMap, BTreeSet};

/// A sample's metric, labels in order, and value.
pub type Sample = (String, BTreeMap<String, String>, f64);

/// The samples of a text, or the first rule that it breaks.
pub fn parse(text: &str) -> Result<Vec<Sample>, String> {
    let mut samples = Vec::new();
    let mut current: Option<(String, bool)> = None;
    let (mut begun, mut seen) = (BTreeSet::new(), BTreeSet::new());
    if !text.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    let mut helped = None;
    for line in text.lines() {
        let wrong = |why: &str| Err(format!("{why}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let Some((name, help)) = rest.split_once(' ') else { return wrong("no help") };
            if help.is_empty() || !begun.insert(name.to_owned()) {
                return wrong("no help, or a metric in two places");
            }
            helped = Some(name.to_owned());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let Some((name, kind)) = rest.split_once(' ') else { return wrong("no type") };
            if helped.as_deref() != Some(name) || !is_name(name) {
                return wrong("a type without its help, or no name");
            }
            if !matches!(kind, "gauge" | "counter") || (kind == "counter") != name.ends_with("_total") {
                return wrong("counters, and they alone, end in _total");
            }
            current = Some((name.to_owned(), false));
        } else {
            let sample = sample(line).ok_or_else(|| format!("no sample: {line}"))?;
            match &mut current {
                Some((name, has_samples)) if *name == sample.0 => *has_samples = true,
                _ => return wrong("a sample away from its metric"),
            }
            if sample.2.is_nan() || (sample.0.ends_with("_total") && sample.2 < 0.0) {
                return wrong("no value");
            }
            if !seen.insert((sample.0.clone(), sample.1.clone())) {
                return wrong("a sample that was there");
            }
            samples.push(sample);
        }
    }
    Ok(samples)
}

fn sample(line: &str) -> Option<Sample> {
    let (name, rest) = line.split_once('{')?;
    let mut labels = BTreeMap::new();
    let mut rest = rest;
    loop {
        let (label, after) = rest.split_once("=\"")?;
        let (value, after) = quoted(after)?;
        if !is_name(label) || labels.insert(label.to_owned(), value).is_some() {
            return None;
        }
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => {
                rest = after.strip_prefix("} ")?;
                break;
            }
        }
    }
    (is_name(name)).then_some(())?;
    Some((name.to_owned(), labels, rest.parse().ok()?))
}

/// A label's value up to its closing quote, and what is behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                c @ ('\\' | '"') => value.push(c),
                _ => return None,
            },
            c => value.push(c),
        }
    }
    None
}

fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

#[test]
fn the_checker_finds_what_is_wrong() {
    let head = "# HELP a_total Help.\n# TYPE a_total counter\n";
    let good = format!("{head}a_total{{x=\"1\",y=\"\\\"\"}} 2\na_total{{x=\"2\",y=\"\"}} 0.5\n");
    assert_eq!(parse(&good).expect("good").len(), 2);
    for bad in [
        format!("{head}a_total{{x=\"1\"}} 2"),
        format!("{head}a_total{{x=\"1\"}} two\n"),
        format!("{head}b_total{{x=\"1\"}} 2\n"),
        format!("{head}a_total{{x=\"1\"}} 2\na_total{{x=\"1\"}} 3\n"),
        format!("{head}a_total{{x=\"1\\q\"}} 2\n"),
        format!("{head}a_total{{1x=\"1\"}} 2\n"),
        format!("{good}{good}"),
        "# TYPE a_total counter\na_total{x=\"1\"} 2\n".into(),
        "# HELP a Help.\n# TYPE a counter\na{x=\"1\"} 2\n".into(),
    ] {
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
