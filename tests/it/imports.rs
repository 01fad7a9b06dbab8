//! Which file of `src` uses which, read from every `use` and every path: what the tests of the architecture ask.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use syn::visit::Visit;

/// A module's path from the crate's root: `["fsio", "journal"]`.
type Module = Vec<String>;

/// A path as it is written: `["super", "journal", "Journal"]`.
type Written = Vec<String>;

/// All sources of a crate.
pub(crate) struct House {
    files: BTreeMap<Module, File>,
    /// From file to file, and the names that ride on it.
    edges: BTreeMap<(String, String), BTreeSet<String>>,
}

struct File {
    name: String,
    /// Modules declared in braces count as the file's own.
    uses: Vec<Written>,
    /// What `pub use` hands on: the name it goes by, and where it comes from. `*` hands on everything.
    hands_on: Vec<(String, Written)>,
    types: Vec<String>,
}

impl House {
    /// The sources of this crate.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = Vec::new();
        let mut open = vec![root.join("src")];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                    // Modules of tests are files, too.
                    if !name.ends_with("_tests.rs") {
                        found.push((name, fs::read_to_string(&path).unwrap()));
                    }
                }
            }
        }
        assert!(found.len() > 40, "found only {} sources", found.len());
        let found: Vec<(&str, &str)> = found.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        Self::of(&found)
    }

    /// Sources by their names.
    pub(crate) fn of(sources: &[(&str, &str)]) -> Self {
        let mut files = BTreeMap::new();
        for (name, text) in sources {
            let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let mut reader = Reader::default();
            reader.visit_file(&parsed);
            let file =
                File { name: (*name).to_owned(), uses: reader.uses, hands_on: reader.hands_on, types: reader.types };
            files.insert(module_of(name), file);
        }
        let mut house = Self { files, edges: BTreeMap::new() };
        house.edges = house.find_edges();
        house
    }

    /// Every file.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.values().map(|file| file.name.as_str())
    }

    /// Who uses whom.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.edges.keys().map(|(from, to)| (from.as_str(), to.as_str()))
    }

    /// The names that one file takes from another.
    pub(crate) fn names(&self, from: &str, to: &str) -> String {
        let names = self.edges.get(&(from.to_owned(), to.to_owned()));
        names.map(|names| names.iter().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default()
    }

    /// The first folder, or the file's own name at the top.
    pub(crate) fn layer<'f>(&self, file: &'f str) -> &'f str {
        let below = file.strip_prefix("src/").unwrap_or(file);
        below.split('/').next().unwrap_or(below).trim_end_matches(".rs")
    }

    pub(crate) fn graph(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in self.edges.keys() {
            graph.entry(from.clone()).or_default().insert(to.clone());
        }
        graph
    }

    /// A circle with what ties it.
    pub(crate) fn tell(&self, circle: &[String]) -> String {
        let inside = self.edges.iter().filter(|((from, to), _)| circle.contains(from) && circle.contains(to));
        let ties = inside.map(|((from, to), names)| {
            format!("  {from} -> {to}: {}", names.iter().cloned().collect::<Vec<_>>().join(", "))
        });
        format!("{}\n{}", circle.join(", "), ties.collect::<Vec<_>>().join("\n"))
    }

    /// The types that each file defines, those of its tests left out.
    pub(crate) fn types(&self) -> Vec<(String, String)> {
        let all = self.files.values();
        all.flat_map(|file| file.types.iter().map(|name| (name.clone(), file.name.clone()))).collect()
    }

    fn find_edges(&self) -> BTreeMap<(String, String), BTreeSet<String>> {
        let mut edges: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for (module, file) in &self.files {
            for path in &file.uses {
                for (target, name) in self.resolve(module, path, 0) {
                    if target != *module {
                        let to = self.files[&target].name.clone();
                        edges.entry((file.name.clone(), to)).or_default().insert(name);
                    }
                }
            }
        }
        edges
    }

    /// The files that a path leads to, through what modules hand on, with the name that is taken from each.
    fn resolve(&self, from: &Module, path: &[String], depth: usize) -> Vec<(Module, String)> {
        let mut at = from.clone();
        let mut rest = path;
        match rest.first().map(String::as_str) {
            Some("crate") => {
                at.clear();
                rest = &rest[1..];
            }
            Some("self") => rest = &rest[1..],
            Some("super") => {
                while rest.first().is_some_and(|first| first == "super") {
                    at.pop();
                    rest = &rest[1..];
                }
            }
            // A module beside it, declared here; anything else is another crate or a name in scope.
            Some(first) if !self.files.contains_key(&[at.as_slice(), &[first.to_owned()]].concat()) => {
                return Vec::new();
            }
            _ => {}
        }
        while let Some(next) = rest.first() {
            let below = [at.as_slice(), std::slice::from_ref(next)].concat();
            if !self.files.contains_key(&below) {
                break;
            }
            at = below;
            rest = &rest[1..];
        }
        let Some(name) = rest.first().filter(|name| *name != "*") else {
            // The module itself: what is taken from it is written where it is used.
            return if rest.is_empty() { Vec::new() } else { vec![(at, "*".to_owned())] };
        };
        if depth < 8
            && let Some(file) = self.files.get(&at)
        {
            for (known, origin) in &file.hands_on {
                if known == name {
                    let found = self.resolve(&at, &[origin.as_slice(), &rest[1..]].concat(), depth + 1);
                    if !found.is_empty() {
                        return found;
                    }
                }
            }
        }
        if self.files.contains_key(&at) { vec![(at, name.clone())] } else { Vec::new() }
    }
}

