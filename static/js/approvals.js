/*
 * The gate's pages: the passkey ceremony, form details that need no server.
 *
 * A passkey signs the hash of the decision document: the API's `prepare` answers that hash as the WebAuthn challenge, the
 * browser has it signed, and the page's own form carries the assertion to the server, which checks everything again.
 */
(() => {
  "use strict";

  // --- What belongs to the chosen decision --------------------------------------------------------------------
  document.addEventListener("change", (event) => {
    if (event.target.name === "decision") {
      const form = event.target.form;
      for (const element of form.querySelectorAll("[data-shown-for]")) element.hidden = element.dataset.shownFor !== event.target.value;
      form.elements.comment.required = event.target.value !== "approve";
    }
    const toggled = event.target.dataset && event.target.dataset.toggles;
    if (toggled) document.getElementById(toggled).hidden = !event.target.checked;
  });

  // --- A form under somebody's hands is replaced only when what they may do has changed --------------------------
  document.addEventListener("htmx:oobBeforeSwap", (event) => {
    const now = event.detail.target, then = event.detail.fragment && event.detail.fragment.querySelector("#actions");
    if (!now || now.id !== "actions" || !then) return;
    if (now.dataset.fingerprint === then.dataset.fingerprint) event.detail.shouldSwap = false;
    else if (window.fundopsToast && now.querySelector("#decide-form")) window.fundopsToast("The request has changed: look at it again before you sign.", "warning");
  });

  // --- Passkeys ----------------------------------------------------------------------------------------------
  const bytes = (text) => {
    const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/").padEnd(Math.ceil(text.length / 4) * 4, "="));
    return Uint8Array.from(plain, (c) => c.charCodeAt(0));
  };
  const text64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const hex = (array) => [...array].map((b) => b.toString(16).padStart(2, "0")).join("");

  function say(form, words, failed) {
    const place = form.querySelector("#sign-status");
    place.textContent = words;
    place.classList.toggle("error", Boolean(failed));
    if (failed && window.fundopsToast) window.fundopsToast(words, "error");
  }

  async function prepare(form) {
    const answer = await fetch(form.dataset.prepare, {
      method: "POST",
      headers: {
        "Content-Type": "application/json", "Accept": "application/json",
        "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content,
      },
      body: JSON.stringify({
        decision: new FormData(form).get("decision"), role: new FormData(form).get("role"), comment: form.elements.comment.value.trim(),
      }),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.detail || `The server refused it (${answer.status}).`);
    return said;
  }

  async function sign(form) {
    say(form, "Preparing what you sign …");
    const shown = await prepare(form);
    if (!shown.passkey) throw new Error("Your account has no passkey. Add one under Account security.");
    const options = shown.passkey.publicKey || shown.passkey;
    const challenge = bytes(options.challenge);
    // The page does not trust the answer blindly: the challenge must be the hash that is sent back with the vote.
    if (hex(challenge) !== shown.sha256) throw new Error("The challenge is not the hash of what is shown. Do not sign; tell compliance.");
    say(form, `You are signing ${shown.sha256}`);
    const credential = await navigator.credentials.get({
      publicKey: {
        challenge, rpId: options.rpId, timeout: options.timeout || 60000, userVerification: options.userVerification || "required",
        allowCredentials: (options.allowCredentials || []).map((one) => ({ type: one.type, id: bytes(one.id), transports: one.transports || undefined })),
      },
    });
    const reply = credential.response;
    form.elements.signed_sha256.value = shown.sha256;
    form.elements.credential.value = JSON.stringify({
      id: credential.id, rawId: text64(credential.rawId), type: credential.type, clientExtensionResults: {},
      response: {
        clientDataJSON: text64(reply.clientDataJSON), authenticatorData: text64(reply.authenticatorData), signature: text64(reply.signature),
        userHandle: reply.userHandle ? text64(reply.userHandle) : null,
      },
    });
    const kind = document.createElement("input");
    Object.assign(kind, { type: "hidden", name: "proof_kind", value: "passkey" });
    form.append(kind);
    form.submit();
  }

  document.addEventListener("submit", (event) => {
    const form = event.target, button = event.submitter;
    if (form.id !== "decide-form" || !button) return;
    if (button.value === "totp") {
      if (!form.elements.code.value.trim()) { event.preventDefault(); form.elements.code.focus(); say(form, "Write the code that your app shows.", true); }
      return;
    }
    if (!button.hasAttribute("data-passkey")) return;
    event.preventDefault();
    button.disabled = true;
    sign(form).catch((error) => {
      button.disabled = false;
      say(form, error.name === "NotAllowedError" ? "The passkey request was cancelled or timed out. Nothing was signed; try again." : error.message, true);
    });
  });

  // --- Evidence: a chosen file is hashed here and given to the gate, which keeps it under that hash -----------------
  async function give(file) {
    const body = new FormData();
    body.append("file", file);
    const answer = await fetch("/api/approvals/evidence/", {
      method: "POST", body, headers: { Accept: "application/json", "X-CSRFToken": document.querySelector("meta[name=csrf-token]").content },
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.detail || `The server refused the file (${answer.status}).`);
    return said.sha256;
  }
  function offerFiles() {
    for (const field of document.querySelectorAll("input[name$='.sha256']:not([data-hashes])")) {
      field.dataset.hashes = "";
      const picker = document.createElement("input");
      Object.assign(picker, { type: "file", className: "form-control mt-1" });
      picker.setAttribute("aria-label", "Choose a file");
      picker.addEventListener("change", async (event) => {
        event.stopPropagation();
        const file = picker.files[0];
        if (!file) return;
        const hash = hex(new Uint8Array(await crypto.subtle.digest("SHA-256", await file.arrayBuffer())));
        try {
          if (await give(file) !== hash) throw new Error("The file did not arrive as it left. Try again.");
        } catch (error) {
          // A hash without its file is evidence that is kept elsewhere; the maker decides whether that will do.
          window.fundopsToast(`${error.message} Only its name and hash stand in the request.`, "warning");
        }
        field.value = hash;
        const name = document.getElementsByName(field.name.replace(/sha256$/, "name"))[0];
        if (name && !name.value) name.value = file.name;
        field.dispatchEvent(new Event("change", { bubbles: true }));
      });
      field.closest(".field").append(picker);
    }
  }
  offerFiles();
  document.addEventListener("htmx:afterSettle", offerFiles);
})();
