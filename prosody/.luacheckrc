-- Prosody 0.12 runs modules in Lua 5.1 to 5.4, and 13 in 5.2 to 5.4: only what all of them have.
std = "min"
globals = { "module" }
read_globals = { "prosody" }
max_line_length = 120
