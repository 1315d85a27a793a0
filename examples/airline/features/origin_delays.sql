-- version = 1
-- description = "How late planes have been leaving this airport."
-- owner = "data science"
-- sources = ["departures"]
-- entity = ["origin"]
-- event_time = "departed_at"
-- created_time = "departed_at"
-- ttl = "1d"

SELECT
  origin,
  departed_at,
  avg(delay_min) OVER hour AS origin_delay_1h_min,
  avg(delay_min) OVER quarter AS origin_delay_4h_min,
  avg(CAST(delay_min > 15 AS INTEGER)) OVER hour AS origin_late_1h_share,
  avg(CAST(delay_min > 15 AS INTEGER)) OVER quarter AS origin_late_4h_share,
  count(*) OVER hour AS origin_left_1h
FROM departures
WINDOW
  hour AS (PARTITION BY origin ORDER BY departed_at
           RANGE BETWEEN INTERVAL 1 HOUR PRECEDING AND CURRENT ROW),
  quarter AS (PARTITION BY origin ORDER BY departed_at
              RANGE BETWEEN INTERVAL 4 HOURS PRECEDING AND CURRENT ROW)
