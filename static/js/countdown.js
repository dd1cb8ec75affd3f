/*
 * Countdowns: an element with data-countdown (an ISO time) says how long it is until then, second by second.
 *
 * The server writes the same words, with the time itself beside them, so that nothing is missing without this file.
 */
(() => {
  "use strict";

  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  function told(seconds) {
    if (seconds < 1) return "now";
    const parts = [];
    let rest = Math.round(seconds);
    for (const [size, unit] of UNITS) {
      const count = Math.floor(rest / size);
      rest -= count * size;
      if (count) parts.push(`${count} ${unit}`);
    }
    return parts.slice(0, 2).join(" ");
  }
  function tick() {
    for (const element of document.querySelectorAll("[data-countdown]")) {
      const left = (new Date(element.dataset.countdown) - Date.now()) / 1000;
      const text = told(left);
      if (element.textContent !== text) element.textContent = text;
      element.classList.toggle("soon", left < 4 * 3600);
    }
  }
  tick();
  setInterval(tick, 1000);
})();
