//! All that is wrong with a configuration, in one report that shows the places.
//!
//! Invariant: nothing of a secret gets in here: source lines come masked, and no reason quotes one.

use std::fmt;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin as PlaceOnly, Renderer, Snippet};

use super::origin::{Origin, Place};

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    pub origin: Origin,
    /// The key as TOML writes it; empty where no key is at fault.
    pub key: String,
    pub reason: String,
}

impl Problem {
    pub(super) fn new(origin: &Origin, key: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self { origin: origin.clone(), key: key.to_string(), reason: reason.to_string() }
    }

    /// Nobody set what is wrong: something is missing.
    pub(super) fn general(reason: impl fmt::Display) -> Self {
        Self::new(&Origin::Default, "", reason)
    }

    fn title(&self) -> String {
        let subject = match &self.origin {
            Origin::Environment(name) => name.as_str(),
            Origin::Flag(name) => name,
            Origin::Argument => "URL",
            Origin::Default | Origin::File(_) => self.key.as_str(),
        };
        match subject {
            "" => self.reason.clone(),
            subject => format!("{subject}: {}", self.reason),
        }
    }

    fn element(&self) -> Option<Element<'_>> {
        let Origin::File(place) = &self.origin else { return None };
        let path = place.source.path.as_str();
        Some(if place.source.shown {
            let annotation = AnnotationKind::Primary.span(place.span.clone());
            Snippet::source(&place.source.masked).path(path).annotation(annotation).into()
        } else {
            let (line, column) = place.line_and_column();
            PlaceOnly::path(path).line(line).char_column(column).into()
        })
    }

    /// Files from top to bottom, then the rest.
    fn order(&self) -> (bool, usize) {
        match &self.origin {
            Origin::File(Place { span, .. }) => (false, span.start),
            _ => (true, 0),
        }
    }
}

/// One line, `FILE:LINE:COLUMN: key: reason`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Origin::File(place) = &self.origin {
            let (line, column) = place.line_and_column();
            write!(f, "{}:{line}:{column}: ", place.source.path)?;
        }
        f.write_str(&self.title())
    }
}

/// Why nothing was started. Never empty.
#[derive(Clone, Debug)]
pub struct Report {
    problems: Vec<Problem>,
}

impl Report {
    /// `Ok` if nothing is wrong.
    pub(super) fn check(mut problems: Vec<Problem>) -> Result<(), Self> {
        problems.sort_by_key(Problem::order);
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }

    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// With colours, for a terminal (what prints it strips them where there is none).
    pub fn styled(&self) -> String {
        self.render(&Renderer::styled())
    }

    fn render(&self, renderer: &Renderer) -> String {
        let shown: Vec<_> = self
            .problems
            .iter()
            .map(|problem| {
                let group = Group::with_title(Level::ERROR.primary_title(problem.title()));
                renderer.render(&[group.elements(problem.element())])
            })
            .collect();
        let count = match self.problems.len() {
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        };
        format!("{}\n\n{count}: nothing was started", shown.join("\n\n"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Report {}
