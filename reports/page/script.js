"use strict";
// The page is complete without this script, which only adds to it: a cursor over all charts of a scenario, a filter by text,
// keys, the theme, and buttons that copy. It stores nothing and asks nobody.
(() => {
  const all = (selector, of) => Array.from((of || document).querySelectorAll(selector));
  const make = (tag, text, parent, before) => {
    const e = document.createElement(tag);
    e.textContent = text;
    if (parent) parent.insertBefore(e, before || null);
    return e;
  };
  const status = make("p", "", document.body);
  status.className = "hidden";
  status.setAttribute("role", "status");
  const bar = document.querySelector("header > div");
  const button = (text, act) => {
    const b = make("button", text, bar);
    b.type = "button";
    b.addEventListener("click", act);
    return b;
  };

  // What a link leads to is opened, in browsers that do not do so.
  const reveal = () => {
    let e = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const target = e;
    for (; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
    if (target) target.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  if (location.hash) reveal();

  // The cursor. Charts of a scenario share their time axis: 60 to 668 of 680 units.
  for (const charts of all(".charts[data-from]")) {
    const from = +charts.dataset.from, to = +charts.dataset.to;
    const lines = all("svg[viewBox]", charts).map(svg => {
      const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
      line.setAttribute("stroke", "currentColor");
      line.setAttribute("pointer-events", "none");
      svg.append(line);
      return line;
    });
    const caption = charts.querySelector("figcaption");
    if (!caption) continue;
    const time = make("output", "", caption);
    let at = from;
    const show = (t, speak) => {
      at = Math.min(Math.max(t, from), to);
      const x = 60 + 608 * (at - from) / (to - from);
      for (const line of lines) line.setAttribute("d", "M" + x + " 0V" + (line.ownerSVGElement.viewBox.baseVal.height - 22));
      time.textContent = "+" + at.toFixed(1) + "s";
      if (speak) status.textContent = time.textContent;
    };
    const hide = () => { for (const line of lines) line.removeAttribute("d"); time.textContent = ""; };
    charts.addEventListener("pointermove", event => {
      const svg = event.target.closest("svg[viewBox]");
      if (!svg) return hide();
      const box = svg.getBoundingClientRect();
      show(from + (to - from) * ((event.clientX - box.left) * 680 / box.width - 60) / 608);
    });
    charts.addEventListener("pointerleave", hide);
    charts.setAttribute("aria-label", "Charts; arrow keys move a cursor");
    charts.addEventListener("keydown", event => {
      const step = {ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10}[event.key];
      if (event.target !== charts || !step && event.key !== "Home" && event.key !== "End") return;
      event.preventDefault();
      show(event.key === "Home" ? from : event.key === "End" ? to : at + step * (to - from) / 100, true);
    });
  }

  // The filter by text, over the table and the sections of scenarios.
  const filter = document.querySelector(".filter");
  let find;
  if (filter) {
    const label = make("label", "with ", filter);
    find = make("input", "", label);
    find.type = "search";
    find.addEventListener("input", () => {
      const text = find.value.toLowerCase();
      let shown = 0;
      for (const row of all("tr.s-open, tr.s-passed")) {
        row.hidden = !row.textContent.toLowerCase().includes(text);
        if (!row.hidden) shown++;
        const link = row.querySelector("a");
        const section = link && document.querySelector(link.getAttribute("href"));
        if (section) section.closest("section").hidden = row.hidden;
      }
      status.textContent = shown + " scenarios";
    });
  }

  // Keys.
  const go = (selector, by) => {
    const places = all(selector).filter(e => e.offsetParent);
    const line = 80;
    const tops = places.map(e => e.getBoundingClientRect().top);
    const i = by > 0 ? tops.findIndex(top => top > line) : tops.findLastIndex(top => top < line - 40);
    if (i < 0) return;
    const target = places[i];
    target.tabIndex = -1;
    scrollBy(0, tops[i] - line + 10);
    target.focus({preventScroll: true});
  };
  const theme = () => {
    const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === "dark" : matchMedia("(prefers-color-scheme:dark)").matches;
    document.documentElement.dataset.theme = dark ? "light" : "dark";
  };
  const help = make("dialog", "", document.body);
  make("h2", "Keys", help);
  for (const line of ["n, p – next and previous cause", "j, k – next and previous scenario", "/ – filter", "t – theme", "arrow keys on charts – move the cursor", "? – this help; Escape closes it"]) make("p", line, help);
  const keys = {
    n: () => go(".why", 1), p: () => go(".why", -1), j: () => go(".scenario", 1), k: () => go(".scenario", -1),
    t: theme, "?": () => help.showModal(), "/": () => find && find.focus(),
  };
  addEventListener("keydown", event => {
    if (event.ctrlKey || event.altKey || event.metaKey || /^(INPUT|TEXTAREA)$/.test(event.target.tagName) && event.target.type !== "radio") return;
    if (!Object.hasOwn(keys, event.key) || help.open) return;
    event.preventDefault();
    keys[event.key]();
  });
  button("theme", theme);
  button("keys", () => help.showModal());

  for (const code of all("#again + .card code")) {
    const b = make("button", "copy", code.parentElement);
    b.type = "button";
    b.addEventListener("click", () => navigator.clipboard.writeText(code.textContent).then(() => { status.textContent = b.textContent = "copied"; }, () => getSelection().selectAllChildren(code)));
  }
  for (const chip of all(".chip")) chip.title = chip.getAttribute("aria-label");
})();
