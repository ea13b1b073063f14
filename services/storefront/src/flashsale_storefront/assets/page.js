// The page of a sale: it listens to the live document, orders, and shows what decide.js decides. Without dependencies.

import * as decide from "./decide.js";

const page = document.querySelector("#page");
const { sale: saleId, api, demo, signIn, pay, orders, live } = page.dataset;
const at = (id) => document.getElementById(id);
const kept = `flashsale:${saleId}`;
const SAMPLES = 8;
const SILENT_MS = 40_000;
const STREAM_AGAIN_MS = 30_000;
const ANSWER_MS = 10_000;

const model = {
  sale: null, order: null, work: null, refusal: null, isUnanswered: false, isGone: page.dataset.phase === "unknown", isLost: false, isSure: false,
  saleId, links: { signIn, pay }, orders, isDemo: demo === "yes", isSignedIn: false, quantity: 1,
};
const memory = {};
let samples = [], offset = NaN, heardAt = 0, failures = 0, shown = null, stream = null, streamedAt = -Infinity, pollTimer = 0, orderTimer = 0;

// Times by the engine's clock. This machine's is only used for differences.
const here = () => performance.timeOrigin + performance.now();
const now = () => here() + offset;

// A buyer's token comes in the fragment, which no server sees. It leaves the address at once.
function takeToken() {
  const token = /^#token=([\w.~-]{1,4096})$/.exec(location.hash)?.[1];
  if (token) {
    store("flashsale:token", token);
    history.replaceState(null, "", location.pathname + location.search);
  }
  if (demo && !recall("flashsale:buyer")) store("flashsale:buyer", `guest-${newId().slice(0, 12)}`);
  model.isSignedIn = Boolean(demo || recall("flashsale:token"));
}

function recall(name) {
  try {
    memory[name] ??= sessionStorage.getItem(name);
  } catch {
    // Storage is forbidden: the page works until it is reloaded.
  }
  return memory[name] ?? null;
}

function store(name, value) {
  memory[name] = value;
  try {
    value === null ? sessionStorage.removeItem(name) : sessionStorage.setItem(name, value);
  } catch {
    // As above.
  }
}

function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Status 0 stands for no answer. */
async function ask(path, options = {}) {
  const headers = options.body ? { "content-type": "application/json" } : {};
  const token = recall("flashsale:token");
  if (token && path.startsWith(api) && !path.startsWith("/s/")) headers.authorization = `Bearer ${token}`;
  // Not AbortSignal.timeout: Safari has it since 2022 only, and without it no request would be sent.
  const attempt = new AbortController();
  const timer = setTimeout(() => attempt.abort(), ANSWER_MS);
  try {
    const answer = await fetch(path, { ...options, headers, signal: attempt.signal });
    return { status: answer.status, text: await answer.text(), retryAfterSeconds: decide.secondsOf(answer.headers.get("retry-after")) };
  } catch {
    return { status: 0, text: "" };
  } finally {
    clearTimeout(timer);
  }
}

async function askAboutOrder(path, options) {
  const { status, text, retryAfterSeconds } = await ask(path, options);
  if (status === 401) {
    store("flashsale:token", null);
    model.isSignedIn = Boolean(demo);
  }
  return { status, ...decide.readAnswer(status, text, retryAfterSeconds) };
}

// The sale: one stream of events for as long as the page is visible; without one, the live document again and again.

/** Whether it is a live document or an event. */
function hear(text) {
  const document = decide.readLive(text);
  if (!document) return false;
  samples = [...samples, Date.parse(document.serverTime) - here()].slice(-SAMPLES);
  // Every document arrives late, so the largest difference is the best.
  offset = Math.max(...samples);
  heardAt = here();
  failures = 0;
  model.isLost = model.isGone = false;
  if (document.state) learn(document);
  render();
  return true;
}

function learn(sale) {
  model.refusal = decide.refusalAfter(model.refusal, model.sale, sale);
  model.sale = { ...model.sale, ...sale };
}

function listen() {
  clearTimeout(pollTimer);
  if (document.hidden || stream) return;
  streamedAt = here();
  const opened = new EventSource(`/s/${saleId}/events`);
  stream = opened;
  const onEvent = (event) => {
    clearTimeout(pollTimer);
    hear(event.data);
  };
  opened.onmessage = onEvent;
  opened.addEventListener("time", onEvent);
  opened.onerror = () => {
    if (stream === opened) {
      leave();
      poll();
    }
  };
}

