// "Tell me when it ends": the browser's own notice, run by run, while a tab is open.
"use strict";
(() => {
  const KEPT = "hone-tell";
  const WORDS = {
    none: "Tell me when it ends",
    waiting: "I will be told",
    denied: "Notices are blocked for this site: allow them in the browser's settings. The tab's name tells it too.",
    insecure: "Browsers give notices only over https or on this machine. The tab's name tells it too.",
    missing: "This browser gives no notices. The tab's name tells it too.",
  };
  const root = document.documentElement.dataset.root ?? "";

  // Where nothing may be kept, a wish lasts as the page does.
  let wished = {};
  function wishes() {
    try { wished = JSON.parse(localStorage.getItem(KEPT) ?? "{}"); } catch { /* as it was */ }
    return wished;
  }
  function keep(now) {
    wished = now;
    try { localStorage.setItem(KEPT, JSON.stringify(now)); } catch { /* until the page is left */ }
  }

  // Runs whose notice was refused: the words outlast a live page's updates.
  const refused = new Set();

  const cannot = () => (!("Notification" in window) ? (isSecureContext ? "missing" : "insecure") : Notification.permission === "denied" ? "denied" : "");

  function say(button, words) {
    const label = button.querySelector("span");
    if (label.textContent !== words) label.textContent = words;
    button.title = words;
  }

  function tell(run, name, word) {
    if (cannot()) return;
    const notice = new Notification(`${word}: ${name}`, { body: "Hone", tag: `hone-${run}`, icon: document.querySelector("link[rel=icon]")?.href });
    notice.addEventListener("click", () => { window.focus(); location.assign(`${root}/runs/${run}`); });
  }

  function look() {
    const now = wishes();
    for (const button of document.querySelectorAll("[data-tell]")) {
      const isWished = button.dataset.tell in now;
      button.hidden = false;
      button.setAttribute("aria-pressed", String(isWished));
      const why = refused.has(button.dataset.tell) ? cannot() : "";
      say(button, why ? WORDS[why] : isWished ? WORDS.waiting : WORDS.none);
      if (why) { // for all to read, also on an icon
        button.dataset.told = "yes"; button.classList.remove("icon-only"); button.querySelector("span").className = "";
      }
    }
    for (const place of document.querySelectorAll("[data-run][data-ended]")) {
      const { run, name, ended } = place.dataset;
      if (!ended || !(run in now)) continue;
      const { [run]: _, ...left } = now;
      // Kept first: of several pages one tells it.
      keep(left);
      tell(run, name, ended);
      return look();
    }
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-tell]");
    if (!button) return;
    const run = button.dataset.tell;
    const { [run]: wasWished, ...left } = wishes();
    if (wasWished !== undefined) { keep(left); look(); return; }
    if (!cannot() && Notification.permission === "default") await Notification.requestPermission();
    if (cannot()) refused.add(run);
    else if (Notification.permission === "granted") keep({ ...wishes(), [run]: button.dataset.of });
    look();
  });
  document.addEventListener("htmx:after:swap", look);
  addEventListener("storage", look);
  look();
})();
