//! `to_char` of numbers.

use super::unsupported;
use crate::Error;
use crate::number::Number;

/// A template, taken apart.
#[derive(Default)]
struct Template {
    /// Positions before the point: true is `0`; separators stand between them.
    whole: Vec<Place>,
    /// Positions after it.
    fraction: Vec<Place>,
    point: bool,
    fill: bool,
    sign: Sign,
}

#[derive(Clone, PartialEq)]
enum Place {
    Nine,
    Zero,
    Group,
    Text(String),
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Sign {
    /// A minus before the first digit, a blank for the plus.
    #[default]
    Anchored,
    /// `S` at the beginning or end.
    Leading,
    Trailing,
    /// `MI`, `PL`, `SG` at the beginning or end.
    Minus(bool),
    Plus(bool),
    Both(bool),
    /// `PR`
    Brackets,
}

/// A number in a template.
pub(super) fn write(value: &Number, template: &str) -> Result<String, Error> {
    let template = parse(template)?;
    let count = |places: &[Place]| {
        places.iter().filter(|place| matches!(place, Place::Nine | Place::Zero)).count()
    };
    let places = count(&template.fraction);
    let rounded = value.round(i32::try_from(places).unwrap_or(0))?;
    let negative = rounded.signum() < 0;
    let (whole, fraction) = rounded.digits_around_point();
    let whole = whole.trim_start_matches('0');
    let positions = count(&template.whole);
    let overflow = whole.len() > positions;
    let before = if overflow {
        hashes(&template.whole)
    } else {
        whole_part(&template, whole, positions, places > 0)
    };
    let after =
        if overflow { hashes(&template.fraction) } else { fraction_part(&template, &fraction) };
    let body =
        if template.point { format!("{before}.{after}") } else { format!("{before}{after}") };
    Ok(signed(&template, &body, negative))
}

fn hashes(places: &[Place]) -> String {
    places
        .iter()
        .map(|place| match place {
            Place::Nine | Place::Zero => "#".to_owned(),
            Place::Group => ",".to_owned(),
            Place::Text(text) => text.clone(),
        })
        .collect()
}

/// Digits before the point, blanks (or nothing) where there are none.
fn whole_part(template: &Template, whole: &str, positions: usize, has_fraction: bool) -> String {
    let mut digits = whole.chars();
    let mut lead = positions - whole.len();
    let mut started = false;
    let mut left = positions;
    let mut result = String::new();
    for place in &template.whole {
        match place {
            Place::Text(text) => result.push_str(text),
            Place::Group if started => result.push(','),
            Place::Group if template.fill => result.push(' '),
            Place::Group => {}
            place => {
                left -= 1;
                started |= *place == Place::Zero;
                if lead > 0 {
                    lead -= 1;
                    // A lone zero is shown when nothing follows the point.
                    let last = left == 0 && whole.is_empty() && !has_fraction;
                    if started || last {
                        result.push('0');
                        started = true;
                    } else if template.fill {
                        result.push(' ');
                    }
                } else {
                    started = true;
                    result.extend(digits.next());
                }
            }
        }
    }
    result
}

fn fraction_part(template: &Template, fraction: &str) -> String {
    // Without padding, zeros at the end go as far as the places are nines.
    let fixed = template
        .fraction
        .iter()
        .filter(|place| matches!(place, Place::Nine | Place::Zero))
        .enumerate()
        .filter(|(_, place)| **place == Place::Zero)
        .map(|(index, _)| index + 1)
        .max()
        .unwrap_or(0);
    let shown = if template.fill {
        fraction.len()
    } else {
        fraction.trim_end_matches('0').len().max(fixed)
    };
    let mut digits = fraction.chars().take(shown);
    let mut result = String::new();
    for place in &template.fraction {
        match place {
            Place::Text(text) => result.push_str(text),
            Place::Group => {}
            _ => result.extend(digits.next()),
        }
    }
    result
}

fn signed(template: &Template, body: &str, negative: bool) -> String {
    let blanks = body.len() - body.trim_start_matches(' ').len();
    let (lead, number) = body.split_at(blanks);
    let anchored = |sign: &str| format!("{lead}{sign}{number}");
    let blank = if template.fill { " " } else { "" };
    match template.sign {
        Sign::Anchored if negative => anchored("-"),
        Sign::Anchored => format!("{blank}{body}"),
        Sign::Leading => anchored(if negative { "-" } else { "+" }),
        Sign::Trailing => format!("{body}{}", if negative { '-' } else { '+' }),
        Sign::Brackets if negative => format!("{lead}<{number}>"),
        Sign::Brackets if template.fill => format!(" {body} "),
        Sign::Brackets => body.to_owned(),
        Sign::Minus(first) => placed(body, if negative { "-" } else { blank }, first),
        Sign::Plus(first) => {
            let plus = placed(body, if negative { blank } else { "+" }, first);
            if negative { format!("-{}", plus.trim_start()) } else { plus }
        }
        Sign::Both(first) => placed(body, if negative { "-" } else { "+" }, first),
    }
}

fn placed(body: &str, sign: &str, first: bool) -> String {
    if first { format!("{sign}{body}") } else { format!("{body}{sign}") }
}

fn parse(text: &str) -> Result<Template, Error> {
    let mut template = Template { fill: true, ..Template::default() };
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let two = rest.get(..2).map(str::to_ascii_uppercase);
        let first = template.whole.is_empty() && !template.point;
        let mut length = 1;
        match (two.as_deref(), c.to_ascii_uppercase()) {
            (Some("FM"), _) => {
                template.fill = false;
                length = 2;
            }
            (Some("MI"), _) => {
                template.sign = Sign::Minus(first);
                length = 2;
            }
            (Some("PL"), _) => {
                template.sign = Sign::Plus(first);
                length = 2;
            }
            (Some("SG"), _) => {
                template.sign = Sign::Both(first);
                length = 2;
            }
            (Some("PR"), _) => {
                template.sign = Sign::Brackets;
                length = 2;
            }
            (Some(pattern @ ("TH" | "RN" | "EE")), _) => return Err(unsupported(pattern)),
            (_, 'S') => template.sign = if first { Sign::Leading } else { Sign::Trailing },
            (_, 'V') => return Err(unsupported("V")),
            (_, '9') => place(&mut template, Place::Nine),
            (_, '0') => place(&mut template, Place::Zero),
            (_, '.' | 'D') => {
                if template.point {
                    return Err(Error::new("42601", "multiple decimal points"));
                }
                template.point = true;
            }
            (_, ',' | 'G') => place(&mut template, Place::Group),
            (_, 'L') => place(&mut template, Place::Text(" ".to_owned())),
            (_, '"') => {
                let body = rest.get(1..).unwrap_or_default();
                let inner = body.split('"').next().unwrap_or_default();
                place(&mut template, Place::Text(inner.to_owned()));
                length = (inner.len() + 2).min(rest.len());
            }
            _ => {
                length = c.len_utf8();
                place(&mut template, Place::Text(c.to_string()));
            }
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    Ok(template)
}

fn place(template: &mut Template, place: Place) {
    if template.point { template.fraction.push(place) } else { template.whole.push(place) }
}
