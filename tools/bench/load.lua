-- Script for wrk: sends orders, and pays them when it has a webhook secret. Arguments, in order:
--   product    the product id; with more than one product, the ids are <product id>-<number>
--   prefix     the first part of user and request ids, which no other run uses
--   products   how many products the orders take turns between
--   users      how many users they take turns between
--   requests   how many request ids they take turns between; fewer ids than orders means replays
--   secret     a webhook secret (base64); with it, each accepted order is paid as soon as a connection is free; empty for none
--   token key  a key of buyer tokens; with it, each order has a token of its buyer; empty for none
require('counts')
local ffi = require('ffi')
local threads = 0
local shape = '{"userId":"%s%08d","productId":"%s","quantity":1,"requestId":"%s%08d"}'

function setup(thread)
  thread:set('number', threads)
  threads = threads + 1
end

local function post(path, headers, body)
  return 'POST ' .. path .. ' HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n' .. headers
    .. 'Content-Length: ' .. #body .. '\r\n\r\n' .. body
end

-- A function from words to the base64 of their HMAC-SHA256, or of its first `bytes` bytes. wrk itself has loaded libcrypto.
local function signer(key_of, bytes)
  ffi.cdef [[
    const void *EVP_sha256(void);
    unsigned char *HMAC(const void *, const void *, int, const unsigned char *, size_t, unsigned char *, unsigned int *);
    int EVP_EncodeBlock(unsigned char *, const unsigned char *, int);
    int EVP_DecodeBlock(unsigned char *, const unsigned char *, int);
  ]]
  local ok, crypto = pcall(ffi.load, 'crypto')
  if not ok then
    crypto = ffi.load('libcrypto.so.3')
  end
  local digest, text = ffi.new('unsigned char[32]'), ffi.new('unsigned char[64]')
  local key, length = key_of(crypto)
  return function(words)
    crypto.HMAC(crypto.EVP_sha256(), key, length, words, #words, digest, nil)
    return ffi.string(text, crypto.EVP_EncodeBlock(text, digest, bytes))
  end
end

-- Standard Webhooks: base64 of HMAC-SHA256 over id.timestamp.body.
local function webhook_signer(secret)
  return signer(function(crypto)
    local key = ffi.new('unsigned char[64]')
    return key, crypto.EVP_DecodeBlock(key, secret, #secret) - select(2, secret:gsub('=', ''))
  end, 32)
end

-- The Authorization header of a buyer. No user id here has a character that a token must escape.
local function token_header(token_key)
  local mac, expires = signer(function() return token_key, #token_key end, 18), os.time() + 3600
  return function(buyer)
    local signed = string.format('fsb1.%s.%d', buyer, expires)
    return 'Authorization: Bearer ' .. signed .. '.' .. mac(signed):gsub('+', '-'):gsub('/', '_') .. '\r\n\r\n'
  end
end

function init(args)
  product, prefix = args[1], args[2]
  products, users, requests = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  count = 0
  user = string.format('%s-%02d-', prefix, number)
  if args[6] ~= '' then
    due, first, last = {}, 1, 0
    sign = webhook_signer(args[6])
    response = take_order_id
  end
  if args[7] ~= '' then
    authorize = token_header(args[7])
  end
  heads = {}
end

-- The head of an order depends only on the length of its body.
local function order(body, buyer)
  local head = heads[#body]
  if not head then
    head = post('/order', '', body):match('^(.-\r\n\r\n)')
    heads[#body] = head
  end
  if authorize then
    return head:sub(1, -3) .. authorize(string.format('%s%08d', user, buyer)) .. body
  end
  return head .. body
end

function request()
  if due and first <= last then
    local order_id = due[first]
    due[first], first = nil, first + 1
    return payment(order_id)
  end
  count = count + 1
  local buyer, asked = count % users, count % requests
  local name = products == 1 and product or product .. '-' .. count % products
  return order(string.format(shape, user, buyer, name, user, asked), buyer)
end

function payment(order_id)
  local id, now = 'pay-' .. order_id, os.time()
  local body = string.format(
    '{"type":"payment.succeeded","timestamp":"2026-01-01T00:00:00Z","data":{"orderId":"%s","paymentId":"%s","amountMinor":4900,"currency":"EUR"}}',
    order_id, id)
  local signature = sign(string.format('msg-%s.%d.%s', id, now, body))
  return post('/payments/webhook', string.format(
    'webhook-id: msg-%s\r\nwebhook-timestamp: %d\r\nwebhook-signature: v1,%s\r\n', id, now, signature), body)
end

function take_order_id(status, headers, body)
  local order_id = body:match('"orderId":"([^"]+)"')
  if order_id then
    last = last + 1
    due[last] = order_id
  end
end
