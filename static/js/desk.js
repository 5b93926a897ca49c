// A dataset's rows: / goes to their search; buttons that only readers without scripts need are hidden, and what only scripts do is shown.
"use strict";
(() => {
  const isTyping = (one) => one instanceof Element && one.matches("input, textarea, select, [contenteditable]");
  function tidy() {
    for (const one of document.querySelectorAll("[data-without-script]")) one.hidden = true;
    for (const one of document.querySelectorAll("[data-with-script]")) one.hidden = false;
  }
  // Before the studio's own search hears of the key.
  document.addEventListener("keydown", (event) => {
    const search = document.querySelector("[data-slash]");
    if (event.key !== "/" || !search || isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    search.focus();
    search.select();
  }, true);
  document.addEventListener("htmx:after:swap", tidy);
  tidy();
})();
