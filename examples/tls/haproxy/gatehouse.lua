-- Asks Gatehouse whether a request may pass, on HAProxy's own HTTP client:
--
--   http-request lua.gatehouse http://127.0.0.1:9091/api/authz/forward-auth
--
-- Anything but a 200 goes back to the visitor, and so does no answer at all.
local identity = { "remote-user", "remote-email", "remote-name", "remote-groups" }
local hop = { connection = true, ["keep-alive"] = true, te = true, trailer = true, upgrade = true,
  ["transfer-encoding"] = true, ["content-length"] = true, expect = true, host = true,
  ["accept-encoding"] = true } -- its pages go to the visitor as they come

local function gatehouse(txn, url)
  local headers = {}
  for name, values in pairs(txn.http:req_get_headers()) do
    if not hop[name] then
      headers[name] = {}
      for i = 0, #values do headers[name][i + 1] = values[i] end
    end
  end
  -- Never the Host that the client sent: haproxy.cfg says which site it routes to.
  headers["x-forwarded-host"] = { txn:get_var("txn.site") }
  headers["x-forwarded-method"] = { txn.f:method() }
  headers["x-forwarded-uri"] = { txn.f:pathq() }

  local answer = core.httpclient():get{ url = url, headers = headers, timeout = 5000 }
  if answer and answer.status == 200 then
    for _, name in ipairs(identity) do
      txn.http:req_del_header(name)
      local values = answer.headers[name]
      if values then txn.http:req_set_header(name, values[0]) end
    end
    return
  end
  local reply = txn:reply{ status = 503 }
  if answer and answer.status >= 300 then
    reply:set_status(answer.status)
    for _, name in ipairs{ "location", "www-authenticate", "content-type", "content-language", "cache-control", "retry-after",
      "content-security-policy", "referrer-policy", "x-content-type-options" } do
      local values = answer.headers[name]
      if values then reply:add_header(name, values[0]) end
    end
    if answer.body and #answer.body > 0 then reply:set_body(answer.body) end
  end
  txn:done(reply)
end

core.register_action("gatehouse", { "http-req" }, gatehouse, 1)
