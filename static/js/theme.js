/* Sets the colour theme before the first paint: loaded in the head, not deferred, and so small for that reason. */
(function () {
  "use strict";
  var root = document.documentElement;
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function chosen() {
    try {
      var value = localStorage.getItem("theme");
      return value === "dark" || value === "light" ? value : "system";
    } catch (_) {
      return "system";
    }
  }

  function apply() {
    var choice = chosen();
    var theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
    root.dataset.themeChoice = choice;
    if (root.dataset.bsTheme === theme) return;
    root.dataset.bsTheme = theme;
    document.dispatchEvent(new CustomEvent("theme:changed", { detail: { theme: theme } }));
  }

  window.fundopsTheme = {
    choose: function (value) {
      try {
        if (value === "system") localStorage.removeItem("theme");
        else localStorage.setItem("theme", value);
      } catch (_) {
        /* A browser without storage keeps the choice for this page only. */
      }
      apply();
    },
    chosen: chosen,
  };
  dark.addEventListener("change", apply);
  apply();
})();
