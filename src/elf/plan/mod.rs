//! How to give an object another search path: the plan is data, and nothing here writes.
//!
//! One rule explains every choice: never move the program header table, never change an original byte that is mapped,
//! other than the ELF header's counts, the table itself, the dynamic entries and the replaced string. The rungs are
//! tried from the cheapest to the most intrusive; each either finds its place or says in one phrase why there is none.

mod block;
mod change;
mod draft;
mod error;
mod in_table;
mod layout;
mod make_room;
mod new_segment;
mod patch;
mod reimage;
mod rung;
mod slack;
mod slot;

pub use self::change::{Change, PathTag};
pub use self::error::PlanError;
pub use self::patch::{Atomicity, Content, Patch, Plan, Stage};
pub(crate) use self::rung::DynamicSlot;
pub use self::rung::Strategy;

use self::draft::Rung;
use self::layout::{Layout, Placement};
use super::view::{ElfView, Subject};

/// One rung.
type Attempt = for<'g> fn(&'g Layout<'g>) -> Rung<'g>;

/// The rungs, from the cheapest to the most intrusive.
const LADDER: [(Strategy, Attempt); 11] = [
    (Strategy::Share, in_table::share),
    (Strategy::Overwrite, in_table::overwrite),
    (Strategy::DeadBytes, in_table::dead_bytes),
    (Strategy::Grow, slack::grow),
    (Strategy::Slack, slack::slack),
    (Strategy::Slot, new_segment::slot),
    (Strategy::Gap, new_segment::gap),
    (Strategy::Reimage, reimage::small),
    (Strategy::MakeRoom, make_room::make_room),
    (Strategy::Reimage, reimage::large),
    (Strategy::MoveTable, new_segment::move_table),
];

/// Whether something stands behind the object that must be the end of the file; also of a file that is no object.
#[must_use]
pub(crate) fn has_payload(file: &[u8]) -> bool {
    let Ok(Subject::Object(view)) = Subject::parse(file) else { return true };
    let end = layout::content_end(&layout::occupied(&view), &layout::loads(&view));
    layout::has_payload(file, end)
}

/// Plans an edit. The same object and change always give the same plan.
///
/// # Errors
/// [`PlanError`] when the object's strings contradict each other or no place is safe.
pub fn plan(view: &ElfView<'_>, change: &Change, atomicity: Atomicity) -> Result<Plan, PlanError> {
    if let Some(path) = change.path() {
        // An empty path has one, too.
        let has_empty_entry = path.split(|byte| *byte == b':').any(<[u8]>::is_empty);
        if path.contains(&0) || has_empty_entry {
            return Err(PlanError::BadPath(path.into()));
        }
    }
    let mut layout = Layout::of(view, change)?;
    if change.path().is_none() {
        let draft = in_table::tag_only(&layout).and_then(|draft| draft.into_plan(Strategy::TagOnly));
        return draft.map_err(|why| PlanError::NoPlace(vec![(Strategy::TagOnly, why)]));
    }
    if layout.may_count_on_the_break() {
        layout.placement = Placement::Between;
        let keeps_last = |strategy| !matches!(strategy, Strategy::Reimage | Strategy::MoveTable);
        let rungs = LADDER.into_iter().filter(|(strategy, _)| keeps_last(*strategy));
        if let Ok(plan) = climb(&layout, rungs, atomicity) {
            return Ok(plan);
        }
        layout.placement = Placement::Behind;
    }
    climb(&layout, LADDER.into_iter(), atomicity).map_err(PlanError::NoPlace)
}

/// The first rung that fits, or what each has against it.
fn climb(
    layout: &Layout<'_>,
    rungs: impl Iterator<Item = (Strategy, Attempt)>,
    atomicity: Atomicity,
) -> Result<Plan, Vec<(Strategy, &'static str)>> {
    let mut attempts = Vec::new();
    for (strategy, attempt) in rungs {
        match attempt(layout).and_then(|draft| draft.into_plan(strategy)) {
            Ok(plan) if plan.prefix_safe || atomicity == Atomicity::Replace => return Ok(plan),
            Ok(_) => attempts.push((strategy, "is not safe in a file that cannot be replaced as a whole")),
            Err(why) => attempts.push((strategy, why)),
        }
    }
    Err(attempts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_every_strategy_that_places_a_string() {
        for strategy in Strategy::ALL {
            let has_a_row = LADDER.iter().any(|(rung, _)| rung == strategy);
            assert_eq!(has_a_row, *strategy != Strategy::TagOnly, "{}", strategy.name());
        }
    }
}
