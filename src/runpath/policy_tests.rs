//! Every row of the policy's vector table, and its algebra as properties.

use proptest::prelude::*;

use super::*;

const COMPAT: &str = "/nix/store/00000000000000000000000000000000-cuda12.8-cuda_compat-12.8.39/compat";
const DRIVER: &str = "/run/opengl-driver/lib";
const STUB: &str = "/nix/store/11111111111111111111111111111111-cuda12.8-cuda_cudart-12.8.90/lib/stubs";

/// Spells the table's letters out; `-` is "no tag".
fn spell(short: &str) -> Option<String> {
    if short == "-" {
        return None;
    }
    let word = |entry: &str| match entry {
        "" => String::new(),
        "C" => COMPAT.to_owned(),
        "D" => DRIVER.to_owned(),
        "S" => STUB.to_owned(),
        "O" => "$ORIGIN".to_owned(),
        other => format!("/opt/{other}"),
    };
    if short.is_empty() {
        return Some(String::new());
    }
    Some(short.split(':').map(word).collect::<Vec<_>>().join(":"))
}

fn policy(actions: &str, with_compat: bool) -> Policy {
    Policy {
        compat: if with_compat { vec![Directory::new(COMPAT).unwrap()] } else { Vec::new() },
        driver: vec![Directory::new(DRIVER).unwrap()],
        stubs: BTreeSet::new(),
        actions: actions.parse().unwrap(),
        hygiene: Hygiene::default(),
    }
}

/// The path after a decision; `None` is "no tag".
fn apply(old: Option<&str>, policy: &Policy, setting: Setting) -> Option<String> {
    match decide(old.map(BStr::new), policy, setting) {
        Decision::Conforms => old.map(str::to_owned),
        Decision::Set(path) => Some(path.to_string()),
        Decision::Remove => None,
    }
}

#[track_caller]
fn check(old: &str, policy: &Policy, wanted: &str) {
    let old_path = spell(old);
    let result = apply(old_path.as_deref(), policy, Setting::Ordinary);
    assert_eq!(result, spell(wanted), "old {old:?} under {:?}", policy.actions);
    assert_eq!(
        decide(result.as_deref().map(BStr::new), policy, Setting::Ordinary),
        Decision::Conforms,
        "a second decision about {old:?} under {:?}",
        policy.actions
    );
}

#[test]
fn vector_table() {
    let all = policy("compat,driver,stubs", true);
    let driver = policy("driver,stubs", false);
    let stubs = policy("stubs", false);
    let order = policy("order-only", true);
    for (old, all_result, driver_result, stubs_result, order_result) in [
        ("-", "C:D", "D", "-", "-"),
        ("", "C:D", "D", "-", "-"),
        ("L:S", "C:D:L", "D:L", "L:D", "L:C:D"),
        ("D:L:S", "C:D:L", "D:L", "D:L", "C:D:L"),
        ("D:C:L", "C:D:L", "C:D:L", "D:C:L", "C:D:L"),
        ("C:D:C:D:L:S", "C:D:L", "C:D:L", "C:D:C:D:L", "C:D:L"),
        ("L:C:O", "C:D:L:O", "C:D:L:O", "L:C:O", "L:C:O"),
        ("O:D:S", "C:D:O", "D:O", "O:D", "O:C:D"),
        ("D:", "C:D", "D", "D", "C:D"),
        (":D", "C:D", "D", "D", "C:D"),
        ("D::L", "C:D:L", "D:L", "D:L", "C:D:L"),
        ("dog:S:bee:S:D:frog", "C:D:dog:bee:frog", "D:dog:bee:frog", "dog:D:bee:frog", "dog:C:D:bee:frog"),
        ("cat:D:dog:C", "C:D:cat:dog", "C:D:cat:dog", "cat:D:dog:C", "cat:C:D:dog"),
        (
            "bee:apple:dog:apple:cat",
            "C:D:bee:apple:dog:apple:cat",
            "D:bee:apple:dog:apple:cat",
            "bee:apple:dog:apple:cat",
            "bee:apple:dog:apple:cat",
        ),
    ] {
        check(old, &all, all_result);
        check(old, &driver, driver_result);
        check(old, &stubs, stubs_result);
        check(old, &order, order_result);
    }
}

