// Search as one types, the command palette, and the keys: what one can do is read from the page, what one can find is asked of the studio.
"use strict";
(() => {
  const WAIT_MS = 120, NEXT_KEY_MS = 1200, KEPT = 8, VISITED = "hone-visited";
  const root = document.documentElement.dataset.root;
  const palette = document.getElementById("palette");
  const shortcuts = document.getElementById("shortcuts");

  function make(tag, properties, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }
  function group(title, entries) {
    if (!entries.length) return [];
    return [make("section", { ariaLabel: title }, make("h2", { textContent: title }), make("ul", {}, ...entries.map((entry) => make("li", {}, entry))))];
  }
  const holds = (text, words) => words.every((word) => text.toLowerCase().includes(word));

  // What was visited last is this browser's own business, and stays in it.
  function visited() {
    try { return JSON.parse(localStorage.getItem(VISITED)) ?? []; } catch { return []; }
  }
  function keep(pages) {
    try { localStorage.setItem(VISITED, JSON.stringify(pages)); } catch { /* a browser that keeps nothing */ }
  }
  function remember() {
    const here = location.pathname.slice(root.length);
    if (!/^\/(runs|datasets)\/[0-9a-f-]{36}$/.test(here)) return;
    const title = document.querySelector(".crumbs [aria-current]")?.textContent ?? document.title;
    keep([{ here, title }, ...visited().filter((page) => page.here !== here)].slice(0, KEPT));
  }
  function visits(words) {
    const others = visited().filter((page) => root + page.here !== location.pathname && holds(page.title, words));
    return group("Visited last", others.map((page) => make("a", { href: root + page.here, textContent: page.title })));
  }

  // The actions of this very page, as they stand there now: nothing is offered that is not possible.
  function actions(words) {
    const found = [...document.querySelectorAll(".acts button, .acts a, .acts summary, [data-command]")];
    const named = found.map((element) => [element.dataset.command || element.textContent.trim().replace(/\s+/g, " "), element]);
    const possible = named.filter(([name, element]) => name && !element.disabled && !element.hidden && !element.closest("[hidden]")
      && (element.closest("dialog") || element.checkVisibility()) && holds(name, words));
    return group("On this page", possible.map(([name, element]) => {
      const button = make("button", { type: "button", textContent: name, title: element.title });
      button.addEventListener("click", () => { palette.close(); element.click(); });
      return button;
    }));
  }

  function finder(form) {
    const input = form.querySelector("input");
    const list = form.querySelector(".options");
    const isPalette = "commands" in form.dataset;
    let chosen = -1;
    let waiting = 0;
    let asking = null;
    let answered = "";

    list.role = "listbox";
    input.role = "combobox";
    input.ariaAutoComplete = "list";
    input.ariaExpanded = "false";
    const options = () => [...list.querySelectorAll("[role=option]")];

    function choose(place) {
      const all = options();
      chosen = place === null || !all.length ? -1 : (place + all.length) % all.length;
      all.forEach((option, number) => { option.ariaSelected = String(number === chosen); });
      if (chosen < 0) return input.removeAttribute("aria-activedescendant");
      input.setAttribute("aria-activedescendant", all[chosen].id);
      all[chosen].scrollIntoView({ block: "nearest" });
    }
    function show(local) {
      list.innerHTML = answered;
      list.prepend(...local);
      // A list of links on its page; under a box the same things are options of it.
      for (const part of list.querySelectorAll("#found, h2, ul, li")) { part.role = "presentation"; part.removeAttribute("id"); }
      for (const part of list.querySelectorAll("section")) part.role = "group";
      list.querySelectorAll("a, button").forEach((option, number) => {
        Object.assign(option, { role: "option", id: `${list.id}-${number}`, tabIndex: -1 });
      });
    }
    async function draw() {
      const text = input.value.trim();
      const words = text.toLowerCase().split(/\s+/).filter(Boolean);
      const local = () => [...(isPalette ? actions(words) : []), ...visits(words)];
      asking?.abort();
      asking = new AbortController();
      if (!answered) answered = '<p class="skeleton" role="presentation"></p>'.repeat(6);
      list.ariaBusy = "true";
      show(local());
      choose(words.length ? 0 : null);
      open();
      try {
        const asked = `${root}/search?q=${encodeURIComponent(text)}`;
        const response = await fetch(asked, { headers: { "HX-Request": "true", "HX-Target": "div#found" }, signal: asking.signal });
        if (response.headers.get("HX-Redirect")) { location.reload(); return; }
        if (!response.ok) throw new Error(response.status);
        answered = await response.text();
      } catch (error) {
        if (error.name === "AbortError") return;
        answered = '<p class="nothing dim" role="presentation">The studio does not answer just now. Is it still running?</p>';
      }
      list.ariaBusy = "false";
      show(local());
      choose(words.length ? 0 : null);
    }
    function open() {
      list.hidden = false;
      input.ariaExpanded = "true";
    }
    function close() {
      asking?.abort();
      clearTimeout(waiting);
      list.hidden = !isPalette;
      input.ariaExpanded = "false";
      answered = "";
    }

    input.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(draw, WAIT_MS); });
    input.addEventListener("focus", draw);
    input.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        choose(event.key === "ArrowDown" ? chosen + 1 : Math.max(chosen, 0) - 1);
      } else if (event.key === "Enter" && chosen >= 0) {
        event.preventDefault();
        options()[chosen].click();
      } else if (event.key === "Escape" && !isPalette) {
        input.value = "";
        input.blur();
      }
    });
    form.addEventListener("focusout", (event) => { if (!isPalette && !form.contains(event.relatedTarget)) close(); });
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    if (isPalette) palette.addEventListener("close", () => { input.value = ""; close(); });
  }

  function commands() {
    if (shortcuts.open) shortcuts.close();
    if (!palette.open) palette.showModal();
    document.getElementById("palette-box").focus();
  }
  function keys() {
    if (palette.open) palette.close();
    shortcuts.showModal();
  }
  document.addEventListener("click", (event) => {
    if (event.target === palette || event.target === shortcuts) event.target.close();
    else if (event.target.closest("[data-palette]")) commands();
    else if (event.target.closest("[data-shortcuts]")) keys();
  });
  document.addEventListener("submit", (event) => { if (event.target.action.endsWith("/signout")) keep([]); });

  // A key is a shortcut only where nobody types, and alone.
  let begun = "";
  let forgetting = 0;
  function begin(key) {
    begun = key;
    clearTimeout(forgetting);
    forgetting = setTimeout(() => { begun = ""; }, NEXT_KEY_MS);
  }
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      commands();
      return;
    }
    const typing = event.target.closest("input, textarea, select, [contenteditable], dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing || event.key.length > 1) return;
    const box = [...document.querySelectorAll("[data-search]")].findLast((one) => one.checkVisibility());
    const place = document.querySelector(`[data-keys="${CSS.escape(`${begun}${event.key}`)}"]`);
    if (event.key === "/" && box) { box.focus(); box.select(); }
    else if (event.key === "?") keys();
    else if (place) location.assign(place.href);
    else return begin([...document.querySelectorAll("[data-keys]")].some((one) => one.dataset.keys.startsWith(`${event.key} `)) ? `${event.key} ` : "");
    event.preventDefault();
    begin("");
  });

  for (const button of document.querySelectorAll("[data-palette]")) button.hidden = false;
  document.querySelectorAll("[data-finder]").forEach(finder);
  remember();
})();
