-- version = 1
-- description = "How late this carrier has been leaving this airport: today, and in the last month."
-- owner = "data science"
-- sources = ["departures"]
-- entity = ["carrier", "origin"]
-- event_time = "departed_at"
-- created_time = "departed_at"
-- ttl = "3d"

SELECT
  carrier,
  origin,
  departed_at,
  avg(delay_min) OVER recent AS carrier_delay_3h_min,
  avg(CAST(delay_min > 15 AS INTEGER)) OVER recent AS carrier_late_3h_share,
  avg(CAST(delay_min > 15 AS INTEGER)) OVER day AS carrier_late_1d_share,
  avg(CAST(delay_min > 15 AS INTEGER)) OVER month AS carrier_late_30d_share
FROM departures
WINDOW
  recent AS (PARTITION BY carrier, origin ORDER BY departed_at
             RANGE BETWEEN INTERVAL 3 HOURS PRECEDING AND CURRENT ROW),
  day AS (PARTITION BY carrier, origin ORDER BY departed_at
          RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW),
  month AS (PARTITION BY carrier, origin ORDER BY departed_at
            RANGE BETWEEN INTERVAL 30 DAYS PRECEDING AND CURRENT ROW)