#[test]
fn compat_alone_keeps_stubs_and_the_drivers_place() {
    let compat = policy("compat", true);
    check("L:S", &compat, "C:L:S");
    check("C:L:S", &compat, "C:L:S");
    check("L:D", &compat, "C:L:D");
    check("D:L", &compat, "C:D:L");
}

#[test]
fn compat_never_goes_into_itself() {
    let all = policy("compat,driver,stubs", true);
    let result = apply(Some("$ORIGIN"), &all, Setting::InsideCompat);
    assert_eq!(result, spell("D:O"));
    assert_eq!(apply(None, &all, Setting::InsideCompat), spell("D"));
}

#[test]
fn another_recognised_compat_stays_behind_the_given_one() {
    let other = "/nix/store/22222222222222222222222222222222-cuda12.6-cuda_compat-12.6/compat";
    let all = policy("compat,driver,stubs", true);
    let result = apply(Some(&format!("/opt/L:{other}/:{DRIVER}/")), &all, Setting::Ordinary);
    assert_eq!(result, Some(format!("{COMPAT}:{other}:{DRIVER}:/opt/L")));
}

#[test]
fn trailing_slashes_are_one_directory_and_are_spelled_canonically() {
    let driver = policy("driver", false);
    assert_eq!(
        apply(Some("/run/opengl-driver/lib/:/opt/L/"), &driver, Setting::Ordinary),
        Some(format!("{DRIVER}:/opt/L/"))
    );
}

#[test]
fn dedup_keeps_the_first_of_each() {
    let mut all = policy("driver", false);
    all.hygiene.repeated = true;
    assert_eq!(apply(Some("/b:/a:/c:/a:/b"), &all, Setting::Ordinary), Some(format!("{DRIVER}:/b:/a:/c")));
}

#[test]
fn given_stub_directories_need_no_telling_name() {
    let mut all = policy("driver", false);
    all.stubs.insert(Directory::new("/opt/link-time").unwrap());
    assert_eq!(apply(Some("/opt/link-time/:/opt/L"), &all, Setting::Ordinary), Some(format!("{DRIVER}:/opt/L")));
}

#[test]
fn several_driver_directories_stay_together() {
    let mut two = policy("driver,stubs", false);
    two.driver.push(Directory::new("/opt/second").unwrap());
    assert_eq!(
        apply(Some("/opt/L:/opt/second"), &two, Setting::Ordinary),
        Some(format!("{DRIVER}:/opt/second:/opt/L"))
    );
}

#[test]
fn action_words() {
    assert_eq!("order-only".parse(), Ok(Actions::OrderOnly));
    assert_eq!("stubs, compat".parse(), Ok(Actions::Compose { compat: true, driver: false, stubs: true }));
    assert_eq!("compat,order-only".parse::<Actions>(), Err(ActionsError::OrderOnlyAlone));
    assert_eq!("".parse::<Actions>(), Err(ActionsError::Unknown(String::new())));
}

fn any_path() -> impl Strategy<Value = Option<String>> {
    let entry = prop::sample::select(vec![
        COMPAT.to_owned(),
        format!("{COMPAT}/"),
        "/nix/store/22222222222222222222222222222222-cuda12.6-cuda_compat-12.6/compat".to_owned(),
        DRIVER.to_owned(),
        format!("{DRIVER}/"),
        STUB.to_owned(),
        "/usr/local/cuda/lib64/stubs".to_owned(),
        String::new(),
        "$ORIGIN".to_owned(),
        "/opt/L".to_owned(),
        "/opt/M".to_owned(),
        "relative".to_owned(),
    ]);
    prop::option::of(prop::collection::vec(entry, 0..9).prop_map(|entries| entries.join(":")))
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (prop::sample::subsequence(vec!["compat", "driver", "stubs"], 1..=3), any::<bool>(), any::<bool>(), any::<bool>())
        .prop_map(|(words, order, with_compat, dedup)| {
            let mut made = policy(if order { "order-only" } else { "stubs" }, with_compat);
            if !order {
                made.actions = words.join(",").parse().unwrap();
            }
            made.hygiene.repeated = dedup;
            made
        })
}

