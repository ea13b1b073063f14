-- The price of a sale's unit, a text such as `1999 EUR`; a sale without a price has an empty field or none (flashsale_core.prices).
-- Returns amount and currency, or nil. Raises if the text is something else.
local function read_price(text)
  if not text or text == '' then
    return nil
  end
  local amount, currency = text:match('^(%d+) (%u%u%u)$')
  if not amount then
    error({ err = 'INVARIANT the price ' .. text .. ' cannot be read' })
  end
  return tonumber(amount), currency
end
