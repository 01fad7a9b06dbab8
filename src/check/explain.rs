//! Searches as a person wants to see them: all places in order, who wins, and what would have won without it.

use std::path::PathBuf;
use std::sync::Arc;

use bstr::{BStr, BString};

use super::answer::{Answer, answer};
use super::context::Context;
use super::explain_symbols::{Behind, ExplainedSymbols};
use super::facts::Facts;
use super::finding::{Finding, Verdict};
use super::ladder::behind;
use super::rules::requests;
use crate::cuda::{Request, RequestKind};
use crate::loader::{
    Ask, Depth, End, Libc, Loader, MOST_PLACES, Patience, Process, Search, StartUp, Step, open, start,
};
use crate::runpath::EntryClass;

/// What to explain.
#[derive(Clone, Debug)]
pub enum Question {
    /// Everything that the object asks for: DT_NEEDED and driver libraries.
    Own,
    /// Everything that starting it searches for, what its libraries need included.
    Everything,
    /// One name.
    Name(BString),
}

/// One search.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Who asks.
    pub(crate) by: BString,
    /// How: DT_NEEDED, a note or a string; `None` for a name from the command line.
    pub(crate) kind: Option<RequestKind>,
    /// The search.
    pub search: Search,
    /// Each step's role.
    pub(crate) classes: Vec<EntryClass>,
    /// The places behind the one that wins, and what they have.
    pub(crate) behind: Vec<Step>,
    /// What it comes to, the target's driver directory taken into account.
    pub(crate) answer: Answer,
    /// In a container, the file that is found, links followed.
    pub(crate) file: Option<BString>,
    /// Whether that is right, for a driver library that the object asks for.
    pub verdict: Option<Verdict>,
    /// What is wrong with it.
    pub(crate) findings: Vec<Finding>,
}

/// All of an explanation.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The loader whose rules apply.
    pub(crate) interpreter: BString,
    /// Whose loader it is.
    pub(crate) libc: Libc,
    /// The program that must open the object with dlopen: it does not load it at start.
    pub(crate) opened_by: Option<PathBuf>,
    /// The searches, in the order in which they are made.
    pub searches: Vec<Explained>,
    /// Where symbols are bound, if that is wanted.
    pub(crate) symbols: Option<ExplainedSymbols>,
}

impl Context<'_> {
    /// Explains what an object asks for, by itself under the path that it is opened under, or in the process of a program
    /// that loads it at start, or else with dlopen.
    /// `None` when nothing is known of its machine's loader, or the program cannot load it.
    #[must_use]
    pub(crate) fn explain(
        &self,
        (facts, opened): (&Arc<Facts>, &BStr),
        program: Option<&Arc<Facts>>,
        question: &Question,
    ) -> Option<Explanation> {
        let first = program.unwrap_or(facts);
        let system = self.system_of(first)?;
        let environment = self.environment_of(first);
        let patience = Patience::of(MOST_PLACES);
        let loader = Loader { files: self.world, system, environment: &environment, patience: &patience };
        let process = match program {
            Some(program) => Process::of(Arc::clone(&program.object)),
            None => Process::opened(Arc::clone(&facts.object), opened.to_owned()),
        };
        let mut started = start(&loader, process, Depth::EverySearch);
        let at_start = started.process.maps.iter().position(|map| map.object.identity == facts.object.identity);
        let index = match at_start {
            Some(index) => index,
            // No loader maps it into such a process.
            None if facts.object.ident() != first.object.ident() => return None,
            None => open(&loader, &mut started, Arc::clone(&facts.object), opened.to_owned()),
        };
        let StartUp { process, searches } = started;
        let patience = Patience::of(MOST_PLACES);
        let loader = Loader { patience: &patience, ..loader };
        let mut explained = Vec::new();
        let own = searches.iter().filter(|(by, _)| *by == index || matches!(question, Question::Everything));
        match question {
            Question::Name(name) => {
                let asks = |(by, search): &&(usize, Search)| *by == index && search.name == *name;
                let (kind, search) = match searches.iter().find(asks) {
                    Some((_, search)) => (Some(RequestKind::Needed), search.clone()),
                    None => {
                        let request = facts.consumer.requests.iter().find(|request| request.soname.as_bytes() == *name);
                        let kind = request.map(|request| request.kind);
                        (kind, loader.search(&process, index, Ask::Dlopen, name.as_ref()))
                    }
                };
                explained.push(self.explained(&loader, &process, (index, facts), kind, search));
            }
            Question::Own | Question::Everything => {
                for (by, search) in own {
                    let Some(map) = process.maps.get(*by) else { continue };
                    let Some(asking) = self.world.facts(&map.object) else { continue };
                    // What is preloaded answers no request of the program's.
                    let kind = (search.ask != Ask::Preload).then_some(RequestKind::Needed);
                    explained.push(self.explained(&loader, &process, (*by, &asking), kind, search.clone()));
                }
                for request in facts.consumer.requests.iter().filter(|request| request.kind != RequestKind::Needed) {
                    let search = loader.search(&process, index, Ask::Dlopen, BStr::new(&request.soname));
                    explained.push(self.explained(&loader, &process, (index, facts), Some(request.kind), search));
                }
            }
        }
        let symbols = self.policy.symbols.then(|| {
            let all: Vec<usize> = (0..process.maps.len()).collect();
            let asking = if matches!(question, Question::Everything) { all.as_slice() } else { &[index] };
            let behind: Vec<Behind<'_>> = explained.iter().map(|one| (&one.search, one.behind.as_slice())).collect();
            self.explain_symbols((&process, &searches), system, asking, &behind)
        });
        Some(Explanation {
            interpreter: system.interpreter.clone(),
            libc: system.libc,
            opened_by: program.filter(|_| at_start.is_none()).map(|program| program.shown.clone()),
            searches: explained,
            symbols,
        })
    }

    fn explained(
        &self,
        loader: &Loader<'_>,
        process: &Process,
        (by, facts): (usize, &Arc<Facts>),
        kind: Option<RequestKind>,
        search: Search,
    ) -> Explained {
        let class = facts.object.class;
        let class = |step: &Step| self.class_of(step.written.as_ref(), step.directory(), class);
        let classes = search.steps.iter().map(class).collect();
        let answer = answer(self, &search, process, facts);
        // Driver libraries, compat's and stubs are judged by other rules.
        let kind_of_consumer = kind.filter(|_| !requests::is_provider(self, facts));
        let request = kind_of_consumer.and_then(|kind| {
            let soname = String::from_utf8(search.name.to_vec()).ok()?;
            self.policy.libraries.position(search.name.as_ref()).map(|_| Request { soname, kind })
        });
        let patience = Patience::of(MOST_PLACES);
        let again = Loader { patience: &patience, ..*loader };
        let judged = request.map(|request| {
            requests::one(self, loader, facts, &request, (process, std::slice::from_ref(&(by, search.clone()))), by)
        });
        Explained {
            by: facts.object.path.clone(),
            kind,
            behind: behind(&again, process, by, kind.map_or(Ask::Dlopen, requests::how), &search),
            classes,
            answer,
            file: self.container().and_then(|_| match &search.end {
                End::Found(object, _) => Some(object.path.clone()),
                End::Loaded(index) => process.maps.get(*index).map(|map| map.object.path.clone()),
                End::Interpreter | End::NotFound | End::Fatal => None,
            }),
            verdict: judged.as_ref().map(|judged| judged.verdict),
            findings: judged.map(|judged| judged.findings).unwrap_or_default(),
            search,
        }
    }
}
