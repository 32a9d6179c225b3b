/**
 * The dashboard's script, run by the browser. Whatever comes from the server is put in with `textContent`, never as
 * markup: a component may have any name. No backticks and no backslashes in it, as it is itself a template string.
 */
export const script = `
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  };
  // Only what changed is written: a screen reader would read the rest again, and a selection would be lost.
  const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const setClass = (node, name) => { if (node.className !== name) node.className = name; };

  const tones = {
    Healthy: "good", Degraded: "warn", Suspect: "warn", Unhealthy: "bad", Escalated: "bad",
    Recovering: "busy", Verifying: "busy", Starting: "busy", Unknown: "idle", Stopped: "idle",
    healthy: "good", recovered: "good", escalated: "bad", stopped: "idle", unknown: "idle"
  };
  const tone = (status) => tones[status] || "idle";

  const ago = (iso) => {
    const seconds = Math.round((Date.now() - Date.parse(iso)) / 1000);
    if (!Number.isFinite(seconds)) return iso;
    if (seconds < 5) return "just now";
    if (seconds < 90) return seconds + " s ago";
    if (seconds < 5400) return Math.round(seconds / 60) + " min ago";
    if (seconds < 129600) return Math.round(seconds / 3600) + " h ago";
    return Math.round(seconds / 86400) + " days ago";
  };
  const clock = (iso) => {
    const date = new Date(iso);
    return Number.isNaN(date.getTime()) ? iso : date.toLocaleString();
  };
  const setTime = (node, iso) => {
    node.dateTime = iso;
    node.title = clock(iso);
    setText(node, ago(iso));
  };
  setInterval(() => {
    for (const node of document.querySelectorAll("time[data-ago]")) setText(node, ago(node.dateTime));
  }, 5000);

  const post = (path, body) => fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body)
  });
  const problemOf = async (response) => {
    try {
      const body = await response.json();
      return body.message || (body._tag === "UnknownComponent" ? "there is no such component any more" : body._tag);
    } catch {
      return "the console answered " + response.status;
    }
  };

  // -- connection ----------------------------------------------------------------------------------------------------
  let source;
  let retry;
  const connection = (state, text) => {
    byId("connection").dataset.state = state;
    setText(byId("connection-text"), text);
    byId("content").classList.toggle("stale", state === "lost");
  };
  const disconnect = () => {
    clearTimeout(retry);
    if (source) source.close();
    source = undefined;
  };
  const again = () => {
    clearTimeout(retry);
    retry = setTimeout(start, 2000);
  };
  const connect = () => {
    disconnect();
    const mine = source = new EventSource("/api/system/events");
    mine.addEventListener("open", () => {
      connection("live", "Live");
      setText(byId("everything-outcome"), "");
    });
    mine.addEventListener("states", (event) => {
      connection("live", "Live");
      render(JSON.parse(event.data).components);
      refreshSoon();
    });
    mine.addEventListener("error", () => {
      if (mine !== source) return;
      connection("lost", "Connection lost, trying again…");
      // The browser tries again by itself, unless it was answered with something else than events.
      if (mine.readyState === EventSource.CLOSED) again();
    });
  };

  // -- signing in ----------------------------------------------------------------------------------------------------
  const signIn = (why) => {
    disconnect();
    connection("waiting", "Not signed in");
    byId("content").hidden = true;
    byId("everything").hidden = true;
    setText(byId("summary"), "");
    setText(byId("sign-in-why"), why);
    byId("sign-in").hidden = false;
  };
  const exchange = async () => {
    const code = new URLSearchParams(location.hash.slice(1)).get("code");
    if (!code) return "";
    // Before anything else: the code must not stay in the address bar, the history or a bookmark.
    history.replaceState(null, "", location.pathname);
    const response = await post("/api/session", { code });
    return response.ok ? "" : "This link was used already, or it has expired.";
  };
  let refused = "";
  const start = async () => {
    try {
      refused = (await exchange()) || refused;
      const response = await fetch("/api/system/health");
      if (response.status === 401) return signIn(refused || "You are not signed in, or the session has ended.");
      if (!response.ok) throw new Error(await problemOf(response));
      refused = "";
      byId("sign-in").hidden = true;
      byId("content").hidden = false;
      byId("everything").hidden = false;
      render((await response.json()).components);
      connect();
      refresh();
    } catch (error) {
      connection("lost", "Connection lost, trying again…");
      again();
    }
  };
  byId("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const token = byId("token").value;
    byId("token").value = "";
    if (!token) return;
    try {
      const response = await post("/api/session", { token });
      refused = response.ok ? "" : response.status === 401 ? "This token is wrong." : await problemOf(response);
    } catch {
      refused = "The console cannot be reached.";
    }
    start();
  });
  addEventListener("hashchange", () => { if (location.hash.includes("code=")) start(); });

  // -- components ----------------------------------------------------------------------------------------------------
  const cards = new Map();
  const setOutcome = (node, outcome) => {
    setClass(node, "outcome " + tone(outcome.outcome));
    const action = outcome.action ? " by " + outcome.action : "";
    setText(node, outcome.outcome + action + (outcome.detail ? ": " + outcome.detail : ""));
  };
  const recover = async (button, idle, body, show, fail) => {
    button.disabled = true;
    setText(button, "Recovering…");
    try {
      const response = await post("/api/system/auto-recovery", body);
      if (response.ok) show((await response.json()).outcomes);
      else if (response.status === 401) signIn("The session has ended.");
      else fail(await problemOf(response));
    } catch {
      fail("the console cannot be reached");
    }
    button.disabled = false;
    setText(button, idle);
    refreshSoon();
  };
  const makeCard = (name) => {
    const card = {
      root: element("article", "card"), title: element("h3", "", name), pill: element("span", "pill"),
      since: element("time"), attempts: element("span"), detail: element("p", "detail"), probes: element("ul", "probes"),
      button: element("button", "", "Recover now"), outcome: element("p", "outcome")
    };
    card.since.dataset.ago = "";
    card.root.dataset.component = name;
    card.button.type = "button";
    card.button.setAttribute("aria-label", "Recover " + name + " now");
    card.outcome.setAttribute("role", "status");
    card.button.addEventListener("click", () => {
      setClass(card.outcome, "outcome");
      setText(card.outcome, "");
      recover(card.button, "Recover now", { component: name },
        (outcomes) => { for (const outcome of outcomes) setOutcome(card.outcome, outcome); },
        (problem) => { setClass(card.outcome, "outcome bad"); setText(card.outcome, "Not recovered: " + problem); });
    });
    const head = element("div", "card-head");
    head.append(card.title, card.pill);
    const since = element("span", "", "since ");
    since.append(card.since);
    const meta = element("p", "meta");
    meta.append(since, card.attempts);
    const foot = element("div", "card-foot");
    foot.append(card.button, card.outcome);
    card.root.append(head, meta, card.detail, card.probes, foot);
    return card;
  };
  const probeItem = (probe) => {
    const item = element("li");
    const head = element("div", "probe-head");
    const name = element("span", "", probe.name);
    const state = probe.signature ? probe.status + " · " + probe.signature : probe.status;
    head.append(name, element("span", "pill " + tone(probe.status), state));
    item.append(head);
    if (probe.evidence.length > 0) {
      const list = element("ul", "evidence");
      for (const line of probe.evidence) list.append(element("li", "", line));
      item.append(list);
    }
    return item;
  };
  const render = (components) => {
    const changed = [];
    const names = new Set(components.map((component) => component.name));
    for (const [name, card] of cards) {
      if (!names.has(name)) { card.root.remove(); cards.delete(name); }
    }
    for (const component of components) {
      let card = cards.get(component.name);
      if (!card) {
        card = makeCard(component.name);
        cards.set(component.name, card);
        byId("cards").append(card.root);
      } else if (card.pill.textContent !== component.status) {
        changed.push(component.name + " is " + component.status);
        // What a recovery said before something new went wrong.
        if (["Suspect", "Unhealthy"].includes(component.status)) setText(card.outcome, "");
      }
      setClass(card.root, "card " + tone(component.status));
      setClass(card.pill, "pill " + tone(component.status));
      setText(card.pill, component.status);
      setTime(card.since, component.since);
      setText(card.attempts, "attempts " + component.attempts + " of " + component.attemptLimit);
      setText(card.detail, component.detail);
      card.detail.hidden = component.detail === "";
      card.probes.hidden = component.probes.length === 0;
      const shown = JSON.stringify(component.probes);
      if (card.shown !== shown) {
        card.shown = shown;
        card.probes.replaceChildren(...component.probes.map(probeItem));
      }
    }
    byId("no-components").hidden = components.length > 0;
    const counts = new Map();
    for (const { status } of components) counts.set(status, (counts.get(status) || 0) + 1);
    const parts = [...counts].map(([status, count]) => count + " " + status.toLowerCase());
    setText(byId("summary"), components.length + (components.length === 1 ? " component" : " components") +
      (parts.length > 0 ? ": " + parts.join(", ") : ""));
    if (changed.length > 0) setText(byId("announce"), changed.join("; "));
  };
  byId("everything").addEventListener("click", () => {
    const button = byId("everything");
    for (const card of cards.values()) { setClass(card.outcome, "outcome"); setText(card.outcome, ""); }
    setText(byId("everything-outcome"), "");
    recover(button, "Recover everything", { action: "full" }, (outcomes) => {
      for (const outcome of outcomes) {
        const card = cards.get(outcome.component);
        if (card) setOutcome(card.outcome, outcome);
      }
    }, (problem) => setText(byId("everything-outcome"), "Not recovered: " + problem));
  });

  // -- log and statistics --------------------------------------------------------------------------------------------
  const duration = (seconds) => seconds < 90
    ? Math.round(seconds * 10) / 10 + " s"
    : Math.round(seconds / 6) / 10 + " min";
  let pending;
  const refreshSoon = () => {
    clearTimeout(pending);
    pending = setTimeout(refresh, 300);
  };
  const refresh = async () => {
    try {
      const response = await fetch("/api/system/auto-recovery");
      if (!response.ok) return;
      const { log, statistics } = await response.json();
      const some = statistics.totalRecoveries > 0;
      setText(byId("total"), String(statistics.totalRecoveries));
      setText(byId("rate"), some ? Math.round(statistics.successRate * 100) + " %" : "–");
      setText(byId("time"), some ? duration(statistics.avgRecoveryTime) : "–");
      setText(byId("error"), statistics.mostCommonError || "–");
      setText(byId("worst"), statistics.mostProblematicComponent || "–");
      byId("log-scroll").hidden = log.length === 0;
      byId("no-log").hidden = log.length > 0;
      byId("log").replaceChildren(...log.toReversed().map((entry) => {
        const row = element("tr");
        const cell = (label, content) => {
          const made = element("td");
          made.dataset.label = label;
          made.append(content);
          row.append(made);
        };
        const time = element("time", "", clock(entry.timestamp));
        time.dateTime = entry.timestamp;
        cell("Time", time);
        cell("Component", document.createTextNode(entry.component));
        cell("Error", document.createTextNode(entry.error));
        cell("Diagnosis", document.createTextNode(entry.diagnosis));
        cell("Action", document.createTextNode(entry.action));
        cell("Result", element("span", "pill " + (entry.success ? "good" : "bad"), entry.success ? "healed" : "not healed"));
        return row;
      }));
    } catch {
      // The event stream notices a lost connection, and everything is loaded again when it is back.
    }
  };
  // An entry can be added without a change of state.
  setInterval(() => { if (source && !document.hidden) refresh(); }, 30000);

  start();
})();
`
