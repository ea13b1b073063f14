// What the page shows, says and waits for, decided from what is known. Pure: no clock, no network, no document.

const SOON_MS = 60_000;
const VERY_SOON_MS = 10_000;
const SPREAD = 0.3;
const LATE_MS = 120_000;
/** Currencies by their decimals, those with 2 left out; flashsale_core.prices has the same. */
const DECIMALS = ["BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF", "", "", "BHD IQD JOD KWD LYD OMR TND", "CLF UYW"];
const OVER = ["paid", "expired", "cancelled", "returned", "lost"];

/** Where the buyer stands. An order counts more than the sale, and what is not known is never guessed. */
export function phaseOf({ sale, order, work, isUnanswered, isGone, isLost }, now) {
  if (order) {
    if (OVER.includes(order.state)) return order.state;
    if (order.state !== "reserved") return "asking";
    if (work === "pay") return "paying";
    return now >= order.endsAt ? "expiring" : "held";
  }
  if (work === "order") return "ordering";
  if (isUnanswered) return "unanswered";
  if (isGone) return "unknown";
  if (isLost) return "unreachable";
  if (!sale) return "loading";
  const running = sale.state === "on_sale" || sale.state === "sold_out";
  if (running && sale.endsAt && now >= Date.parse(sale.endsAt)) return "ended";
  if (sale.state === "not_started" && now >= Date.parse(sale.startsAt)) return "on_sale";
  return sale.state;
}

const TEXTS = {
  unknown: ["bad", "There is no such sale", "Check the address of this page."],
  loading: ["warn", "One moment", "What is left is not known right now. This page asks again by itself."],
  unreachable: ["warn", "No connection", "What is left is not known right now. This page asks again by itself."],
  recovering: ["warn", "One moment", "What is left is not known right now. Nothing is sold meanwhile, and this page asks again by itself."],
  not_started: ["calm", "Not started yet", "You can buy as soon as the clock reaches zero. There is no need to reload."],
  on_sale: ["good", "On sale", "You have {window} to pay once a unit is yours."],
  sold_out: ["bad", "Sold out", "Every unit is sold."],
  paused: ["warn", "Paused", "The shop has paused the sale. This page shows when it goes on."],
  ended: ["calm", "The sale has ended", "No more orders are taken."],
  ordering: ["calm", "Ordering", "Your order is on its way. Keep this page open."],
  unanswered: ["warn", "No answer yet", "Your order may have arrived. Try again: the same order is sent, not another one."],
  asking: ["calm", "Your order", "This page is asking how your order stands."],
  held: ["good", "It is yours until you pay", "{units} for you. Pay{amount} before the time is over, or others get the chance."],
  paying: ["calm", "Paying", "The payment is on its way. Keep this page open."],
  expiring: ["warn", "The time is over", "This page is asking whether a payment arrived in time."],
  paid: ["good", "Paid", "{units} bought. Your order is {order}."],
  expired: ["bad", "The time ran out", "It was not paid in time, and others may buy it now. If you have paid, the shop refunds it."],
  cancelled: ["calm", "Cancelled", "The order was cancelled, and nothing was paid."],
  returned: ["calm", "Returned", "The order was returned. The shop refunds the payment."],
  lost: ["bad", "The order is not known", "There is no such order. Ask the shop if you have paid."],
};

/** Where the shop sells instead of this page: nobody can order here, or only a buyer whom the shop sends with a token. */
function isSoldByShop({ orders, isSignedIn, links }) {
  return orders === "nobody" || (orders === "signed-in" && !isSignedIn && !links.signIn);
}

/** All that the page shows. `m` also has saleId, refusal, isSignedIn, isSure, links, orders, isDemo and quantity. */
export function viewOf(m, now) {
  const phase = phaseOf(m, now);
  const [tone, title, text] = TEXTS[phase];
  const { sale } = m;
  const view = { phase, tone, title, detail: fill(text, m), clock: clockOf(phase, m, now), stock: null, max: 0 };
  const isKnown = sale && sale.state !== "recovering" && !m.isLost && !m.isGone;
  if (isKnown) view.stock = { left: sale.available, all: sale.stock, isOver: phase === "ended" };
  view.isUrgent = phase === "held" && view.clock.ms !== null && view.clock.ms <= SOON_MS;
  if (phase === "sold_out" && sale.reserved > 0) view.detail = `All units are taken, ${sale.reserved.toLocaleString("en")} of them on hold. Units that are not paid in time come back.`;
  if (m.refusal && phase === "ordering") view.detail = `${sentence(m.refusal)} Your order is sent again by itself.`;
  if (m.refusal && ["on_sale", "held", "asking", "expiring"].includes(phase)) Object.assign(view, { detail: sentence(m.refusal), tone: "warn", isNews: true });
  else if (phase === "held" && m.isSure) Object.assign(view, { detail: "Cancel this order? Others can buy its units then.", isNews: true });
  if (isSoldByShop(m) && ["not_started", "on_sale", "sold_out", "paused"].includes(phase)) view.detail = `Sold through the shop. ${view.detail}`;
  if (phase === "held" && m.isLost) view.detail += " There is no connection right now; the units stay yours.";
  return Object.assign(view, { price: sale?.price && priceText(sale.price) }, actionsOf(phase, m));
}

