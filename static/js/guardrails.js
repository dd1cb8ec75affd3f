/* The stop: one dialog for every place, opened by its button, closed by Escape; without scripts the button is a link. */
(function () {
  "use strict";
  const dialog = document.getElementById("stop-dialog");
  if (!dialog) return;
  const form = dialog.querySelector("form");
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-stop]");
    if (button && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      form.elements.book.value = button.dataset.book;
      form.elements.venue.value = button.dataset.venue;
      dialog.querySelector("[data-stop-label]").textContent = button.dataset.label;
      dialog.showModal();
      form.elements.reason.focus();
    }
    if (event.target.closest("#stop-dialog [data-close]") || event.target === dialog) dialog.close();
  });
})();
