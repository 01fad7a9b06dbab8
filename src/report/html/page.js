// Everything stands in the page without this: it filters and sorts, and opens all that is folded before it is printed.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  for (const form of all("form.find")) {
    const list = document.getElementById(form.dataset.of);
    const [text, told] = [form.querySelector("input[type=search]"), form.querySelector("output")];
    const boxes = all("input[type=checkbox]", form);
    const groups = all("[data-group]", list).map((group) => {
      const title = group.querySelector("summary").textContent.toLowerCase();
      const items = all("[data-is]", group).map((item) => ({ item, is: item.dataset.is, text: null }));
      return { group, title, items };
    });
    const filter = () => {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const off = new Set(boxes.filter((box) => !box.checked).map((box) => box.value));
      const has = (where) => words.every((word) => where.includes(word));
      let shown = 0;
      for (const { group, title, items } of groups) {
        const named = has(title);
        let some = false;
        for (const one of items) {
          one.text ??= title + " " + one.item.textContent.toLowerCase();
          one.item.hidden = off.has(one.is) || !(named || has(one.text));
          some ||= !one.item.hidden;
        }
        group.hidden = !some;
        shown += some ? 1 : 0;
      }
      told.value = shown === groups.length ? "" : `${shown} of ${groups.length}`;
    };
    let waiting = 0;
    text.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
    for (const box of boxes) box.addEventListener("change", filter);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.querySelector("button").addEventListener("click", ({ target }) => {
      const open = target.getAttribute("aria-pressed") !== "true";
      for (const part of all("details", list)) if (!part.closest("[hidden]")) part.open = open;
      target.setAttribute("aria-pressed", String(open));
    });
    form.hidden = false;
  }

  for (const table of all("table.sorts")) {
    const body = table.tBodies[0];
    const heads = all("thead th", table);
    const key = (row, at) => row.cells[at].dataset.v ?? row.cells[at].textContent.trim().toLowerCase();
    heads.forEach((head, at) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const numbers = head.classList.contains("n");
        const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : numbers;
        const rows = [...body.rows].map((row) => [key(row, at), row]);
        rows.sort(([a], [b]) => (numbers ? Number(a) - Number(b) : a < b ? -1 : a > b ? 1 : 0) * (down ? -1 : 1));
        body.append(...rows.map(([, row]) => row));
        for (const other of heads) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
      });
    });
  }

  // A link to something folded unfolds it.
  const unfold = () => {
    let at = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (const target = at; at; at = at.parentElement) {
      if (at.tagName === "DETAILS" && !at.open) { at.open = true; target.scrollIntoView(); }
    }
  };
  addEventListener("hashchange", unfold);
  unfold();

  let folded = [];
  addEventListener("beforeprint", () => {
    folded = all("details:not([open])");
    for (const part of folded) part.open = true;
  });
  addEventListener("afterprint", () => { for (const part of folded) part.open = false; });
})();
