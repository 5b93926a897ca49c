// A dataset's rows: / goes to their search.
"use strict";
(() => {
  const isTyping = (one) => one instanceof Element && one.matches("input, textarea, select, [contenteditable]");
  // Before the studio's own search hears of the key.
  document.addEventListener("keydown", (event) => {
    const search = document.querySelector("[data-slash]");
    if (event.key !== "/" || !search || isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    search.focus();
    search.select();
  }, true);
})();
