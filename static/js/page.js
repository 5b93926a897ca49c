// What every page shares: copy buttons, times that pass, the word on a lost stream, and on requests that never arrived.
"use strict";
(() => {
  const STALE_AFTER_MS = 1500;
  const RETRY_AFTER_MS = 2000;
  const SENT_FOR_MS = 5000;
  const TICK_MS = 15000;
  const SIGNED_OUT = 401;

  // The same words as the server's.
  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const JUST_NOW_SECONDS = 5;
  const DATE_AFTER_SECONDS = 30 * 86400;
  function ago(moment) {
    const seconds = (Date.now() - moment.getTime()) / 1000;
    if (seconds < JUST_NOW_SECONDS) return "just now";
    if (seconds >= DATE_AFTER_SECONDS) return moment.toISOString().slice(0, 10);
    const [length, unit] = UNITS.find(([size]) => seconds >= size);
    return `${Math.floor(seconds / length)} ${unit} ago`;
  }

  const MINUTE_S = 60;
  const HALF_A_DAY_S = 43200;
  const AHEAD = [[7200, 60, "min"], [172800, 3600, "h"], [Infinity, 86400, "d"]];
  function coming(time) {
    const ahead = (moment) => Math.max(0, (new Date(moment) - Date.now()) / 1000);
    const low = ahead(time.dataset.low), most = ahead(time.dateTime), high = ahead(time.dataset.high);
    if (most < MINUTE_S) return "within a minute";
    const [, length, unit] = AHEAD.find(([limit]) => high < limit);
    const first = Math.round(low / length), last = Math.max(1, Math.round(high / length));
    const day = most < HALF_A_DAY_S ? {} : { weekday: "short" };
    const clock = new Date(time.dateTime).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", ...day });
    const span = first === 0 ? "within" : first < last ? `in ${first} to` : "in";
    const unbroken = (words) => words.replaceAll(/\s/g, "\u00a0");
    return `${unbroken(`about ${clock}`)}, ${unbroken(`${span} ${last} ${unit}`)}`;
  }

  function enliven() {
    for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
    for (const time of document.querySelectorAll("time[datetime]")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      const words = time.dataset.low ? coming(time) : ago(moment);
      if (time.textContent !== words) time.textContent = words;
      if (!time.dataset.low) time.title = moment.toLocaleString();
    }
  }

  // Time passes on an open page too; one that nobody looks at asks for nothing.
  let ticked = Date.now();
  function tick() {
    if (document.hidden) return;
    ticked = Date.now();
    enliven();
    htmx.trigger(document.body, "tick");
  }
  setInterval(tick, TICK_MS);
  document.addEventListener("visibilitychange", () => { if (Date.now() - ticked >= TICK_MS) tick(); });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const label = button.textContent;
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.previousElementSibling);
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = label; }, 1600);
  });

  // A lost stream is said in words, but only once it has been lost for a moment: a reload also ends one.
  let waiting = 0;
  const stale = () => document.getElementById("stale");
  function lost() {
    if (document.hidden || waiting) return;
    waiting = setTimeout(() => { const word = stale(); if (word) word.hidden = false; }, STALE_AFTER_MS);
  }
  function found() {
    clearTimeout(waiting);
    waiting = 0;
    const word = stale();
    if (word) word.hidden = true;
  }
  document.addEventListener("htmx:sse:after:connection", found);
  document.addEventListener("htmx:sse:error", (event) => { if (event.detail.status === SIGNED_OUT) location.reload(); else lost(); });
  document.addEventListener("htmx:sse:before:connection", (event) => { if (event.detail.connection.attempt > 0) lost(); });
  document.addEventListener("htmx:sse:close", (event) => { if (event.detail.reason === "removed" || event.detail.reason === "message") found(); });
  document.addEventListener("signed-out", () => location.reload());

  // A form that leads to another page is sent once, however often its button is pressed.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || event.target.hasAttribute("hx-post")) return;
    if (event.target.dataset.sent) event.preventDefault();
    event.target.dataset.sent = "yes";
    setTimeout(() => delete event.target.dataset.sent, SENT_FOR_MS);
  });
  addEventListener("pageshow", () => { for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent; });

  // Who waited while a form with filters had its answer asks for what is shown now, in the place where it is shown now.
  document.addEventListener("htmx:before:request", ({ detail: { ctx } }) => {
    const now = ctx.sourceElement.matches(".refetch") && document.getElementById(ctx.sourceElement.id);
    const place = now && document.querySelector(now.getAttribute("hx-target"));
    if (place) { ctx.request.action = now.getAttribute("hx-get"); ctx.target = place; }
  });

  const isStream = (event) => event.target instanceof Element && event.target.id === "live";
  function again(event) {
    // The extension reconnects streams that were open once; the first connection is ours to try again.
    if (!isStream(event)) return false;
    lost();
    setTimeout(() => { if (event.target.isConnected) htmx.trigger(event.target, "reconnect"); }, RETRY_AFTER_MS);
    return true;
  }
  function notice(text) {
    const place = document.getElementById("notice");
    if (!place) return;
    const box = document.createElement("div");
    box.className = "say bad";
    const line = document.createElement("p");
    line.textContent = text;
    box.append(line);
    place.replaceChildren(box);
  }
  document.addEventListener("htmx:error", (event) => {
    const byHand = event.detail.ctx?.sourceEvent?.type;
    if (again(event) || !event.detail.ctx) return;
    // What a doorbell or a clock asked for will be asked again; only a person's own action deserves a word.
    if (byHand === "click" || byHand === "submit") notice("The studio does not answer. Is it still running? Nothing was changed.");
    else lost();
  });
  document.addEventListener("htmx:response:error", (event) => {
    if (isStream(event) && event.detail.ctx.response.status === SIGNED_OUT) { location.reload(); return; }
    if (again(event)) return;
    if (event.detail.ctx.response.status >= 500) notice("The studio could not answer that just now. Try again in a moment.");
  });
  // Whoever pressed what is gone now would start from the top of the page: they go on from the heading of what has changed.
  function keepPlace(ctx) {
    const isByHand = ["click", "submit"].includes(ctx?.sourceEvent?.type);
    if (!isByHand || document.activeElement !== document.body) return;
    const target = ctx.target?.id && document.getElementById(ctx.target.id);
    const heading = target && target.querySelector("h1, h2");
    if (!heading) return;
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  // What only readers without scripts need is hidden, and what only scripts bring is shown.
  function tidy() {
    for (const one of document.querySelectorAll("[data-without-script]")) one.hidden = true;
    for (const one of document.querySelectorAll("[data-by-script]")) one.hidden = false;
  }

  // What is fetched again while a run goes on names the tab too: how far it is, then how it ended.
  function nameTab() {
    const title = document.querySelector("[data-title]")?.dataset.title;
    if (title) document.title = `${title} · Hone`;
  }
  document.addEventListener("htmx:after:swap", (event) => {
    enliven();
    tidy();
    nameTab();
    keepPlace(event.detail.ctx);
    if (event.detail.ctx?.sourceElement?.id !== "live" && stale() && !document.querySelector("#live[hx-sse\\:connect]")) found();
  });
  enliven();
  tidy();
})();
