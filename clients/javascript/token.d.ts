/**
 * The token by which the shop states who a buyer is. Only for servers: whoever has the key is any buyer.
 *
 * `key` is FLASHSALE_BUYER_TOKEN_KEY of the installation; `expires` is in whole seconds since the Unix epoch.
 */
export function signBuyerToken(key: string, userId: string, expires: number): Promise<string>;
