-- Owners of sales: `<namespace>/<name>/<uid>` of a resource, or a name such as `admin`. Nobody owns a sale whose owner is empty, or `<namespace>//`:
-- a resource of that namespace released it, and only resources of that namespace may take it. flashsale_core.owners has the same rules.
local function is_released(owner)
  return owner == '' or owner:sub(-2) == '//'
end

local function namespace_of(owner)
  return owner:match('^([^/]*)/')
end

-- What remains of an owner that gives its sale up. Without a resource, everybody may take the sale.
local function released_by(owner)
  local namespace = namespace_of(owner)
  return namespace and namespace .. '//' or ''
end

-- Whether `owner` may take a released sale. An owner without a namespace is an administrator, who may take all.
local function may_take(released, owner)
  local namespace = namespace_of(owner)
  return released == '' or not namespace or released == namespace .. '//'
end
