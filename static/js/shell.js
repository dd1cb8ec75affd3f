/* The page shell: menu, theme choice, times in the reader's zone, toasts, and what HTMX says when something fails. */
(function () {
  "use strict";
  const body = document.body;

  // --- Menu on small screens, and pop-ups that close by Escape or a click elsewhere --------------------------------
  const button = document.querySelector("[data-menu-button]");
  function menu(open) {
    body.classList.toggle("menu-open", open);
    button.setAttribute("aria-expanded", String(open));
    if (open) document.querySelector(".side a").focus();
  }
  if (button) button.addEventListener("click", () => menu(!body.classList.contains("menu-open")));
  document.addEventListener("click", (event) => {
    if (button && body.classList.contains("menu-open") && !event.target.closest(".side, [data-menu-button]")) menu(false);
    for (const pop of document.querySelectorAll("details.pop[open]")) if (!pop.contains(event.target)) pop.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (button && body.classList.contains("menu-open")) { menu(false); button.focus(); }
    for (const pop of document.querySelectorAll("details.pop[open]")) { pop.open = false; pop.querySelector("summary").focus(); }
  });

  // --- Theme --------------------------------------------------------------------------------------------------
  function showTheme() {
    for (const choice of document.querySelectorAll("[data-theme-choose]"))
      choice.setAttribute("aria-pressed", String(choice.dataset.themeChoose === window.fundopsTheme.chosen()));
  }
  document.addEventListener("click", (event) => {
    const choice = event.target.closest("[data-theme-choose]");
    if (!choice) return;
    window.fundopsTheme.choose(choice.dataset.themeChoose);
    showTheme();
  });
  showTheme();

  // --- Times: UTC on the page, the reader's zone on hover or focus ------------------------------------------------
  const stated = body.dataset.timeZone;
  const zone = stated && stated !== "UTC" ? stated : Intl.DateTimeFormat().resolvedOptions().timeZone;
  function explain(event) {
    const time = event.target.closest && event.target.closest("time[data-utc]");
    if (!time || time.title) return;
    const at = new Date(time.dateTime);
    time.title = at.toLocaleString("en-GB", { dateStyle: "full", timeStyle: "long", timeZone: zone }) + " (" + zone + ")";
  }
  document.addEventListener("pointerover", explain);
  document.addEventListener("focusin", explain);

  // --- Toasts -------------------------------------------------------------------------------------------------
  const tray = document.querySelector(".toasts");
  function toast(text, level) {
    const item = document.createElement("div");
    item.className = "toast-item toast-" + (level || "info");
    item.setAttribute("role", level === "error" ? "alert" : "status");
    item.appendChild(document.createElement("p")).textContent = text;
    const close = item.appendChild(document.createElement("button"));
    close.type = "button";
    close.setAttribute("aria-label", "Dismiss");
    close.textContent = "✕";
    tray.appendChild(item);
    later(item, level);
  }
  // Errors stay until they are dismissed; everything else leaves by itself.
  function later(item, level) { if (level !== "error") setTimeout(() => item.remove(), 8000); }
  if (tray) {
    for (const item of tray.children) later(item, item.classList.contains("toast-error") ? "error" : "info");
    tray.addEventListener("click", (event) => { if (event.target.closest("button")) event.target.closest(".toast-item").remove(); });
  }
  window.fundopsToast = toast;
  document.addEventListener("toast", (event) => toast(event.detail.text || event.detail.value, event.detail.level));

  // --- HTMX: a refusal says why; the token travels with every request -----------------------------------------------
  document.addEventListener("htmx:configRequest", (event) => {
    const token = document.querySelector("meta[name=csrf-token]");
    if (token) event.detail.headers["X-CSRFToken"] = token.content;
  });
  document.addEventListener("htmx:responseError", (event) => {
    const reply = event.detail.xhr;
    let text = "The request failed (" + reply.status + ").";
    if ((reply.getResponseHeader("Content-Type") || "").includes("json")) {
      try { text = JSON.parse(reply.responseText).detail || text; } catch (_) { /* keep the plain text */ }
    }
    if (reply.status === 401) { window.location.reload(); return; }
    toast(text, "error");
  });
  document.addEventListener("htmx:sendError", () => toast("No connection to the server. Try again in a moment.", "error"));

  // --- A region that is replaced while it is read keeps its place: focus, scroll positions, opened details -----------
  const CONTROL = "a[href], button, summary, input, select, textarea, [tabindex]";
  const wordsOf = (element) => [element.tagName, element.getAttribute("href"), element.getAttribute("name"), element.getAttribute("aria-label"), element.textContent.replace(/[^a-z]/gi, "")].join("|");
  // An address is the surest mark of a link: its words may be the very figures that change.
  const same = (a, mark) => (mark.href ? a.getAttribute("href") === mark.href : wordsOf(a) === mark.words);
  let kept = null;
  function remember() {
    const active = document.activeElement;
    const region = active && active !== body && active.closest("main [id]:not([data-chart])");
    kept = {
      focus: active && region && { element: active, region: region.id, mark: { href: active.getAttribute("href"), words: wordsOf(active) } },
      scrolls: [...document.querySelectorAll("main .table-wrap, main .tabs")].filter((e) => e.scrollLeft || e.scrollTop)
        .map((e) => ({ element: e, label: e.getAttribute("aria-label"), left: e.scrollLeft, top: e.scrollTop })),
      open: [...document.querySelectorAll("main details[open]")].map((e) => ({ element: e, words: wordsOf(e.querySelector("summary")) })),
    };
  }
  function restore() {
    if (!kept) return;
    const was = kept;
    kept = null;
    for (const scroll of was.scrolls) {
      if (scroll.element.isConnected || !scroll.label) continue;
      const now = [...document.querySelectorAll("main .table-wrap, main .tabs")].find((e) => e.getAttribute("aria-label") === scroll.label);
      if (now) { now.scrollLeft = scroll.left; now.scrollTop = scroll.top; }
    }
    for (const details of was.open) {
      if (details.element.isConnected) continue;
      for (const now of document.querySelectorAll("main details:not([open])")) if (wordsOf(now.querySelector("summary")) === details.words) { now.open = true; break; }
    }
    if (was.focus && !was.focus.element.isConnected) {
      const region = document.getElementById(was.focus.region) || document.getElementById("main");
      const now = [...region.querySelectorAll(CONTROL)].find((e) => same(e, was.focus.mark));
      if (now) now.focus({ preventScroll: true });
    }
  }
  document.addEventListener("htmx:beforeSwap", remember);
  document.addEventListener("htmx:afterSettle", restore);

  // --- A form that is checked while it is filled in: what is typed while an answer travels stays, and is checked in turn --
  const fieldsOf = (form) => [...form.elements].filter((field) => field.name && field.type !== "file" && field.tagName !== "BUTTON");
  const isBox = (field) => field.type === "checkbox" || field.type === "radio";
  const stateOf = (field) => (isBox(field) ? field.checked : field.value);
  const nameOf = (field) => (isBox(field) ? field.name + "=" + field.value : field.name);
  let typed = null;
  document.addEventListener("htmx:beforeSwap", (event) => {
    const asked = event.detail.requestConfig, form = asked.elt.closest("form");
    typed = null;
    // Removing an element renumbers the ones after it, so their names no longer say which is meant.
    if (!form || !form.contains(event.detail.target) || asked.elt.name === "_remove") return;
    const wasSent = (field) => (isBox(field) ? asked.formData.getAll(field.name).includes(field.value) : asked.formData.get(field.name));
    const later = fieldsOf(form).filter((field) => event.detail.target.contains(field) && !field.disabled && stateOf(field) !== wasSent(field));
    if (later.length) typed = { form, states: new Map(later.map((field) => [nameOf(field), stateOf(field)])) };
  });
  document.addEventListener("htmx:afterSwap", () => {
    if (!typed) return;
    const { form, states } = typed;
    typed = null;
    for (const field of fieldsOf(form).filter((one) => states.has(nameOf(one)))) {
      if (isBox(field)) { field.checked = states.get(nameOf(field)); continue; }
      const caret = field === document.activeElement && typeof field.selectionStart === "number" ? field.selectionStart : null;
      field.value = states.get(nameOf(field));
      if (caret !== null) field.setSelectionRange(caret, caret);
    }
    form.dispatchEvent(new Event("change", { bubbles: true }));
  });

  // Passkeys: a cancelled or failed ceremony says so instead of doing nothing.
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    const cancelled = event.detail.exception && event.detail.exception.name === "NotAllowedError";
    toast(cancelled ? "The passkey request was cancelled or timed out. Try again." : "The passkey did not work: " + event.detail.exception.message, "error");
  });

  // Copy buttons: <button data-copy="#id">
  document.addEventListener("click", (event) => {
    const copy = event.target.closest("[data-copy]");
    if (!copy) return;
    navigator.clipboard.writeText(document.querySelector(copy.dataset.copy).textContent.trim()).then(() => toast("Copied.", "success"));
  });
  document.addEventListener("click", (event) => { if (event.target.closest("[data-print]")) window.print(); });
})();
