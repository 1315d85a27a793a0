-- version = 2
-- entity = ["origin"]
-- event_time = "time"
-- created_time = "time"
-- owner = "Ana"
-- sources = ["weather"]
SELECT origin, time, temp FROM weather