function actionsOf(phase, m) {
  const { sale, saleId, order, links, isDemo, isSignedIn, isSure } = m;
  const shop = links.signIn?.replace("{sale}", saleId);
  const signIn = !isSignedIn && shop && { text: order ? "Sign in again" : "Sign in to buy", href: shop };
  const off = (text) => ({ text, action: "none", isOff: true });
  const again = { text: "Order again", action: "again" };
  const max = Math.max(1, Math.min(sale?.maxPerUser ?? 10, 10));
  if (isSoldByShop(m) && ["not_started", "on_sale"].includes(phase)) return shop ? { link: { text: "Buy in the shop", href: shop } } : {};
  switch (phase) {
    case "not_started":
      return signIn ? { link: signIn } : { primary: off("Buy"), max };
    case "on_sale":
      return signIn ? { link: signIn } : { primary: { text: "Buy", action: "buy" }, max };
    case "unanswered":
      return { primary: { text: "Try again", action: "buy" } };
    case "asking": case "expiring":
      return { link: signIn };
    case "ordering":
      return { primary: off("Ordering…") };
    case "held":
      // What does no harm takes the place of the button that was just clicked.
      if (isSure) return { primary: { text: "Yes, cancel", action: "cancel" }, secondary: { text: "Keep it", action: "keep" } };
      return {
        primary: isDemo && { text: "Pay (simulated)", action: "pay" },
        link: !isDemo && links.pay && { text: "Pay", href: links.pay.replace("{orderId}", encodeURIComponent(order.orderId)) },
        secondary: signIn ? { ...signIn, action: "signIn" } : { text: "Cancel order", action: "ask" },
      };
    case "paying":
      return { primary: off("Paying…") };
    case "paid":
      return sale?.state === "on_sale" && max > 1 ? { secondary: again } : {};
    case "expired": case "cancelled": case "returned": case "lost":
      return { primary: again };
    default:
      return {};
  }
}

/** `ms` is null if nothing is counted down. */
function clockOf(phase, { sale, order }, now) {
  // Before the time is known, nothing is counted.
  const until = (label, endsAt) => ({ label, ms: now ? endsAt - now : null, text: "" });
  switch (phase) {
    case "not_started":
      return until("Starts in", Date.parse(sale.startsAt));
    case "on_sale": case "sold_out":
      return sale.endsAt ? until("Ends in", Date.parse(sale.endsAt)) : { label: "Units left", ms: null, text: sale.available.toLocaleString("en") };
    case "held": case "paying": case "expiring":
      return until("Time to pay", order.endsAt);
    default:
      return { label: "", ms: null, text: "" };
  }
}

function fill(text, { sale, order, quantity, isLost }) {
  return text
    .replace("{window}", durationText(sale?.paymentWindowSeconds ?? 0))
    .replace("{units}", counted(order?.quantity ?? quantity, "unit"))
    .replace("{amount}", sale?.price && order && !isLost ? ` ${priceText(sale.price, order.quantity)}` : "")
    .replace("{order}", order?.orderId ?? "");
}

/** A price such as 49.00 EUR, of so many units; wording.py writes the same. */
export function priceText({ amountMinor, currency }, units = 1) {
  const other = DECIMALS.findIndex((currencies) => currencies.includes(currency));
  const decimals = other < 0 ? 2 : other;
  return `${((units * amountMinor) / 10 ** decimals).toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })} ${currency}`;
}

/** The refusal after news of the sale or the order: it holds until their state changes. */
export function refusalAfter(refusal, last, next) {
  return last?.state === next.state ? refusal : null;
}

/** Whether the state of an order may still change. An expired one may be paid by a payment that came late. */
export function canChange({ state, endsAt }, now) {
  return ["reserved", "unknown"].includes(state) || (state === "expired" && !(now >= endsAt + LATE_MS));
}

