//! Links between the pages of this repository lead somewhere: to a file or folder, and to a heading if they name one.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// README and its like, and all below `docs/`.
fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages: Vec<PathBuf> = entries(root).filter(|path| is_page(path)).collect();
    let mut folders = vec![root.join("docs")];
    while let Some(folder) = folders.pop() {
        folders.extend(entries(&folder).filter(|path| path.is_dir()));
        pages.extend(entries(&folder).filter(|path| is_page(path)));
    }
    assert!(pages.len() > 10, "docs/ was found");
    pages
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
}

fn is_page(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "md")
}

/// What stands in `](…)`, without what is elsewhere in the world.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target).filter(|target| !target.contains("://") && !target.contains(' '))
}

/// The anchors of a page, as GitHub makes them of its headings.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    headings.map(|line| {
        let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|&c| c.is_alphanumeric() || c == '-' || c == '_').collect()
    })
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page).expect("UTF-8");
        for link in links(&text) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = page.parent().expect("a folder").join(path);
            let target = if path.is_empty() { page.clone() } else { target };
            let found = match anchor {
                "" => target.exists(),
                anchor => {
                    fs::read_to_string(&target).is_ok_and(|text| anchors(&text).any(|name| name == anchor))
                }
            };
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_heading_is_found_by_its_anchor() {
    let page = "# One\n## What can't be hidden\ntext";
    assert_eq!(anchors(page).collect::<Vec<_>>(), ["one", "what-cant-be-hidden"]);
    assert_eq!(links("[a](b.md#c), [d](https://e), [f](#g)").collect::<Vec<_>>(), ["b.md#c", "#g"]);
}
