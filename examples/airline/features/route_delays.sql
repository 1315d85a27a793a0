-- version = 1
-- description = "How late flights to this airport have been leaving."
-- owner = "data science"
-- sources = ["departures"]
-- entity = ["origin", "dest"]
-- event_time = "departed_at"
-- created_time = "departed_at"
-- ttl = "30d"

SELECT
  origin,
  dest,
  departed_at,
  avg(delay_min) OVER day AS route_delay_1d_min,
  avg(CAST(delay_min > 15 AS INTEGER)) OVER day AS route_late_1d_share,
  avg(CAST(delay_min > 15 AS INTEGER)) OVER month AS route_late_30d_share
FROM departures
WINDOW
  day AS (PARTITION BY origin, dest ORDER BY departed_at
          RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW),
  month AS (PARTITION BY origin, dest ORDER BY departed_at
            RANGE BETWEEN INTERVAL 30 DAYS PRECEDING AND CURRENT ROW)