/** How long no change of the order is expected: after the sign-in has ended, none is seen until the buyer comes back. */
export function orderWaitSeconds({ order, links, isSignedIn }, now) {
  if (!isSignedIn && links.signIn) return 300;
  return order.state === "expired" ? 100 : now >= order.endsAt ? 0 : 25;
}

/** The engine's own words. */
export function sentence({ title, detail }) {
  return `${[title, detail].filter(Boolean).join(". ")}.`;
}

/** What is to be announced as `next` follows `last`; empty for nothing. */
export function announcement(last, next) {
  if (!last) return "";
  if (next.phase !== last.phase) {
    if (next.phase === "on_sale" && last.phase === "not_started") return "The sale has started.";
    return next.phase === "sold_out" ? "Sold out." : `${next.title}. ${next.detail}`;
  }
  if (next.isNews && next.detail !== last.detail) return next.detail;
  const what = { not_started: "The sale starts in", held: "Your time to pay ends in" }[next.phase];
  const crossed = [VERY_SOON_MS, SOON_MS].find((ms) => last.clock.ms > ms && next.clock.ms <= ms);
  return what && crossed ? `${what} ${crossed / 1000} seconds.` : "";
}

/** Seconds until the live document is asked for again; `waitSeconds` until something is expected to change. */
export function pollSeconds(waitSeconds, random) {
  return spread(Math.min(30, Math.max(2, waitSeconds / 10)), random);
}

/** How long nothing is expected to change. */
export function waitSeconds({ sale }, now) {
  if (sale?.state === "not_started") return Math.max(0, (Date.parse(sale.startsAt) - now) / 1000);
  return sale?.state === "ended" ? 300 : sale?.state === "paused" ? 50 : 0;
}

/** After so many sends of an order, some five minutes without advice of the engine, the buyer is asked to try again. */
export const ATTEMPTS_MAX = 24;

/** Seconds before a request without an answer, or with a refusal that allows it, is sent again. */
export function retrySeconds(attempts, retryAfterSeconds, random) {
  if (retryAfterSeconds !== undefined) return Math.max(0.25, retryAfterSeconds) * (1 + SPREAD * random);
  return spread(Math.min(15, 0.5 * 2 ** Math.min(attempts, 10)), random);
}

function spread(seconds, random) {
  return seconds * (1 + SPREAD * (2 * random - 1));
}

/** A header Retry-After in seconds, at most a minute; undefined without one, for a date, and for days. */
export function secondsOf(retryAfter) {
  return /^\d{1,4}$/.test(retryAfter ?? "") ? Math.min(60, Number(retryAfter)) : undefined;
}

/** A live document or an event; undefined if it is not one. */
export function readLive(text) {
  const document = parsed(text);
  return Date.parse(document.serverTime) ? document : undefined;
}

/** What an answer to an order means: an order, a refusal that is final, or one after which the same request may be sent again. */
export function readAnswer(status, text, retryAfterSeconds) {
  const document = parsed(text);
  if (status === 200 && typeof document.orderId === "string") return { order: orderOf(document) };
  // Without a code it is not from the engine, which may have the order: a proxy's page. The same if the request reached another service.
  const isForeign = typeof document.code !== "string" || document.code === "not_found";
  const refusal = isForeign ? { code: "no_answer", title: "There is no answer yet" } : document;
  return { refusal, retryAfterSeconds, isRepeatable: status !== 401 && (isForeign || status >= 500 || status === 408 || retryAfterSeconds !== undefined) };
}

function parsed(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

function orderOf({ orderId, quantity, state, expiresAt }) {
  return { orderId, quantity, state, endsAt: expiresAt ? Date.parse(expiresAt) : 0 };
}

/** `02:31`, `1:02:31` or `3 d 01:02:31`; a second counts until it is over. */
export function clockText(ms) {
  const all = Math.ceil(Math.max(0, ms) / 1000);
  const [days, hours, minutes, seconds] = [Math.floor(all / 86400), Math.floor(all / 3600) % 24, Math.floor(all / 60) % 60, all % 60];
  const two = (number) => String(number).padStart(2, "0");
  if (days) return `${days} d ${two(hours)}:${two(minutes)}:${two(seconds)}`;
  return hours ? `${hours}:${two(minutes)}:${two(seconds)}` : `${two(minutes)}:${two(seconds)}`;
}

function durationText(seconds) {
  return seconds % 60 ? counted(seconds, "second") : counted(seconds / 60, "minute");
}

function counted(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}
