// Sign buyer tokens (fsb1) on the shop's server, for Node 18 or newer, Deno, Bun and edge workers: WebCrypto, no dependencies.
// Never in a browser: the key makes anybody any buyer. ../fsb1_vectors.json describes the format.

const MAC_BYTES = 18;
const EXPIRES_MOST = 253402300799;
const USER_ID = /^[!$-[\]-~][!#-[\]-~]{0,254}$/;

/**
 * The token by which the shop states who a buyer is.
 * @param {string} key FLASHSALE_BUYER_TOKEN_KEY of the installation
 * @param {string} userId 1 to 255 printable ASCII characters without spaces, `"` and `\`, the first not `#`
 * @param {number} expires when it ends, in whole seconds since the Unix epoch
 * @returns {Promise<string>}
 */
export async function signBuyerToken(key, userId, expires) {
  if (!USER_ID.test(userId)) throw new RangeError("userId must be 1 to 255 printable ASCII characters without spaces, \" and \\, the first not #");
  if (!Number.isInteger(expires) || expires < 1 || expires > EXPIRES_MOST) throw new RangeError("expires must be whole seconds since the Unix epoch");
  const signed = `fsb1.${userId.replace(/[^A-Za-z0-9_-]/g, escape)}.${expires}`;
  const crypto = globalThis.crypto ?? (await import("node:crypto")).webcrypto;
  const text = new TextEncoder();
  const hmac = await crypto.subtle.importKey("raw", text.encode(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const mac = new Uint8Array(await crypto.subtle.sign("HMAC", hmac, text.encode(signed)));
  return `${signed}.${base64url(mac.subarray(0, MAC_BYTES))}`;
}

function escape(character) {
  return `~${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`;
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_");
}
