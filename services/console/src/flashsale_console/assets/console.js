// Keeps the numbers of an open page fresh: parts with `data-live` are asked for again, and what changed in them is replaced.
// Nothing is asked while the page is hidden. Without this file every page works, and shows the moment at which it was opened.

const WAIT_MAX_SECONDS = 30;
const ANSWER_MS = 10_000;
const stale = document.getElementById("stale");

/** Makes the elements of `root` what those of the same ids in `fresh` are. What stays is not replaced, so it keeps focus and scrolling. */
export function update(root, fresh) {
  const focused = root.contains(document.activeElement) ? document.activeElement : null;
  for (const element of fresh.querySelectorAll("[id]")) {
    const old = root.querySelector(`#${CSS.escape(element.id)}`);
    if (old && !old.isEqualNode(element)) become(old, element);
  }
  if (!focused || document.activeElement === focused) return;
  // It was moved, or it is gone: then the keyboard goes on at the beginning of the page's content.
  (focused.isConnected ? focused : document.getElementById("main")).focus({ preventScroll: true });
}

/** Makes `old` what `fresh` is: element by element, those with an id by their ids. Whether details are open is the person's affair. */
function become(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const ids = new Set([...fresh.children].map((child) => child.id));
  for (const child of [...old.children]) if (child.id && !ids.has(child.id)) child.remove();
  let next = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    let same = next;
    while (same && (same.nodeName !== node.nodeName || same.id !== node.id)) same = same.nextSibling;
    if (!same) {
      old.insertBefore(node, next);
      continue;
    }
    // What stands before it is needed later if it has an id; moving that, and not `same`, leaves a focused element where it is.
    while (next !== same) {
      const passed = next;
      next = next.nextSibling;
      if (passed.id) same.after(passed);
      else passed.remove();
    }
    next = same.nextSibling;
    become(same, node);
  }
  while (next) {
    const passed = next;
    next = next.nextSibling;
    passed.remove();
  }
}

/** The kind and the words of each element of `root` that is read aloud when it is new, by its id. */
export function spoken(root) {
  const words = (element) => (element.querySelector("strong") ?? element).textContent.trim();
  return new Map([...root.querySelectorAll("[data-kind]")].map((element) => [element.id, [element.dataset.kind, words(element)]]));
}

/** The words of what is new, or of another kind than before. Ages and counts change all the time, and are not read aloud again. */
export function news(before, after) {
  return [...after].filter(([id, [kind]]) => before.get(id)?.[0] !== kind).map(([, [, words]]) => words);
}

/** How long to wait before the next try, in seconds: longer after each failure, and never in step with other pages. */
export function waitSeconds(everySeconds, failures, random = Math.random()) {
  return Math.min(WAIT_MAX_SECONDS, everySeconds * 2 ** Math.min(failures, 6)) * (failures ? 0.7 + 0.6 * random : 1);
}

/** The text of an answer. Not AbortSignal.timeout: Safari has it since 2022 only, and without it nothing would be asked. */
async function textOf(path) {
  const attempt = new AbortController();
  const timer = setTimeout(() => attempt.abort(), ANSWER_MS);
  try {
    const answer = await fetch(path, { headers: { accept: "text/html" }, signal: attempt.signal });
    if (answer.status === 401) throw new Error("Your session is over. Reload the page to log in.");
    if (!answer.ok) throw new Error(`The console answered ${answer.status}.`);
    return await answer.text();
  } finally {
    clearTimeout(timer);
  }
}

async function ask(root) {
  const text = await textOf(root.dataset.live);
  const before = spoken(root);
  update(root, new DOMParser().parseFromString(text, "text/html"));
  const words = news(before, spoken(root));
  if (words.length) document.getElementById("news").textContent = words.join(". ");
}

async function keepFresh(root) {
  const every = Number(root.dataset.seconds);
  let failures = 0;
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, waitSeconds(every, failures) * 1000));
    if (document.hidden) await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    try {
      await ask(root);
      failures = 0;
      stale.textContent = "";
    } catch (error) {
      failures += 1;
      // One answer that was lost is no news.
      if (failures > 1) stale.textContent = `These numbers are not fresh. ${error.message}`;
    }
  }
}

document.querySelectorAll("[data-live]").forEach(keepFresh);

// A form that changes something is sent once, however often its button is pressed.
for (const form of document.querySelectorAll('form[method="post"]')) {
  form.addEventListener("submit", () => setTimeout(() => form.querySelectorAll("button").forEach((button) => (button.disabled = true))));
}
