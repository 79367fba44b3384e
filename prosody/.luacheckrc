-- Prosody 0.12 runs modules in Lua 5.1 to 5.4, and 13 in 5.2 to 5.4: only what all of them have. The module repeats this in
-- a comment, so that luacheck passes from any folder.
std = "min"
globals = { "module" }
read_globals = { "prosody" }
max_line_length = 140
