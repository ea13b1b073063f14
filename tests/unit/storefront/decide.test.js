import assert from "node:assert/strict";
import { test } from "node:test";

import * as decide from "./decide.mjs";

const NOW = Date.parse("2026-11-29T10:00:00Z");
const SALE = { productId: "shoe", state: "on_sale", available: 5, reserved: 2, stock: 10, startsAt: null, endsAt: null, maxPerUser: 2, paymentWindowSeconds: 300 };
const at = (seconds) => new Date(NOW + 1000 * seconds).toISOString();
const model = (more) => ({ saleId: "shoe", sale: SALE, order: null, work: null, refusal: null, links: {}, quantity: 1, isSignedIn: true, ...more });
const order = (state, seconds = 60) => ({ orderId: "shoe.1", quantity: 2, state, endsAt: NOW + 1000 * seconds });

test("every phase follows from what is known", () => {
  const phases = [
    [{ sale: null }, "loading"],
    [{ isLost: true }, "unreachable"],
    [{ isGone: true }, "unknown"],
    [{ sale: { ...SALE, state: "not_started", startsAt: at(1) } }, "not_started"],
    [{ sale: { ...SALE, state: "not_started", startsAt: at(0) } }, "on_sale"],
    [{ sale: { ...SALE, endsAt: at(0) } }, "ended"],
    [{ sale: { ...SALE, state: "paused", endsAt: at(0) } }, "paused"],
    [{ sale: { ...SALE, state: "recovering" } }, "recovering"],
    [{ work: "order", isLost: true }, "ordering"],
    [{ isUnanswered: true, sale: { ...SALE, state: "sold_out" } }, "unanswered"],
    [{ order: order("unknown"), isLost: true }, "asking"],
    [{ order: order("reserved") }, "held"],
    [{ order: order("reserved"), work: "pay" }, "paying"],
    [{ order: order("reserved", 0) }, "expiring"],
    [{ order: order("paid", -1) }, "paid"],
    [{ order: order("expired", -1) }, "expired"],
  ];
  for (const [more, phase] of phases) assert.equal(decide.phaseOf(model(more), NOW), phase, JSON.stringify(more));
});

test("no stock is shown while it is not known", () => {
  for (const more of [{ sale: null }, { isLost: true }, { sale: { ...SALE, state: "recovering" } }]) {
    assert.equal(decide.viewOf(model(more), NOW).stock, null);
  }
});

test("a hold that the engine has not judged yet is neither held nor expired", () => {
  const view = decide.viewOf(model({ order: order("reserved", -1) }), NOW);
  assert.equal(view.title, "The time is over");
  assert.equal(view.primary, undefined);
});

test("a buyer without a token is led to the shop, if the shop has such a page", () => {
  const links = { signIn: "https://shop.example/?for={sale}" };
  const { link, primary } = decide.viewOf(model({ isSignedIn: false, links }), NOW);
  assert.deepEqual([link.href, primary], ["https://shop.example/?for=shoe", undefined]);
  assert.equal(decide.viewOf(model({ isSignedIn: false }), NOW).primary.action, "buy");
});

test("where no browser can order, every phase says so, and no button does nothing", () => {
  const phases = { not_started: { startsAt: at(60) }, on_sale: {}, sold_out: {}, paused: {}, ended: {} };
  const seen = (orders, links, isSignedIn, state = "on_sale") =>
    decide.viewOf(model({ orders, links, isSignedIn, sale: { ...SALE, ...phases[state], state } }), NOW);
  const shop = { signIn: "https://shop.example/?for={sale}" };
  for (const state of Object.keys(phases)) {
    const { detail, primary, link } = seen("nobody", {}, false, state);
    assert.deepEqual([detail.startsWith("Sold through the shop. "), primary, link], [state !== "ended", undefined, undefined], state);
  }
  assert.deepEqual(seen("nobody", shop, true).link, { text: "Buy in the shop", href: "https://shop.example/?for=shoe" });
  assert.equal(seen("signed-in", shop, false).link.text, "Sign in to buy");
  assert.equal(seen("signed-in", {}, false).primary, undefined);
  for (const [orders, isSignedIn] of [["signed-in", true], ["anybody", false]]) assert.equal(seen(orders, {}, isSignedIn).primary.action, "buy");
});

