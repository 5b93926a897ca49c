// Search as one types, the palette, the keys: actions are read from the page, finds asked of the studio.
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

  // What was visited last stays in this browser.
  function visited() {
    try { return JSON.parse(localStorage.getItem(VISITED)) ?? []; } catch { return []; }
  }
  function keep(pages) {
    try { localStorage.setItem(VISITED, JSON.stringify(pages)); } catch { /* kept nowhere, then */ }
  }
  function remember() {
    const here = location.pathname.slice(root.length);
    if (!/^\/(runs|datasets)\/[0-9a-f-]{36}$/.test(here)) return;
    const title = document.querySelector(".crumbs [aria-current]")?.textContent ?? document.title;
    keep([{ here, title }, ...visited().filter((page) => page.here !== here)].slice(0, KEPT));
  }
  function visits(words) {
    const others = visited().filter(({ here, title }) => root + here !== location.pathname && holds(title, words));
    return group("Visited last", others.map(({ here, title }) => make("a", { href: root + here, textContent: title })));
  }

  // What can be done on this very page, now.
  function actions(words) {
    const found = [...document.querySelectorAll(".acts button, .acts a, [data-command]")];
    const named = found.map((element) => [element.dataset.command || element.textContent.trim(), element]);
    const possible = named.filter(([name, element]) => name && !element.disabled && !element.closest("[hidden]")
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
      // What was visited stands once: among what was visited.
      const own = new Set(local.flatMap((section) => [...section.querySelectorAll("a")].map((link) => link.href)));
      for (const link of list.querySelectorAll("li > a")) if (own.has(link.href)) link.parentElement.remove();
      for (const part of list.querySelectorAll("section")) if (!part.querySelector("li")) part.remove();
      list.prepend(...local);
      for (const part of list.querySelectorAll("#found, h2, ul, li")) { part.role = "presentation"; part.removeAttribute("id"); }
      for (const part of list.querySelectorAll("section")) part.role = "group";
      list.querySelectorAll("a, button").forEach((option, number) => {
        Object.assign(option, { role: "option", id: `${list.id}-${number}`, tabIndex: -1 });
      });
      choose(input.value.trim() ? 0 : null);
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
      list.hidden = false;
      input.ariaExpanded = "true";
      try {
        const headers = { "HX-Request": "true", "HX-Target": "div#found" };
        const response = await fetch(`${root}/search?q=${encodeURIComponent(text)}`, { headers, signal: asking.signal });
        if (response.headers.has("HX-Redirect")) return location.reload();
        if (!response.ok) throw new Error(response.status);
        answered = await response.text();
      } catch (error) {
        if (error.name === "AbortError") return;
        answered = '<p class="nothing dim" role="presentation">The studio does not answer. Is it still running?</p>';
      }
      list.ariaBusy = "false";
      show(local());
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
      } else if (event.key === "?" && isPalette && !input.value) {
        event.preventDefault();
        open(shortcuts);
      } else if (event.key === "Escape" && isPalette) {
        event.preventDefault(); // else the browser only empties the box at the first press
        palette.close();
      } else if (event.key === "Escape") {
        input.value = "";
        input.blur();
      }
    });
    form.addEventListener("focusout", (event) => { if (!isPalette && !form.contains(event.relatedTarget)) close(); });
    list.addEventListener("pointerdown", (event) => event.preventDefault());
    if (isPalette) palette.addEventListener("close", () => { input.value = ""; close(); });
  }

  function open(dialog) {
    for (const other of [palette, shortcuts]) if (other !== dialog) other.close();
    if (!dialog.open) dialog.showModal();
  }
  document.addEventListener("click", (event) => {
    if (event.target === palette || event.target === shortcuts) event.target.close();
    else if (event.target.closest("[data-palette]")) open(palette);
    else if (event.target.closest("[data-shortcuts]")) open(shortcuts);
  });
  document.addEventListener("submit", ({ target }) => { if (/^post.*(signout|delete)$/.test(target.method + target.action)) keep([]); });

  // A key is a shortcut only where nobody types.
  let begun = "";
  let forgetting = 0;
  function begin(key) {
    begun = key;
    clearTimeout(forgetting);
    if (key) forgetting = setTimeout(begin, NEXT_KEY_MS, "");
  }
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      return open(palette);
    }
    const typing = event.target.closest("input, textarea, select, [contenteditable], dialog");
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.key.length > 1) return;
    const box = [...document.querySelectorAll("[data-search]")].findLast((one) => one.checkVisibility());
    const place = document.querySelector(`[data-keys="${CSS.escape(`${begun}${event.key}`)}"]`);
    if (event.key === "/" && box) { box.focus(); box.select(); }
    else if (event.key === "?") open(shortcuts);
    else if (place) location.assign(place.href);
    else return begin(document.querySelector(`[data-keys^="${CSS.escape(event.key)} "]`) ? `${event.key} ` : "");
    event.preventDefault();
    begin("");
  });

  for (const button of document.querySelectorAll("[data-palette]")) button.hidden = false;
  document.querySelectorAll("[data-finder]").forEach(finder);
  remember();
})();
