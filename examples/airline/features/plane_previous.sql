-- version = 1
-- description = "How late this plane left New York the last time."
-- owner = "data science"
-- sources = ["departures"]
-- entity = ["tailnum"]
-- event_time = "departed_at"
-- created_time = "departed_at"
-- ttl = "7d"

SELECT
  tailnum,
  departed_at,
  delay_min AS plane_delay_min,
  avg(delay_min) OVER day AS plane_delay_1d_min,
  count(*) OVER day AS plane_left_1d
FROM departures
WHERE tailnum IS NOT NULL
WINDOW day AS (PARTITION BY tailnum ORDER BY departed_at
               RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW)
