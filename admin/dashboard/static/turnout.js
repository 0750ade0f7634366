// Keeps a page alive: listens to the feed, has htmx fetch the part that an event concerns, and draws
// the plots. Without it every page works; it only has to be loaded again.
"use strict";

(() => {
  const DEBOUNCE_MS = 250;   // many events in a row are one refresh
  const RETRY_MS = 3000;     // after the feed was refused for good
  const PLOT_MS = 2000;      // between two looks at the figures
  const link = document.getElementById("link");
  const news = document.getElementById("news");
  const live = () => document.getElementById("live");

  // ── the feed ────────────────────────────────────────────────────────────────────────────────

  const say = (state, text) => {
    if (!link || link.dataset.state === state) return;
    link.dataset.state = state;
    link.textContent = text;
  };

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

  const listen = () => {
    const feed = new EventSource("/v1/events");
    feed.onopen = () => {
      say("live", "Live");
      soon(true);   // what happened between the page and the feed was not told
    };
    feed.onerror = () => {
      say("lost", "Connection lost, trying again");
      if (feed.readyState === EventSource.CLOSED) { feed.close(); window.setTimeout(listen, RETRY_MS); }
    };
    for (const kind of (document.body.dataset.kinds || "").split(" ")) feed.addEventListener(kind, heard(kind));
    window.addEventListener("pagehide", () => feed.close(), { once: true });
  };

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
    focused = part && part.contains(document.activeElement) ? selectorOf(document.activeElement) : "";
  });
  document.addEventListener("htmx:afterSettle", () => {
    if (focused) live()?.querySelector(focused)?.focus({ preventScroll: true });
    focused = "";
  });
  for (const failure of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(failure, () => say("lost", "Connection lost, trying again"));
  }

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
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const options = (element, unit) => ({
    width: element.clientWidth, height: element.clientHeight, padding: [8, 8, 0, 0],
    legend: { show: false }, cursor: { show: false },
    scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.15 : 1] } },
    series: [
      {},
      { label: "blue", stroke: colour("--blue"), width: 2, points: { show: false } },
      { label: "green", stroke: colour("--green"), width: 2, dash: [6, 4], points: { show: false } },
    ],
    axes: [
      { stroke: colour("--muted"), grid: { show: false }, ticks: { show: false }, space: 70, size: 28,
        values: (_, values) => values.map((at) => new Date(at * 1000).toISOString().slice(11, values.at(-1) - values[0] < 180 ? 19 : 16)) },
      { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, size: 56,
        values: (_, values) => values.map((value) => `${value} ${unit}`) },
    ],
  });

  const plot = (element, lines) => {
    const data = [lines.times, lines.lines.blue, lines.lines.green];
    const known = drawn.get(element);
    if (known) { known.setData(data); return; }
    drawn.set(element, new window.uPlot(options(element, lines.unit), data, element));
    sized.observe(element);
  };
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) drawn.get(target)?.setSize({ width: target.clientWidth, height: target.clientHeight });
  });

  const draw = async () => {
    const places = [...document.querySelectorAll("[data-plot]")];
    for (const [element, chart] of drawn) if (!element.isConnected) { chart.destroy(); drawn.delete(element); }
    const addresses = new Set(places.map((place) => place.dataset.figures));
    for (const address of addresses) {
      const answer = await fetch(address, { headers: BACKGROUND }).catch(() => null);
      if (!answer || !answer.ok) continue;
      const figures = await answer.json();
      for (const place of places) {
        const lines = figures[place.dataset.plot];
        if (place.dataset.figures === address && place.isConnected && lines) plot(place, lines);
      }
    }
  };
  const anew = () => { for (const [, chart] of drawn) chart.destroy(); drawn.clear(); draw(); };
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", anew);

  if (live()) listen();
  else say("still", "This page does not change by itself");
  if (document.querySelector("[data-plot]")) { draw(); window.setInterval(draw, PLOT_MS); }
})();
