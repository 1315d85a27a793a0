-- version = 1
-- description = "The last weather at the origin whose hour is over."
-- owner = "data science"
-- sources = ["weather"]
-- entity = ["origin"]
-- event_time = "hour"
-- created_time = "known_at"
-- ttl = "6h"

SELECT
  origin,
  hour,
  known_at,
  temp_f,
  dewpoint_f,
  humidity_share,
  wind_from_deg,
  wind_mph,
  gust_mph,
  precip_inch,
  pressure_hpa,
  visibility_miles
FROM weather
