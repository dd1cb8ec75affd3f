/*
 * Live pages: one websocket to /ws/live/ for everything on the page that wants to hear of changes.
 *
 * IN A TEMPLATE
 * -------------
 *   <section data-live-topic="cohort:12" hx-get="/cohorts/12/board/" hx-trigger="live" data-live-region> ... </section>
 *
 *   data-live-topic     topics, separated by blanks; subscribed while the element is on the page (also after HTMX swaps)
 *   data-topic          the same, for charts (see charts.js)
 *   hx-trigger="live"   HTMX refreshes the element's own partial when something happened. Bursts are joined: the event
 *                       "live" is fired once things are quiet for data-live-wait milliseconds (250), at the latest after
 *                       eight times that.
 *   data-live-after     on the element or around it: the place in the stream up to which the page is complete, as the
 *                       server knew it when it rendered (selector `live_seq`). What happened since then is sent first.
 *   data-live-region    dimmed by the style sheet while the connection is stale.
 *
 * IN A SCRIPT
 * -----------
 *   document.addEventListener("live:cohort", (event) => event.detail)     every message of topics cohort and cohort:...
 *   document.addEventListener("live:message", ...)                        every message
 *   detail is the message: {type, topic, seq, at, data}. Each arrives once and in order of seq within its topic.
 *   "live:subscribed" {topic, seq}: everything of the topic behind seq follows
 *   "live:reset"      {topic, seq}: too much was missed to be told; elements of the topic are refreshed by themselves
 *   "live:denied"     {topic, code, detail}: the server refused the topic
 *   "live:signed-out" the session ended; the page should be reloaded
 *
 * STATE
 * -----
 *   <body data-live-state="live | reconnecting | stale">: absent while the page asks for nothing. Reconnecting turns to
 *   stale after 15 seconds, and at once when the session has ended. Connections are tried again with growing pauses (0.25
 *   to 10 seconds, with a random part so that a thousand browsers do not come back together), and at once when the
 *   machine comes online or the page is looked at again.
 */
