//! What a search comes to when the driver directory, which only the target has, is taken into account.

use std::sync::Arc;

use bstr::{BStr, BString, ByteSlice};

use super::context::Context;
use super::facts::Facts;
use crate::cuda::is_libcuda;
use crate::loader::{End, Process, Search, StepOutcome};
use crate::runpath::EntryClass;

/// What answers a request.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Answer {
    /// A library in a compat directory, or libcuda in one that is not here.
    Compat(BString),
    /// A library in the driver directory that is here.
    Driver(BString),
    /// The driver directory, which is not here.
    DriverAtRuntime(BString),
    /// A link-time stub.
    Stub(BString),
    /// Another library.
    Other(BString),
    /// The search ends with an error at a file that cannot be loaded.
    Interrupted(BString, Arc<str>),
    /// Nothing.
    Nothing,
}

impl Answer {
    /// The word used in every output format.
    #[must_use]
    pub(crate) fn name(&self) -> &'static str {
        self.into()
    }

    /// From the word and the place that a document has; why a search ended is not told there.
    #[must_use]
    pub(crate) fn named(name: &str, place: Option<BString>) -> Option<Self> {
        let made: [fn(BString) -> Self; 6] =
            [Self::Compat, Self::Driver, Self::DriverAtRuntime, Self::Stub, Self::Other, |place| {
                Self::Interrupted(place, Arc::from(""))
            }];
        match place {
            None => Some(Self::Nothing).filter(|nothing| nothing.name() == name),
            Some(place) => made.iter().map(|make| make(place.clone())).find(|answer| answer.name() == name),
        }
    }

    /// The file or directory.
    #[must_use]
    pub(crate) fn place(&self) -> Option<&BStr> {
        match self {
            Self::Compat(place)
            | Self::Driver(place)
            | Self::DriverAtRuntime(place)
            | Self::Stub(place)
            | Self::Other(place)
            | Self::Interrupted(place, _) => Some(place.as_bstr()),
            Self::Nothing => None,
        }
    }
}

fn is_managed(class: EntryClass) -> bool {
    matches!(class, EntryClass::Compat | EntryClass::Driver | EntryClass::Stub)
}

/// What a search comes to: the first place that answers, or that will on the target.
pub(super) fn answer(context: &Context<'_>, search: &Search, process: &Process, facts: &Facts) -> Answer {
    let class = facts.object.class;
    for step in &search.steps {
        let class = context.class_of(step.written.as_bstr(), step.directory(), class);
        match (&step.outcome, class) {
            (StepOutcome::Hit, class) => {
                let found = match &search.end {
                    End::Found(object, _) => context.world.facts(object),
                    End::Loaded(index) => process.maps.get(*index).and_then(|map| context.world.facts(&map.object)),
                    End::Interpreter | End::NotFound | End::Fatal => None,
                };
                let place = step.place.clone();
                // A link to the library itself: what it leads to decides.
                let class = match found.as_ref() {
                    Some(found) if !is_managed(class) => {
                        context.roles.role(found.object.directory(), found.object.class)
                    }
                    _ => class,
                };
                let class = found.as_ref().map_or(class, |found| context.role_in_container(found, class));
                return match (found.is_some_and(|found| found.stands_in(class)), class) {
                    (true, _) => Answer::Stub(place),
                    (false, EntryClass::Compat) => Answer::Compat(place),
                    (false, EntryClass::Driver) => Answer::Driver(place),
                    (false, _) => Answer::Other(place),
                };
            }
            (StepOutcome::Fatal(reason), _) => return Answer::Interrupted(step.place.clone(), Arc::clone(reason)),
            (StepOutcome::NoDirectory, EntryClass::Driver) => return Answer::DriverAtRuntime(step.place.clone()),
            (StepOutcome::Miss, _) => {
                let led = context.world.dangles(step.directory(), search.expanded.as_bstr());
                let (directory, _) = led.as_ref().and_then(|led| led.rsplit_once_str("/")).unwrap_or_default();
                if context.roles.role(directory.as_bstr(), facts.object.class) == EntryClass::Driver {
                    return Answer::DriverAtRuntime(step.place.clone());
                }
            }
            // A compat directory that is not on this machine has libcuda; of a closure it would be a part.
            (StepOutcome::NoDirectory, EntryClass::Compat)
                if !context.policy.scope.is_closed() && is_libcuda(&search.name.to_str_lossy()) =>
            {
                return Answer::Compat(step.place.clone());
            }
            _ => {}
        }
    }
    Answer::Nothing
}
