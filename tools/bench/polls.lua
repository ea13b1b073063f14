-- Script for wrk: repeats one GET; with the argument `differing`, each with another header, so that no two requests have the same bytes.
require('counts')

function init(args)
  if args[1] ~= 'differing' then
    return
  end
  local count = 0
  request = function()
    count = count + 1
    return wrk.format(nil, nil, {['X-Number'] = count})
  end
end
