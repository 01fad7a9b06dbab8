//! The table of cases: each rule has one that raises it and one that nearly does.

use super::image::{Checked, Image, text};

/// What is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The whole image.
    Image,
    /// The closure of all its store paths.
    Closure,
}

pub(crate) struct Case {
    pub(crate) code: &'static str,
    pub(crate) name: &'static str,
    /// Where and about what the finding is; `None` for a near miss.
    pub(crate) raised: Option<(&'static str, &'static str)>,
    /// Another severity than the rule's.
    pub(crate) severity: Option<&'static str>,
    /// Every code that is found, each as often as it is found.
    pub(crate) finds: &'static str,
    pub(crate) scope: Scope,
    /// `IMAGE` stands for its folder on this machine.
    pub(crate) arguments: &'static [&'static str],
    pub(crate) build: fn(&Image),
}

pub(crate) fn raises(code: &'static str, name: &'static str, at: (&'static str, &'static str)) -> Case {
    Case { raised: Some(at), finds: code, ..near(code, name) }
}

/// Nothing is found, unless the case says otherwise.
pub(crate) fn near(code: &'static str, name: &'static str) -> Case {
    let build: fn(&Image) = |_| panic!("a case without an image");
    Case { code, name, raised: None, severity: None, finds: "", scope: Scope::Image, arguments: &[], build }
}

impl Case {
    pub(crate) fn in_image(mut self, build: fn(&Image)) -> Self {
        self.build = build;
        self
    }

    pub(crate) fn in_closure(mut self, build: fn(&Image)) -> Self {
        self.scope = Scope::Closure;
        self.build = build;
        self
    }

    pub(crate) fn finds(mut self, codes: &'static str) -> Self {
        self.finds = codes;
        self
    }

    pub(crate) fn severity(mut self, severity: &'static str) -> Self {
        self.severity = Some(severity);
        self
    }

    pub(crate) fn with(mut self, arguments: &'static [&'static str]) -> Self {
        self.arguments = arguments;
        self
    }

    pub(crate) fn title(&self) -> String {
        let kind = if self.raised.is_some() { "raises" } else { "near miss" };
        format!("{} {kind}: {}", self.code, self.name)
    }

    pub(crate) fn image(&self) -> Image {
        let image = Image::new();
        (self.build)(&image);
        image
    }

    pub(crate) fn check(&self, image: &Image, more: &[&str]) -> Checked {
        Checked::of(image.run("check", &self.all_arguments(image, more)))
    }

    /// What `check --root IMAGE` is called with.
    pub(crate) fn all_arguments(&self, image: &Image, more: &[&str]) -> Vec<String> {
        let host = image.host("/");
        let own = self.arguments.iter().map(|argument| argument.replace("IMAGE", text(&host).trim_end_matches('/')));
        let mut arguments: Vec<String> = own.chain(more.iter().map(ToString::to_string)).collect();
        if self.scope == Scope::Closure {
            arguments.extend(["--closure-from".to_owned(), text(&image.store_paths()).to_owned()]);
        }
        arguments
    }
}

/// Every case of every rule.
pub(crate) fn cases() -> Vec<Case> {
    let all = [
        super::requests::cases(),
        super::entries::cases(),
        super::fit::cases(),
        super::compat::cases(),
        super::driver::cases(),
        super::gpu::cases(),
        super::whole::cases(),
        super::containers::cases(),
    ];
    all.into_iter().flatten().collect()
}
