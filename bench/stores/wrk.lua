-- wrk's part of a window: sends one body again and again, counts what it sent and which answers are no good, and
-- prints the outcome as JSON. Arguments: the file with the body, then the headers as "name: value".

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(arguments)
  sent, failed, first_failure = -1, 0, ""  -- wrk asks for one request beforehand, to look at it
  local file = assert(io.open(arguments[1], "rb"))
  local headers = {}
  for place = 2, #arguments do
    local name, value = arguments[place]:match("^(.-): (.*)$")
    headers[name] = value
  end
  message = wrk.format("POST", nil, headers, file:read("*a"))
  file:close()
end

function request()
  sent = sent + 1
  return message
end

function response(status, headers, body)
  if status ~= 200 or body:find('"errors":', 1, true) then
    failed = failed + 1
    if failed == 1 then
      first_failure = status .. ": " .. body:sub(1, 1000)
    end
  end
end

local function quoted(text)
  return '"' .. text:gsub('[%c"\\]', function(char) return string.format("\\u%04x", char:byte()) end) .. '"'
end

function done(summary, latency, requests)
  local all_sent, all_failed, failure = 0, 0, ""
  for _, thread in ipairs(threads) do
    all_sent = all_sent + thread:get("sent")
    all_failed = all_failed + thread:get("failed")
    failure = failure ~= "" and failure or thread:get("first_failure")
  end
  local broken = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  if failure == "" and broken > 0 then
    failure = broken .. " connections failed"
  end
  io.write(string.format(
    '\n{"sent": %d, "failed": %d, "first_failure": %s, "per_second": %.3f, "p50_ms": %.4f, "p99_ms": %.4f}\n',
    all_sent, all_failed + broken, failure == "" and "null" or quoted(failure),
    summary.requests / summary.duration * 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
