-- One row a day, release, subject and bin: the day's share of items, and that of the baseline, which
-- is the first seven days of the release. Half an item is added to each bin, so that no share is 0.
WITH counted AS (
  SELECT DATE(processed_at) AS day, release, CONCAT('label of ', model) AS subject, label AS bin, COUNT(*) AS items
  FROM `{dataset}.likeliest_labels` GROUP BY 1, 2, 3, 4
  UNION ALL
  -- Tenths: bin 9 is 0.9 to 1.
  SELECT
    DATE(p.processed_at) AS day,
    p.release,
    CONCAT('score of ', s.model, ' ', s.label) AS subject,
    CAST(LEAST(CAST(FLOOR(s.score * 10) AS INT64), 9) AS STRING) AS bin,
    COUNT(*) AS items
  FROM `{dataset}.release_predictions` AS p, UNNEST(p.scores) AS s WHERE s.score IS NOT NULL GROUP BY 1, 2, 3, 4
  UNION ALL
  -- Powers of two, with a sign.
  SELECT
    DATE(p.processed_at) AS day,
    p.release,
    CONCAT('value of ', s.model) AS subject,
    CONCAT(IF(s.value < 0, 'minus ', ''), CAST(CAST(FLOOR(LN(GREATEST(ABS(s.value), 1e-9)) / LN(2) + 1e-9) AS INT64) AS STRING)) AS bin,
    COUNT(*) AS items
  FROM `{dataset}.release_predictions` AS p, UNNEST(p.scores) AS s WHERE s.value IS NOT NULL GROUP BY 1, 2, 3, 4
  UNION ALL
  SELECT DATE(p.processed_at) AS day, p.release, f.subject, f.bin, COUNT(*) AS items
  FROM
    `{dataset}.release_predictions` AS p,
    UNNEST([
      STRUCT('image format' AS subject, COALESCE(p.image.format, 'no image') AS bin),
      -- Powers of two: bin 18 is 262,144 to 524,287.
      STRUCT('image pixels' AS subject, CAST(CAST(FLOOR(LN(GREATEST(p.image.width_px * p.image.height_px, 1)) / LN(2) + 1e-9) AS INT64) AS STRING) AS bin),
      STRUCT('image bytes' AS subject, CAST(CAST(FLOOR(LN(GREATEST(p.image.size_bytes, 1)) / LN(2) + 1e-9) AS INT64) AS STRING) AS bin),
      STRUCT('text characters' AS subject, CAST(CAST(FLOOR(LN(GREATEST(p.text.length_chars, 1)) / LN(2) + 1e-9) AS INT64) AS STRING) AS bin)
    ]) AS f
  WHERE f.bin IS NOT NULL GROUP BY 1, 2, 3, 4
),
bins AS (
  SELECT c.release, c.subject, c.bin, SUM(IF(c.day < DATE_ADD(f.day, INTERVAL 7 DAY), c.items, 0)) AS baseline_items
  FROM counted AS c
  JOIN (SELECT release, MIN(day) AS day FROM counted GROUP BY release) AS f ON f.release = c.release
  GROUP BY 1, 2, 3
),
filled AS (
  SELECT d.day, b.release, b.subject, b.bin, COALESCE(c.items, 0) AS items, b.baseline_items
  FROM (SELECT DISTINCT day, release, subject FROM counted) AS d
  JOIN bins AS b ON b.release = d.release AND b.subject = d.subject
  LEFT JOIN counted AS c
    ON c.day = d.day AND c.release = b.release AND c.subject = b.subject AND c.bin = b.bin
)
SELECT
  day,
  release,
  subject,
  bin,
  items,
  baseline_items,
  (items + 0.5) / SUM(items + 0.5) OVER (PARTITION BY day, release, subject) AS share,
  (baseline_items + 0.5) / SUM(baseline_items + 0.5) OVER (PARTITION BY day, release, subject) AS baseline_share
FROM filled