proptest! {
    #[test]
    fn deciding_twice_changes_nothing(old in any_path(), policy in any_policy(), inside in any::<bool>()) {
        let setting = if inside { Setting::InsideCompat } else { Setting::Ordinary };
        let once = apply(old.as_deref(), &policy, setting);
        prop_assert_eq!(decide(once.as_deref().map(BStr::new), &policy, setting), Decision::Conforms);
    }

    #[test]
    fn the_actions_commute_and_compose(old in any_path(), order in Just(["compat", "driver", "stubs"]).prop_shuffle()) {
        let together = apply(old.as_deref(), &policy("compat,driver,stubs", true), Setting::Ordinary);
        let mut step = old;
        for word in order {
            step = apply(step.as_deref(), &policy(word, true), Setting::Ordinary);
        }
        prop_assert_eq!(step, together);
    }

    #[test]
    fn pairs_of_actions_commute_and_associate(old in any_path(), pair in prop::sample::subsequence(vec!["compat", "driver", "stubs"], 2)) {
        let run = |first: &str, second: &str| {
            let step = apply(old.as_deref(), &policy(first, true), Setting::Ordinary);
            apply(step.as_deref(), &policy(second, true), Setting::Ordinary)
        };
        let both = apply(old.as_deref(), &policy(&pair.join(","), true), Setting::Ordinary);
        prop_assert_eq!(run(pair[0], pair[1]), both.clone());
        prop_assert_eq!(run(pair[1], pair[0]), both);
    }

    #[test]
    fn other_entries_keep_their_order_and_none_is_empty(old in any_path(), policy in any_policy()) {
        let wanted = apply(old.as_deref(), &policy, Setting::Ordinary).unwrap_or_default();
        let others = |path: &str| -> Vec<String> {
            path.split(':').filter(|e| e.starts_with("/opt") || *e == "$ORIGIN" || *e == "relative").map(str::to_owned).collect()
        };
        let mut before = others(&old.unwrap_or_default());
        if policy.hygiene.repeated {
            let mut seen = std::collections::HashSet::new();
            before.retain(|entry| seen.insert(entry.clone()));
        }
        prop_assert_eq!(others(&wanted), before);
        prop_assert!(wanted.is_empty() || wanted.split(':').all(|entry| !entry.is_empty()));
    }
}

#[test]
fn strays_go_on_request_and_managed_directories_stay() {
    let mut clean = policy("driver,stubs", false);
    let stray =
        "lib:/build/x/lib:/usr/lib64:/usr/local/cuda/lib64:/nix/store/a-gcc-13.3.0/lib:/home/me/lib:/custom/tmp/x";
    let fine = "/nix/store/a-gcc-13.3.0-lib/lib:$ORIGIN/../lib:/opt/x:/tmpfiles";
    let old = format!("{stray}:{fine}");
    assert_eq!(apply(Some(&old), &clean, Setting::Ordinary).unwrap(), format!("{DRIVER}:{old}"));
    clean.hygiene.strays = true;
    clean.hygiene.build_directories = vec!["/custom/tmp/".into()];
    let cleaned = apply(Some(&old), &clean, Setting::Ordinary).unwrap();
    assert_eq!(cleaned, format!("{DRIVER}:{fine}"));
    clean.hygiene.kept = BTreeSet::from(["/usr/lib64".into()]);
    assert_eq!(apply(Some(&old), &clean, Setting::Ordinary).unwrap(), format!("{DRIVER}:/usr/lib64:{fine}"));
    clean.driver = vec![Directory::new("/usr/lib64").unwrap()];
    assert_eq!(apply(Some("/usr/lib64:lib"), &clean, Setting::Ordinary).unwrap(), "/usr/lib64");
}

#[test]
fn compat_goes_on_request() {
    let mut drop = policy("driver,stubs", true);
    drop.hygiene.compat = true;
    check("D:C:L", &drop, "D:L");
    check("C:D", &drop, "D");
    check("L", &drop, "D:L");
}
