// Keeps the numbers of an open page fresh: parts with `data-live` are asked for again, and what changed in them is replaced.
// Nothing is asked while the page is hidden. Without this file every page works, and shows the moment at which it was opened.

const WAIT_MAX_SECONDS = 30;
const stale = document.getElementById("stale");

/** Replaces the elements of `root` whose counterpart with the same id differs, except one that has the focus in it. */
export function update(root, fresh) {
  for (const element of fresh.querySelectorAll("[id]")) {
    const old = root.querySelector(`#${CSS.escape(element.id)}`);
    if (!old || old.isEqualNode(element) || old.contains(document.activeElement)) continue;
    const open = [...old.querySelectorAll("details")].map((details) => details.open);
    old.replaceChildren(...element.childNodes);
    for (const name of ["class"]) if (element.hasAttribute(name)) old.setAttribute(name, element.getAttribute(name));
    old.querySelectorAll("details").forEach((details, at) => (details.open = open[at] ?? false));
  }
}

/** How long to wait before the next try, in seconds: longer after each failure, and never in step with other pages. */
export function waitSeconds(everySeconds, failures, random = Math.random()) {
  return Math.min(WAIT_MAX_SECONDS, everySeconds * 2 ** Math.min(failures, 6)) * (failures ? 0.7 + 0.6 * random : 1);
}

async function ask(root) {
  const answer = await fetch(root.dataset.live, { headers: { accept: "text/html" }, signal: AbortSignal.timeout(10_000) });
  if (answer.status === 401) throw new Error("Your session is over. Reload the page to log in.");
  if (!answer.ok) throw new Error(`The console answered ${answer.status}.`);
  update(root, new DOMParser().parseFromString(await answer.text(), "text/html"));
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