test("a hold names the amount to pay for all of its units, at the present price", () => {
  const seen = (more) => decide.viewOf(model({ order: order("reserved"), ...more }), NOW).detail;
  const priced = { sale: { ...SALE, price: { amountMinor: 104900, currency: "EUR" } } };
  assert.equal(seen(priced), "2 units for you. Pay 2,098.00 EUR before the time is over, or others get the chance.");
  assert.match(seen(), /^2 units for you\. Pay before/);
  // The price may have changed meanwhile.
  assert.match(seen({ ...priced, isLost: true }), /^2 units for you\. Pay before/);
});

test("numbers in sentences are grouped, and one unit is no plural", () => {
  const soldOut = (reserved) => decide.viewOf(model({ sale: { ...SALE, state: "sold_out", available: 0, reserved } }), NOW).detail;
  assert.equal(soldOut(12345), "All units are taken, 12,345 of them on hold. Units that are not paid in time come back.");
  assert.equal(soldOut(0), "Every unit is sold.");
  assert.equal(decide.viewOf(model({ order: { ...order("paid"), quantity: 1 } }), NOW).detail, "1 unit bought. Your order is shoe.1.");
});

test("a buyer whose token ends during a hold can sign in again, and still pay", () => {
  const links = { signIn: "https://shop.example/?for={sale}", pay: "https://shop.example/pay" };
  const seen = (more) => decide.viewOf(model({ isSignedIn: false, links, ...more }), NOW);
  const held = seen({ order: order("reserved") });
  assert.deepEqual([held.link.text, held.secondary.text, held.secondary.href], ["Pay", "Sign in again", "https://shop.example/?for=shoe"]);
  for (const now of [order("unknown"), order("reserved", -1)]) {
    // Also while nothing is known of the sale: the shop leads back to its page by this link.
    for (const sale of [SALE, null, { state: "recovering" }]) {
      const { text, href } = seen({ order: now, sale }).link;
      assert.deepEqual([text, href], ["Sign in again", "https://shop.example/?for=shoe"]);
    }
  }
  assert.equal(decide.orderWaitSeconds(model({ isSignedIn: false, links, order: order("reserved") }), NOW), 300);
  assert.equal(decide.orderWaitSeconds(model({ order: order("reserved") }), NOW), 25);
});

test("the button that cancels never takes the place of the one that asks", () => {
  const held = (isSure) => decide.viewOf(model({ order: order("reserved"), isSure }), NOW);
  assert.deepEqual([held(false).secondary.action, held(true).secondary.action, held(true).primary.action], ["ask", "keep", "cancel"]);
});

test("before an order is cancelled, the page asks and says so aloud", () => {
  const held = (isSure) => decide.viewOf(model({ order: order("reserved"), isSure }), NOW);
  assert.equal(held(true).detail, "Cancel this order? Others can buy its units then.");
  assert.equal(decide.announcement(held(false), held(true)), held(true).detail);
  assert.equal(decide.announcement(held(true), held(false)), "");
});

test("an order without an answer can be sent again in every state of the sale", () => {
  assert.equal(decide.viewOf(model({ isUnanswered: true, isLost: true }), NOW).primary.action, "buy");
});

test("nothing is counted down before the time is known", () => {
  for (const more of [{ sale: { ...SALE, state: "not_started", startsAt: at(-9) } }, { sale: { ...SALE, endsAt: at(-9) } }, { order: order("reserved", -9) }]) {
    const { phase, clock, isUrgent } = decide.viewOf(model(more), NaN);
    assert.deepEqual([["not_started", "on_sale", "held"].includes(phase), clock.ms, isUrgent], [true, null, false]);
  }
});

test("an expired order is asked about for two more minutes, for a late payment may pay it", () => {
  const can = (state, seconds) => decide.canChange(order(state, seconds), NOW);
  assert.deepEqual([can("reserved", -999), can("expired", -119), can("expired", -120), can("paid", 0)], [true, true, false, false]);
  assert.equal(decide.orderWaitSeconds(model({ order: order("expired", -1) }), NOW), 100);
  assert.match(decide.viewOf(model({ order: order("expired", -1) }), NOW).detail, /If you have paid, the shop refunds it/);
});