function leave() {
  stream?.close();
  stream = null;
}

async function poll() {
  clearTimeout(pollTimer);
  if (document.hidden) return;
  const { status, text, retryAfterSeconds } = await ask(`/s/${saleId}/live`);
  if (stream) return;
  if (status === 200 && hear(text)) {
    if (here() - streamedAt > STREAM_AGAIN_MS * (1 + Math.random())) return listen();
    return pollIn(decide.pollSeconds(decide.waitSeconds(model, now()), Math.random()));
  }
  failures += 1;
  const { code } = decide.readAnswer(status, text).refusal ?? {};
  if (code === "unknown_sale") model.isGone = true;
  else if (code === "recovering") learn({ state: code });
  else if (failures > 1) model.isLost = true;
  render();
  pollIn(model.isGone ? 30 : decide.retrySeconds(failures, retryAfterSeconds, Math.random()));
}

function pollIn(seconds) {
  clearTimeout(pollTimer);
  pollTimer = setTimeout(poll, 1000 * seconds);
}

// The order: its request id is kept, so a reload goes on with the same order and never makes another one.

function note() {
  return JSON.parse(recall(kept) ?? "null");
}

async function order() {
  const known = note();
  // Whose every request was refused by 401 has reserved nothing, and may want another number of units meanwhile.
  const isNew = !known || (known.isRefused && known.quantity !== model.quantity);
  const wish = isNew ? { requestId: newId(), quantity: model.quantity } : { ...known, isRefused: undefined };
  store(kept, JSON.stringify(wish));
  Object.assign(model, { work: "order", refusal: null, isUnanswered: false, isSure: false, quantity: wish.quantity });
  render();
  const body = { productId: saleId, quantity: wish.quantity, requestId: wish.requestId, ...(demo && { userId: recall("flashsale:buyer") }) };
  for (let attempts = 1; ; attempts++) {
    const answer = await askAboutOrder(`${api}/order`, { method: "POST", body: JSON.stringify(body) });
    if (answer.order) {
      model.order = answer.order;
      store(kept, JSON.stringify({ ...wish, orderId: answer.order.orderId }));
      break;
    }
    model.refusal = answer.refusal;
    if (answer.isRepeatable) {
      // The note stays, so the buyer's next try is the same request.
      model.isUnanswered = attempts === decide.ATTEMPTS_MAX;
      if (model.isUnanswered) break;
      render();
      await new Promise((done) => setTimeout(done, 1000 * decide.retrySeconds(attempts, answer.retryAfterSeconds, Math.random())));
      continue;
    }
    if (answer.status === 401) {
      // The note stays here as well: the order is sent after the buyer has signed in.
      if (attempts === 1 && (isNew || known.isRefused)) store(kept, JSON.stringify({ ...wish, isRefused: true }));
      break;
    }
    store(kept, null);
    if (answer.refusal.code === "order_gone") model.order = { quantity: wish.quantity, state: "expired" };
    break;
  }
  if (model.order) model.refusal = null;
  model.work = null;
  render();
  follow();
}

/** Ask how the order stands, for as long as that can change. */
async function follow() {
  clearTimeout(orderTimer);
  const { order } = model;
  if (!order?.orderId || document.hidden || model.work || !decide.canChange(order, now())) return;
  const answer = await askAboutOrder(`${api}/orders/${order.orderId}`);
  if (model.order !== order || model.work) return;
  if (answer.order) update(answer.order);
  else if ([404, 410].includes(answer.status) && !answer.isRepeatable) order.state = "lost";
  else if (answer.status === 401) model.refusal = answer.refusal;
  render();
  orderTimer = setTimeout(follow, 1000 * decide.pollSeconds(decide.orderWaitSeconds(model, now()), Math.random()));
}

function update(order) {
  model.refusal = decide.refusalAfter(model.refusal, model.order, order);
  Object.assign(model.order, order);
}

async function payNow() {
  Object.assign(model, { work: "pay", refusal: null });
  render();
  const { orderId, quantity } = model.order;
  const answer = await askAboutOrder("/s/-/demo/payments", { method: "POST", body: JSON.stringify({ orderId, quantity }) });
  if (answer.status !== 200) model.refusal = answer.refusal;
  model.work = null;
  await follow();
  render();
}

