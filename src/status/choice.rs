// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which form of the status a request asks for: by the end of its path, by its query, or by its Accept (RFC 9110 §12.5.1).

/// A form of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusForm {
    /// A page for people.
    Html,
    /// For programs.
    Json,
    /// For Prometheus and its kin.
    Metrics,
}

impl StatusForm {
    const ALL: [Self; 3] = [Self::Html, Self::Json, Self::Metrics];

    /// The value of Content-Type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Metrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The headers that it is sent with. Nothing keeps it, and a page loads nothing.
    #[must_use]
    pub fn headers(self) -> [(&'static str, &'static str); 5] {
        [
            ("Content-Type", self.content_type()),
            ("Cache-Control", "no-store"),
            ("Vary", "Accept"),
            ("X-Content-Type-Options", "nosniff"),
            (
                "Content-Security-Policy",
                "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            ),
        ]
    }

    fn media(self) -> (&'static str, &'static str) {
        match self {
            Self::Html => ("text", "html"),
            Self::Json => ("application", "json"),
            Self::Metrics => ("application", "openmetrics-text"),
        }
    }

    fn of_word(word: &[u8]) -> Option<Self> {
        match word {
            b"html" => Some(Self::Html),
            b"json" => Some(Self::Json),
            b"metrics" => Some(Self::Metrics),
            _ => None,
        }
    }

    /// The one that a request asks for. Who accepts none of them gets the page.
    #[must_use]
    pub fn wanted(path: &[u8], query: &[u8], accept: Option<&[u8]>) -> Self {
        let last = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let by_name = Self::of_word(query).or_else(|| Self::of_word(last));
        by_name.unwrap_or_else(|| {
            let mut best = (Self::Html, 0);
            for form in Self::ALL {
                let weight = accept.map_or(0, |accept| form.weight(accept));
                if weight > best.1 {
                    best = (form, weight);
                }
            }
            best.0
        })
    }

    /// How much it is wanted, in thousandths: what names it more closely wins over what does less.
    fn weight(self, accept: &[u8]) -> u32 {
        let (kind, sub) = self.media();
        let mut found = (0, 0);
        for range in String::from_utf8_lossy(accept).split(',') {
            let mut parts = range.split(';').map(str::trim);
            let Some((range_kind, range_sub)) = parts.next().and_then(|media| media.split_once('/')) else {
                continue;
            };
            let closeness = if range_kind.eq_ignore_ascii_case(kind) && range_sub.eq_ignore_ascii_case(sub) {
                3
            } else if range_kind.eq_ignore_ascii_case(kind) && range_sub == "*" {
                2
            } else if range_kind == "*" && range_sub == "*" {
                1
            } else {
                continue;
            };
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1000, thousandths);
            if closeness > found.0 || closeness == found.0 && quality > found.1 {
                found = (closeness, quality);
            }
        }
        found.1
    }
}

/// 0 to 1 with three digits at most. What is none counts as 0.
fn thousandths(text: &str) -> u32 {
    text.parse::<f32>()
        .ok()
        .filter(|quality| (0.0..=1.0).contains(quality))
        .map_or(0, |quality| (quality * 1000.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::{
        StatusForm::{Html, Json, Metrics},
        *,
    };

    #[test]
    fn a_path_and_a_query_say_it_plainly() {
        for (path, query, form) in [
            ("/gangway", "", Html),
            ("/gangway/", "", Html),
            ("/gangway/json", "", Json),
            ("/gangway/metrics", "", Metrics),
            ("/metrics", "", Metrics),
            ("/gangway", "json", Json),
            ("/gangway", "metrics", Metrics),
            ("/gangway/json", "html", Html),
            ("/gangwayjson", "x=json", Html),
        ] {
            assert_eq!(StatusForm::wanted(path.as_bytes(), query.as_bytes(), None), form, "{path}?{query}");
        }
    }

    #[test]
    fn accept_is_weighed() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        for (accept, form) in [
            ("*/*", Html),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Html),
            (prometheus, Metrics),
            ("application/json", Json),
            ("Application/JSON; charset=utf-8", Json),
            ("application/*", Json),
            ("text/html;q=0.2, application/json;q=0.3", Json),
            ("application/json;q=0, */*", Html),
            ("application/json;q=2, text/html;q=0.1", Html),
            ("image/png", Html),
            ("", Html),
            (",;/,q=1", Html),
        ] {
            assert_eq!(StatusForm::wanted(b"/gangway", b"", Some(accept.as_bytes())), form, "{accept}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_have_a_form(path: Vec<u8>, query: Vec<u8>, accept: Vec<u8>) {
            let _ = StatusForm::wanted(&path, &query, Some(&accept));
        }
    }
}