test("a refusal ends when the state has moved on", () => {
  const refusal = { code: "paused" };
  assert.equal(decide.refusalAfter(refusal, SALE, { ...SALE, available: 4 }), refusal);
  assert.equal(decide.refusalAfter(refusal, { ...SALE, state: "paused" }, SALE), null);
});

test("only a document with a time is live news", () => {
  assert.equal(decide.readLive(`{"serverTime":"${at(0)}"}`).serverTime, at(0));
  for (const text of ["<html>", "", "null", "7", "{}", '{"serverTime":"soon"}']) assert.equal(decide.readLive(text), undefined);
});

test("a refusal is the engine's sentence, and announced once", () => {
  const before = decide.viewOf(model(), NOW);
  const after = decide.viewOf(model({ refusal: { title: "Too many", detail: "At most 2", code: "user_limit" } }), NOW);
  assert.equal(after.detail, "Too many. At most 2.");
  assert.equal(decide.announcement(before, after), "Too many. At most 2.");
  assert.equal(decide.announcement(after, after), "");
});

test("the start, 60 s, 10 s and the end of the stock are announced", () => {
  const view = (seconds, more) => decide.viewOf(model({ sale: { ...SALE, state: "not_started", startsAt: at(seconds) }, ...more }), NOW);
  assert.equal(decide.announcement(view(60.2), view(60)), "The sale starts in 60 seconds.");
  assert.equal(decide.announcement(view(10.2), view(9.9)), "The sale starts in 10 seconds.");
  assert.equal(decide.announcement(view(0.1), view(0)), "The sale has started.");
  assert.equal(decide.announcement(view(0), decide.viewOf(model({ sale: { ...SALE, state: "sold_out" } }), NOW)), "Sold out.");
  const held = (seconds) => decide.viewOf(model({ order: order("reserved", seconds) }), NOW);
  assert.equal(decide.announcement(held(60.1), held(59.9)), "Your time to pay ends in 60 seconds.");
});

test("polls come within their bounds, with 30 % of jitter", () => {
  assert.deepEqual([0, 1].map((random) => decide.pollSeconds(0, random)), [1.4, 2.6]);
  assert.deepEqual([0, 1].map((random) => decide.pollSeconds(9999, random)), [21, 39]);
  assert.equal(decide.pollSeconds(100, 0.5), 10);
});

test("a retry never comes earlier than Retry-After says", () => {
  assert.equal(decide.retrySeconds(1, 5, 0), 5);
  assert.ok(decide.retrySeconds(99, undefined, 1) <= 15 * 1.3);
});

test("advice to wait is a number of seconds or nothing", () => {
  assert.deepEqual([null, "3", "soon", "7200", "86400", "Sun, 29 Nov 2026 10:00:00 GMT"].map(decide.secondsOf), [undefined, 3, undefined, 60, undefined, undefined]);
});

test("an answer is an order, final, or may be repeated", () => {
  const body = JSON.stringify({ orderId: "shoe.1", quantity: 1, state: "reserved", expiresAt: at(60) });
  assert.equal(decide.readAnswer(200, body).order.endsAt, NOW + 60_000);
  assert.equal(decide.readAnswer(409, '{"code":"out_of_stock"}').isRepeatable, false);
  assert.equal(decide.readAnswer(429, '{"code":"rate_limited"}', 3).isRepeatable, true);
  assert.equal(decide.readAnswer(502, "<html>").isRepeatable, true);
  assert.equal(decide.readAnswer(0, "").refusal.code, "no_answer");
  assert.equal(decide.readAnswer(404, '{"code":"unknown_order"}').isRepeatable, false);
});

test("an answer that is not the gateway's is never final", () => {
  for (const [status, text] of [[200, "<html>"], [403, ""], [404, "<html>"], [404, '{"code":"not_found"}'], [410, "null"], [413, '{"message":"no"}']]) {
    const { isRepeatable, refusal } = decide.readAnswer(status, text);
    assert.deepEqual([isRepeatable, refusal.code], [true, "no_answer"], `${status} ${text}`);
  }
  assert.equal(decide.readAnswer(401, "").isRepeatable, false);
});

test("a clock counts a second until it is over", () => {
  assert.deepEqual([0, 1, 59_001, 3_600_000, 90_061_000].map(decide.clockText), ["00:00", "00:01", "01:00", "1:00:00", "1 d 01:01:01"]);
});