(() => {
  "use strict";
  if (window.fundopsLive) return;  // one connection a page, however often the file is included
  window.fundopsLive = true;

  const FIRST_PAUSE = 250, LONGEST_PAUSE = 10000, STALE_AFTER = 15000, PING_EVERY = 15000, SILENCE = 25000;
  const SIGNED_OUT = 4401;

  const places = new Map();        // topic -> the last place told, or null before the server said it
  const denied = new Set();
  const waiting = new Map();       // element -> {timer, since}
  let socket = null, ready = false, ended = false, pause = FIRST_PAUSE;
  let retryTimer = 0, staleTimer = 0, heard = 0, scanTimer = 0;

  // --- What the page wants ---------------------------------------------------------------------------------

  const topicsOf = (element) =>
    `${element.dataset.liveTopic || ""} ${element.dataset.topic || ""}`.split(/\s+/).filter(Boolean);

  const elementsOf = (topic) =>
    [...document.querySelectorAll("[data-live-topic], [data-topic]")].filter((e) => topicsOf(e).includes(topic));

  function scan() {
    scanTimer = 0;
    const wanted = new Map();
    for (const element of document.querySelectorAll("[data-live-topic], [data-topic]")) {
      const after = Number(element.closest("[data-live-after]")?.dataset.liveAfter ?? NaN);
      const known = Number.isSafeInteger(after) ? after : null;
      for (const topic of topicsOf(element)) {
        // The earliest place that any part of the page knows: nothing is missed between its making and the subscription.
        const place = wanted.get(topic) ?? null;
        if (!denied.has(topic)) wanted.set(topic, place === null || (known !== null && known < place) ? known ?? place : place);
      }
    }
    for (const topic of [...places.keys()]) {
      if (wanted.has(topic)) continue;
      places.delete(topic);
      if (ready) say({ type: "unsubscribe", topic });
    }
    for (const [topic, after] of wanted) {
      if (places.has(topic)) continue;
      places.set(topic, after);
      if (ready) subscribe(topic);
    }
    if (places.size && !socket && !retryTimer && !ended) connect();
  }

  const scanSoon = () => { scanTimer = scanTimer || setTimeout(scan, 50); };

  // --- The connection --------------------------------------------------------------------------------------

  function show(state) { document.body.dataset.liveState = state; }

  const say = (request) => { if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(request)); };

  function subscribe(topic) {
    const after = places.get(topic);
    say(after === null ? { type: "subscribe", topic } : { type: "subscribe", topic, after });
  }

  function connect() {
    clearTimeout(retryTimer);
    retryTimer = 0;
    if (ended || socket) return;
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const mine = socket = new WebSocket(`${scheme}://${location.host}/ws/live/?batch=1`);
    heard = Date.now();
    mine.addEventListener("message", (event) => {
      if (mine !== socket) return;
      heard = Date.now();
      let found;
      try { found = JSON.parse(event.data); } catch { return; }
      for (const message of Array.isArray(found) ? found : [found]) receive(message);
    });
    mine.addEventListener("close", (event) => { if (mine === socket) lost(event.code); });
  }

  function lost(code) {
    socket = null;
    ready = false;
    if (code === SIGNED_OUT) {
      ended = true;
      show("stale");
      document.dispatchEvent(new CustomEvent("live:signed-out"));
      return;
    }
    if (document.body.dataset.liveState !== "stale") {
      show("reconnecting");
      staleTimer = staleTimer || setTimeout(() => show("stale"), STALE_AFTER);
    }
    retryTimer = setTimeout(connect, pause * (0.5 + Math.random()));
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }

  function drop() {
    const old = socket;
    if (!old) return;
    lost(0);
    old.close();
  }

  function hurry() {
    if (document.visibilityState === "hidden" || ended || !places.size) return;
    if (!socket) { pause = FIRST_PAUSE; connect(); } else if (ready && Date.now() - heard > SILENCE) drop();
  }

  // --- What the server says --------------------------------------------------------------------------------

  function receive(message) {
    switch (message.type) {
      case "hello":
        ready = true;
        pause = FIRST_PAUSE;
        clearTimeout(staleTimer);
        staleTimer = 0;
        show("live");
        for (const topic of places.keys()) subscribe(topic);
        return;
      case "subscribed":
        if (!places.has(message.topic)) return;
        if (places.get(message.topic) === null) places.set(message.topic, message.seq);
        document.dispatchEvent(new CustomEvent("live:subscribed", { detail: message }));
        return;
      case "reset":
        if (!places.has(message.topic)) return;
        places.set(message.topic, message.seq);
        document.dispatchEvent(new CustomEvent("live:reset", { detail: message }));
        refresh(message.topic);
        return;
      case "error":
        if (message.topic && (message.code === "topic_denied" || message.code === "topic_unknown")) {
          places.delete(message.topic);
          denied.add(message.topic);
          document.dispatchEvent(new CustomEvent("live:denied", { detail: message }));
        }
        return;
      case "pong":
      case "unsubscribed":
        return;
    }
    if (!places.has(message.topic)) return;
    const place = places.get(message.topic);
    if (place !== null && message.seq <= place) return;
    places.set(message.topic, message.seq);
    document.dispatchEvent(new CustomEvent("live:message", { detail: message }));
    document.dispatchEvent(new CustomEvent(`live:${message.topic.split(":")[0]}`, { detail: message }));
    refresh(message.topic);
  }

  // --- Refreshing partials ---------------------------------------------------------------------------------

  function refresh(topic) {
    for (const element of elementsOf(topic)) {
      const wait = Number(element.dataset.liveWait) || 250;
      const now = Date.now();
      const due = waiting.get(element) || { since: now, timer: 0 };
      clearTimeout(due.timer);
      const left = Math.max(0, Math.min(wait, due.since + 8 * wait - now));
      due.timer = setTimeout(() => {
        waiting.delete(element);
        if (element.isConnected) element.dispatchEvent(new CustomEvent("live", { detail: { topic } }));
      }, left);
      waiting.set(element, due);
    }
  }

  // --- Life ------------------------------------------------------------------------------------------------

  function start() {
    scan();
    new MutationObserver(scanSoon).observe(document.body, {
      childList: true, subtree: true, attributes: true, attributeFilter: ["data-live-topic", "data-topic"],
    });
    setInterval(() => {
      if (!ready) return;
      if (Date.now() - heard > SILENCE) drop(); else say({ type: "ping" });
    }, PING_EVERY);
    addEventListener("online", hurry);
    addEventListener("pageshow", hurry);
    document.addEventListener("visibilitychange", hurry);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start); else start();
})();
