// The wall screen: a clock, the way out by Esc, and a screen that stays awake.
"use strict";
(() => {
  const CLOCK_MS = 1000;
  const clock = document.getElementById("clock");
  function tell() {
    const words = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    if (clock.textContent !== words) clock.textContent = words;
  }
  setInterval(tell, CLOCK_MS);
  tell();

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !event.defaultPrevented) document.getElementById("leave").click();
  });

  // Not every browser can, and none does for a hidden page: a wall without it only dims.
  async function stayAwake() {
    if (document.hidden || !navigator.wakeLock) return;
    try { await navigator.wakeLock.request("screen"); } catch { /* refused, to save power */ }
  }
  document.addEventListener("visibilitychange", stayAwake);
  stayAwake();
})();
