-- Stands for a script that ends or erases a batch.
-- ARGV  1 'write' | 'erase'  2 owner's id  3 its hash  4 tenant  5 now ms  6 expires ms  7… the list of deliveries, and one more argument
-- Returns (write) the argument after the list
-- @include ../src/webhooks/deliveries.lua
local owner = { id = ARGV[2], key = ARGV[3], tenant = ARGV[4] }
if ARGV[1] == 'erase' then return erase_deliveries(owner, false) end
return ARGV[write_deliveries(owner, tonumber(ARGV[5]), ARGV[6], 7)] or ''
