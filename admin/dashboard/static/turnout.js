// Keeps a page alive: listens to the feed, has htmx fetch the part that an event concerns, and draws
// the plots. Without it every page works; it only has to be loaded again.
"use strict";

(() => {
  const DEBOUNCE_MS = 250;   // many events in a row are one refresh
  const RETRY_MS = 3000;     // after the feed was refused for good
  const SILENT_MS = 8000;    // after which a feed that pushes figures is taken for dead
  const link = document.getElementById("link");
  const news = document.getElementById("news");
  const live = () => document.getElementById("live");

  // ── the feed ────────────────────────────────────────────────────────────────────────────────

  let heardAt = Date.now();   // when the page last knew how things stand
  const clock = (at) => new Date(at).toISOString().slice(11, 19);
  const say = (state, text) => {
    if (!link || link.dataset.state === state) return;
    link.dataset.state = document.body.dataset.link = state;
    link.textContent = text;
  };
  const alive = () => { heardAt = Date.now(); say("live", "Live"); };
  // What is shown is of a time that has gone: it says which.
  const lost = (why = "Connection lost, trying again") => say("lost", `${why}. Shown is how it was at ${clock(heardAt)} UTC.`);

  const sentence = (kind, about) => {
    switch (kind) {
      case "change": return `Version ${about.version}: ${about.action || "change"} by ${about.actor || "somebody"}`;
      case "converged": return `Version ${about.version} is served by all workers`;
      case "worker-lost": return `Worker ${about.worker || ""} fell silent`;
      case "worker": case "census": return "";
      default: return [kind, about.release || about.ramp || about.drain || about.switch || about.plan || "", about.state || about.event || ""].filter(Boolean).join(" ");
    }
  };

  let due = 0;
  const held = (part) => Boolean(part.querySelector(":checked:not(option), details[open]"))
    || (part.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"));

  let quiet = false;
  // What a person has begun is not taken from under their hands: they are told, and choose.
  const tell = () => { if (!quiet) document.getElementById("newer")?.removeAttribute("hidden"); };
  const refresh = () => {
    due = 0;
    const part = live();
    if (part && !held(part)) window.htmx.trigger(part, "turnout:refresh");
    else tell();
  };
  // quietly: nothing is known to have happened, so nobody is told if it can't be shown.
  const soon = (quietly) => {
    quiet = due ? quiet && quietly : quietly;
    if (!due) due = window.setTimeout(refresh, DEBOUNCE_MS);
  };

  const heard = (kind) => (event) => {
    let about = {};
    try { about = JSON.parse(event.data); } catch { /* a feed that is not ours to understand */ }
    const text = sentence(kind, about);
    if (text && news) news.textContent = text;
    const part = live();
    if (part && (part.dataset.live || "").split(" ").includes(kind)) soon(false);
  };

  let feed = null, watchdog = 0;
  const address = () => live().dataset.feed || "/v1/events";
  const listen = () => {
    window.clearTimeout(watchdog);
    feed?.close();
    const mine = feed = new EventSource(address());
    mine.onopen = () => {
      if (!live().dataset.feed) alive();
      awaited();
      soon(true);   // what happened between the page and the feed was not told
    };
    mine.onerror = () => {
      lost();
      if (mine.readyState !== EventSource.CLOSED) return;
      // Refused: the session may have ended. The page asks for itself, and is led to the log-in if so.
      window.clearTimeout(watchdog);
      watchdog = window.setTimeout(() => { soon(true); listen(); }, RETRY_MS);
    };
    for (const kind of (document.body.dataset.kinds || "").split(" ")) mine.addEventListener(kind, heard(kind));
    mine.addEventListener("figures", pushed);
  };
  // A feed that pushes figures and falls silent is dead, whatever the connection looks like.
  const awaited = () => {
    window.clearTimeout(watchdog);
    if (live().dataset.feed) watchdog = window.setTimeout(() => { lost("No news, trying again"); listen(); }, SILENT_MS);
  };

  let shown = "";
  const pushed = (event) => {
    awaited();
    const figures = JSON.parse(event.data);
    if (figures.fault) { lost(`${figures.fault}, trying again`); return; }
    alive();
    if (figures.html !== shown && !held(live())) {
      const made = document.createElement("template");
      made.innerHTML = shown = figures.html;
      kept(() => live().replaceChildren(made.content));
    }
    append(figures.plots);
  };
  window.addEventListener("pagehide", () => feed?.close());
  window.addEventListener("pageshow", (event) => { if (event.persisted && live()) listen(); });
  window.addEventListener("offline", () => { if (live()) lost("This device is offline"); });
  window.addEventListener("online", () => { if (live()) listen(); });

  // ── the focus stays where it is when its part is fetched anew ───────────────────────────────

  let focused = "";
  const quoted = (text) => `"${CSS.escape(text)}"`;
  const selectorOf = (element) => {
    if (element.id) return `#${CSS.escape(element.id)}`;
    const marks = ["href", "name", "value", "formaction"].filter((name) => element.hasAttribute(name));
    return marks.length ? element.localName + marks.map((name) => `[${name}=${quoted(element.getAttribute(name))}]`).join("") : "";
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    const part = live();
    if (part && held(part)) { event.detail.shouldSwap = false; tell(); }
    remember();
  });
  const remember = () => {
    const here = document.activeElement;
    focused = live()?.contains(here) ? selectorOf(here) : "";
  };
  const restore = () => {
    if (focused) live()?.querySelector(focused)?.focus({ preventScroll: true });
    focused = "";
  };
  const kept = (change) => { remember(); change(); restore(); };
  document.addEventListener("htmx:afterSettle", restore);
  // The page asked for itself: that it got an answer, or none, is news of the connection as well.
  for (const failure of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
    document.addEventListener(failure, () => { asks = true; lost(); });
  }
  let asks = false;
  document.addEventListener("htmx:afterRequest", (event) => {
    if (!event.detail.successful) return;
    heardAt = Date.now();
    if (asks && feed?.readyState === EventSource.OPEN) alive();
    asks = false;
  });
  window.setInterval(() => { if (asks) soon(true); }, RETRY_MS);

  // What a page asks for by itself is no use of a session: it doesn't keep one alive.
  const BACKGROUND = { "X-Turnout-Background": "1" };
  document.addEventListener("htmx:configRequest", (event) => Object.assign(event.detail.headers, BACKGROUND));

  // ── ticking ─────────────────────────────────────────────────────────────────────────────────

  document.addEventListener("change", (event) => {
    const form = event.target.closest("form[data-ticks]");
    if (!form) return;
    const boxes = [...form.querySelectorAll("input[name=tenant]")];
    if (event.target.matches("[data-all]")) for (const box of boxes) box.checked = event.target.checked;
    const count = boxes.filter((box) => box.checked).length;
    form.querySelector("[data-count]").textContent = count ? `${count} ticked` : "none ticked";
  });
  for (const all of document.querySelectorAll("[data-all]")) all.hidden = false;

  // ── plots ───────────────────────────────────────────────────────────────────────────────────

  const drawn = new Map();
  const known = new Map();   // name of a plot → its lines
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  // A second between two without figures is no line: it is a point.
  const alone = (chart, line) => {
    const values = chart.data[line], found = [];
    values.forEach((value, at) => {
      if (value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null) found.push(at);
    });
    return found;
  };
  const points = (line) => ({ show: true, size: 4, width: 0, fill: colour(line), filter: (chart, at) => alone(chart, at) });
  const short = (value) => value >= 10000 ? `${value / 1000}k` : String(value);
  const options = (element) => ({
    width: element.clientWidth, height: element.clientHeight, padding: [8, 20, 0, 0],
    legend: { show: false }, cursor: { show: false },
    scales: {
      x: { range: (_, first, last) => [last - Number(element.dataset.span), last] },
      y: { range: (_, low, high) => [0, high > 0 ? high * 1.15 : 1] },
    },
    series: [
      {},
      { label: "blue", stroke: colour("--blue"), width: 2, points: points("--blue") },
      { label: "green", stroke: colour("--green"), width: 2, dash: [6, 4], points: points("--green") },
    ],
    axes: [
      { stroke: colour("--muted"), grid: { show: false }, ticks: { stroke: colour("--line"), size: 4 }, space: 56, size: 28,
        incrs: [60, 120, 300], values: (_, values) => values.map((at) => new Date(at * 1000).toISOString().slice(11, 16)) },
      { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, size: 44,
        values: (_, values) => values.map(short) },
    ],
  });
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) drawn.get(target)?.setSize({ width: target.clientWidth, height: target.clientHeight });
  });

  const draw = () => {
    for (const [element, chart] of drawn) if (!element.isConnected) { chart.destroy(); drawn.delete(element); }
    for (const element of document.querySelectorAll("[data-plot]")) {
      const lines = known.get(element.dataset.plot);
      if (!lines) continue;
      const data = [lines.times, lines.lines.blue, lines.lines.green];
      if (drawn.has(element)) { drawn.get(element).setData(data); continue; }
      drawn.set(element, new window.uPlot(options(element), data, element));
      sized.observe(element);
    }
  };
  // The last seconds anew: what was told late belongs to them too.
  const joined = (before, tail, span) => {
    const from = tail.times[0], end = tail.times.at(-1);
    const keep = before.times.findIndex((at) => at >= from);
    const upTo = keep < 0 ? before.times.length : keep;
    const begin = Math.max(0, before.times.findIndex((at) => at > end - span));
    const join = (one, other) => [...one.slice(begin, upTo), ...other];
    return {
      times: join(before.times, tail.times),
      lines: Object.fromEntries(Object.entries(tail.lines).map(([slot, line]) => [slot, join(before.lines[slot], line)])),
    };
  };
  const append = (tails) => {
    for (const element of document.querySelectorAll("[data-plot]")) {
      const name = element.dataset.plot, before = known.get(name), tail = tails[name];
      if (!before || !tail?.times.length) continue;
      known.set(name, before.times.length ? joined(before, tail, Number(element.dataset.span)) : tail);
    }
    draw();
  };
  const load = async () => {
    for (const address of new Set([...document.querySelectorAll("[data-plot]")].map((place) => place.dataset.figures))) {
      const answer = await fetch(address, { headers: BACKGROUND }).catch(() => null);
      if (!answer || !answer.ok) continue;
      for (const [name, lines] of Object.entries(await answer.json())) known.set(name, lines);
    }
    draw();
  };
  const anew = () => { for (const [, chart] of drawn) chart.destroy(); drawn.clear(); draw(); };
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);

  if (live()) listen();
  else say("still", "Not live");
  if (document.querySelector("[data-plot]")) load();
})();
