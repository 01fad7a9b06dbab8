//! A real browser without a window, driven by its DevTools protocol over a pipe: no port, no driver, no other language.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::editors::environment;
use crate::harness::run::spawn;
use crate::harness::{Tree, command, found, require, skip};

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    sent: u64,
    runs_scripts: bool,
    session: Option<String>,
    /// What it told since the last page was opened.
    events: Vec<Value>,
    _profile: Tree,
}

/// How a page went up.
pub(crate) struct Opened {
    /// Until it was drawn.
    pub(crate) took: Duration,
    /// What the console, the policy and exceptions said.
    pub(crate) said: Vec<String>,
    /// What was asked for beside the file itself.
    pub(crate) requests: Vec<String>,
}

impl Browser {
    /// Starts one; `None` where there is none, and then the test is named as skipped.
    pub(crate) fn start(test: &str) -> Option<Self> {
        if !require("chromium", test) {
            return None;
        }
        let profile = Tree::new();
        // The protocol is on descriptors 3 and 4. A run that hangs is ended: then its pipe does.
        let script = "exec timeout -k 5 300 chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        let mut shell = command("sh");
        shell.args([
            "-c",
            script,
            "chromium",
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
        ]);
        shell.args([
            "--no-first-run",
            "--disable-background-networking",
            "--disable-extensions",
            "--remote-debugging-pipe",
        ]);
        shell.arg(format!("--user-data-dir={}", profile.path().display()));
        shell.env("HOME", profile.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = spawn(&mut shell);
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser =
            Self { child, to, from, sent: 0, runs_scripts: true, session: None, events: Vec::new(), _profile: profile };
        let target = browser.ask("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.ask("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.ask(&format!("{domain}.enable"), json!({}));
        }
        browser.window(1280, 900);
        Some(browser)
    }

    /// Calls a method and returns its result.
    pub(crate) fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = session.as_str().into();
        }
        let pipe = self.to.as_mut().unwrap();
        pipe.write_all(format!("{message}\0").as_bytes()).unwrap();
        pipe.flush().unwrap();
        loop {
            let answer = self.read(method);
            if answer["id"] == self.sent {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    fn read(&mut self, waiting_for: &str) -> Value {
        let mut bytes = Vec::new();
        self.from.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the browser ended while {waiting_for} was waited for");
        serde_json::from_slice(&bytes).unwrap()
    }

    fn wait_for(&mut self, method: &str) {
        while !self.events.iter().any(|event| event["method"] == method) {
            let event = self.read(method);
            self.events.push(event);
        }
    }

    /// Opens a file and waits until it is drawn.
    pub(crate) fn open(&mut self, file: &Path) -> Opened {
        self.events.clear();
        let url = format!("file://{}", file.display());
        let start = Instant::now();
        self.ask("Page.navigate", json!({"url": url}));
        self.wait_for("Page.loadEventFired");
        if self.runs_scripts {
            self.value("new Promise(done => requestAnimationFrame(() => setTimeout(() => done(1))))");
        }
        let took = start.elapsed();
        let of = |method: &str| self.events.iter().filter(move |event| event["method"] == method).collect::<Vec<_>>();
        let said = ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"];
        let said = said.iter().flat_map(|method| of(method)).map(|event| event["params"].to_string()).collect();
        let requests = of("Network.requestWillBeSent").into_iter().map(|event| &event["params"]["request"]["url"]);
        let requests = requests.map(|asked| asked.as_str().unwrap().to_owned()).filter(|asked| *asked != url);
        Opened { took, said, requests: requests.collect() }
    }

    /// What an expression comes to; a promise is waited for.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.ask("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    pub(crate) fn window(&mut self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.ask("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// `light` or `dark`, on `screen` or in `print`.
    pub(crate) fn media(&mut self, scheme: &str, media: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.ask("Emulation.setEmulatedMedia", json!({"media": media, "features": features}));
    }

    pub(crate) fn scripts(&mut self, are_run: bool) {
        self.ask("Emulation.setScriptExecutionDisabled", json!({"value": !are_run}));
        self.runs_scripts = are_run;
    }

    pub(crate) fn press(&mut self, key: &str) {
        let code = if key == "Enter" { 13 } else { 9 };
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.ask("Input.dispatchKeyEvent", event);
        }
    }

    /// What axe-core finds wrong by some rules, or by all (`null`), with everything unfolded that is folded.
    pub(crate) fn barriers(&mut self, axe: &str, rules: &str) -> Vec<String> {
        self.value("document.querySelectorAll('details').forEach(part => part.open = true)");
        if self.value("typeof axe") == "undefined" {
            self.ask("Runtime.evaluate", json!({"expression": axe}));
        }
        let found = self.value(&format!(
            "axe.run(document, {{resultTypes: ['violations'], runOnly: {rules} ?? undefined}}).then(all =>
                all.violations.map(one => `${{one.id}}: ${{one.help}}: ` + one.nodes.slice(0, 3).map(node =>
                    node.html.slice(0, 200) + ' ' + node.failureSummary).join(' | ')))"
        ));
        found.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends with its pipe.
        self.to = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The source of axe-core, which `tests/run` installs; `None` where it is not there, and then the test is named as skipped.
pub(crate) fn axe(test: &str) -> Option<String> {
    let libraries = environment().parent().unwrap().join("lib");
    let folders = std::fs::read_dir(&libraries).into_iter().flatten().flatten();
    let inside = "site-packages/axe_playwright_python/axe.min.js";
    let places: Vec<PathBuf> = folders.map(|folder| folder.path().join(inside)).collect();
    let place = places.into_iter().find(|place| found(&place.to_string_lossy()));
    if place.is_none() {
        skip(test, "axe-core is not installed; tests/run does it");
    }
    place.map(|place| std::fs::read_to_string(place).unwrap())
}
