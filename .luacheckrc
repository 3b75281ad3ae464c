-- What a script in Redis or Valkey finds beside Lua 5.1 itself (https://valkey.io/topics/lua-api/).
stds.redis = { read_globals = { 'unpack', 'redis', 'cjson', 'KEYS', 'ARGV' } }
max_line_length = 150 -- a script's first line has what puts it into a function before it