fn module_of(name: &str) -> Module {
    let below = name.strip_prefix("src/").unwrap_or(name).trim_end_matches(".rs");
    let mut module: Module = below.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

#[derive(Default)]
struct Reader {
    uses: Vec<Written>,
    hands_on: Vec<(String, Written)>,
    types: Vec<String>,
    /// What `use` gives a short name: paths that start with it are longer than they look.
    short: BTreeMap<String, Written>,
}

impl Reader {
    fn tree(&mut self, front: &Written, tree: &syn::UseTree, is_public: bool) {
        let with = |name: String| [front.as_slice(), &[name]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(path.ident.to_string()), &path.tree, is_public),
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(front, item, is_public)),
            syn::UseTree::Glob(_) => self.take("*".to_owned(), with("*".to_owned()), is_public),
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.take(front.last().cloned().unwrap_or_default(), front.clone(), is_public);
            }
            syn::UseTree::Name(name) => self.take(name.ident.to_string(), with(name.ident.to_string()), is_public),
            syn::UseTree::Rename(rename) => {
                self.take(rename.rename.to_string(), with(rename.ident.to_string()), is_public);
            }
        }
    }

    fn take(&mut self, name: String, path: Written, is_public: bool) {
        if is_public {
            self.hands_on.push((name, path));
        } else {
            self.short.insert(name, path.clone());
            self.uses.push(path);
        }
    }

    /// A path in an expression or type, its short first name written out.
    fn path(&mut self, mut path: Written) {
        if path.len() < 2 {
            return;
        }
        if let Some(long) = self.short.get(&path[0]) {
            path = [long.as_slice(), &path[1..]].concat();
        }
        self.uses.push(path);
    }
}

fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            _ => return syn::visit::visit_item(self, item),
        };
        if !is_of_tests(attributes) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        self.tree(&Vec::new(), &item.tree, is_public);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        // Its tokens are no syntax yet: every row of names with `::` between them is a path.
        let text = found.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))) {
            self.path(word.split("::").map(str::to_owned).collect());
        }
        syn::visit::visit_macro(self, found);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.types.push(item.ident.to_string());
        syn::visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.types.push(item.ident.to_string());
        syn::visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.types.push(item.ident.to_string());
        syn::visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.types.push(item.ident.to_string());
        syn::visit::visit_item_type(self, item);
    }
}

/// Files that use each other in a circle: the strongly connected components of more than one (Tarjan).
pub(crate) fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    struct Walk<'g> {
        graph: &'g BTreeMap<String, BTreeSet<String>>,
        index: BTreeMap<&'g str, usize>,
        low: BTreeMap<&'g str, usize>,
        stack: Vec<&'g str>,
        found: Vec<Vec<String>>,
    }
    impl<'g> Walk<'g> {
        fn visit(&mut self, node: &'g str) {
            let number = self.index.len();
            self.index.insert(node, number);
            self.low.insert(node, number);
            self.stack.push(node);
            for next in self.graph.get(node).into_iter().flatten() {
                if !self.index.contains_key(next.as_str()) {
                    self.visit(next);
                    self.low.insert(node, self.low[node].min(self.low[next.as_str()]));
                } else if self.stack.contains(&next.as_str()) {
                    self.low.insert(node, self.low[node].min(self.index[next.as_str()]));
                }
            }
            if self.low[node] == self.index[node] {
                let at = self.stack.iter().position(|known| *known == node).unwrap();
                let mut circle: Vec<String> = self.stack.split_off(at).into_iter().map(str::to_owned).collect();
                if circle.len() > 1 {
                    circle.sort();
                    self.found.push(circle);
                }
            }
        }
    }
    let (index, low) = (BTreeMap::new(), BTreeMap::new());
    let mut walk = Walk { graph, index, low, stack: Vec::new(), found: Vec::new() };
    for node in graph.keys() {
        if !walk.index.contains_key(node.as_str()) {
            walk.visit(node);
        }
    }
    walk.found
}