async function cancel() {
  const { order } = model;
  model.isSure = false;
  const answer = await askAboutOrder(`${api}/orders/${order.orderId}`, { method: "DELETE" });
  if (model.order !== order) return;
  if (answer.order) update(answer.order);
  else model.refusal = answer.refusal;
  render();
  follow();
}

const ACTIONS = {
  none: () => {}, buy: order, pay: payNow, cancel,
  ask: () => { model.isSure = true; },
  keep: () => { model.isSure = false; },
  signIn: () => location.assign(shown.secondary.href),
  again: () => { store(kept, null); Object.assign(model, { order: null, refusal: null }); },
};

// What is shown: only what has changed is written.

function put(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

function show(id, part) {
  const element = at(id);
  element.hidden = !part;
  if (!part) return;
  put(id, part.text);
  if (element.href !== undefined) element.href = part.href;
  else element.dataset.action = part.action;
  element.setAttribute("aria-disabled", Boolean(part.isOff));
}

function render() {
  const view = decide.viewOf(model, now());
  const focused = document.activeElement;
  Object.assign(page.dataset, { phase: view.phase, tone: view.tone });
  page.toggleAttribute("data-urgent", view.isUrgent);
  const { label, text, ms } = view.clock;
  const clock = ms === null ? text : decide.clockText(ms);
  put("title-text", view.title);
  put("detail", view.detail);
  if (view.price !== undefined) put("price", view.price ?? "");
  put("clock-label", label);
  put("clock-time", clock);
  at("stock").hidden = !view.stock;
  if (view.stock) {
    at("bar").value = view.stock.left / Math.max(1, view.stock.all);
    put("left", `${view.stock.left.toLocaleString("en")} of ${view.stock.all.toLocaleString("en")} left`);
  }
  for (const id of ["primary", "secondary", "link"]) show(id, view[id]);
  offer(view.max ?? 0);
  at("actions").hidden = !(view.primary || view.secondary || view.link);
  put("fresh", freshness());
  // A button that is gone would leave the keyboard nowhere.
  if (focused?.hidden || focused?.closest?.("[hidden]")) at("title").focus({ preventScroll: true });
  const words = decide.announcement(shown, view);
  if (words) at("status").textContent = words;
  document.title = `${ms === null ? view.title : clock} · ${saleId}`;
  shown = view;
}

function offer(max) {
  at("quantity").hidden = max < 2;
  const select = at("quantity").querySelector("select");
  if (max < 2 || select.length === max) return;
  select.replaceChildren(...Array.from({ length: max }, (_, place) => new Option(String(place + 1))));
  select.value = String(Math.min(model.quantity, max));
}

function freshness() {
  if (!heardAt) return "";
  const seconds = Math.round((here() - heardAt) / 1000);
  return model.isLost || seconds >= 20 ? `Last heard from the sale ${seconds} s ago` : "Live, by the sale's clock";
}

function start() {
  takeToken();
  // Not heard now: a browser may show a page that it has kept, so the time in it may be an old one.
  if (live) learn(JSON.parse(live));
  const wish = note();
  if (wish) {
    model.quantity = wish.quantity;
    if (wish.orderId) model.order = { orderId: wish.orderId, quantity: wish.quantity, state: "unknown", endsAt: 0 };
    else order();
  }
  // A button may take the place of another: a double click, or Enter that is held, is meant for the first one.
  page.addEventListener("keydown", (event) => event.repeat && event.key === "Enter" && event.preventDefault());
  page.addEventListener("click", ({ target, detail }) => {
    const action = target.closest("button")?.dataset.action;
    if (!action || detail > 1) return;
    ACTIONS[action]();
    render();
  });
  at("quantity").addEventListener("change", ({ target }) => { model.quantity = Number(target.value); });
  document.addEventListener("visibilitychange", () => {
    leave();
    clearTimeout(pollTimer);
    clearTimeout(orderTimer);
    if (document.hidden) return;
    // A machine that slept has another clock now.
    samples = [];
    listen();
    follow();
  });
  setInterval(() => {
    if (stream && here() - Math.max(heardAt, streamedAt) > SILENT_MS) {
      leave();
      poll();
    }
    render();
  }, 200);
  render();
  listen();
  follow();
}

if (saleId) start();
