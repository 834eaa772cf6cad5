"""The SQL of the pages: constants with parameters, each with a bounded number of rows.

Lists have one row more than a page shows (questions.PAGE_ROWS), which says that there are others.
"""

from beam_pipeline.tables import statements

# One row an item: the latest of the period, and of the release where one is named, in the order of
# view latest_predictions.
PREDICTIONS = """
SELECT
  tenant_id, item_id, release, attempt, publish_time, processed_at, payload_uri, scores,
  decisions,
  CONCAT(tenant_id, '/', item_id) AS place
FROM (
  SELECT
    tenant_id, item_id, message_id, release, attempt, event_time, publish_time, processed_at,
    payload_uri, scores, decisions
  FROM `{dataset}.predictions`
  WHERE processed_at >= @since
    AND (@tenant = '' OR tenant_id = @tenant)
    AND (@item = '' OR item_id = @item)
    AND (@release = '' OR release = @release)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY tenant_id, item_id
    ORDER BY
      COALESCE(event_time, publish_time) DESC,
      publish_time DESC,
      LENGTH(message_id) DESC,
      message_id DESC,
      processed_at DESC
  ) = 1
) AS p
WHERE
  (
    processed_at < @until
    OR processed_at = @until AND CONCAT(tenant_id, '/', item_id) > @after
  )
  AND (@narrow = '' OR EXISTS (
    SELECT 1 FROM UNNEST(p.scores) AS s
    WHERE (@model = '' OR s.model = @model)
      AND (@label = '' OR s.label = @label)
      AND s.score >= @least
      AND s.score <= @most
      AND (s.chosen OR s.chosen IS NULL AND NOT EXISTS (
        SELECT 1 FROM UNNEST(p.scores) AS o
        WHERE o.model = s.model
          AND (o.score > s.score OR o.score = s.score AND o.label < s.label)
      ))
  ))
ORDER BY processed_at DESC, place
LIMIT 25
"""

DEAD_LETTERS = """
SELECT
  tenant_id, item_id, release, attempt, publish_time, failed_at, payload_uri, stage, reason,
  detail, failures, place
FROM (
  SELECT
    *,
    COALESCE(NULLIF(message_id, ''), payload_uri, '') AS place
  FROM `{dataset}.dead_letters`
  WHERE failed_at >= @since
    AND (@tenant = '' OR tenant_id = @tenant)
    AND (@item = '' OR item_id = @item)
    AND (@release = '' OR release = @release)
    AND (@reason = '' OR reason = @reason)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY COALESCE(NULLIF(message_id, ''), payload_uri) ORDER BY failed_at DESC
  ) = 1
) AS d
WHERE failed_at < @until OR failed_at = @until AND place > @after
ORDER BY failed_at DESC, place
LIMIT 25
"""

# What filters can be set to: each kind's commonest names.
OPTIONS = """
SELECT kind, model, name, items
FROM (
  SELECT 'tenant' AS kind, '' AS model, tenant_id AS name, COUNT(*) AS items
  FROM `{dataset}.predictions` WHERE processed_at >= @since GROUP BY 1, 2, 3
  UNION ALL
  SELECT 'release' AS kind, '' AS model, release AS name, COUNT(*) AS items
  FROM `{dataset}.predictions` WHERE processed_at >= @since GROUP BY 1, 2, 3
  UNION ALL
  SELECT 'label' AS kind, s.model AS model, s.label AS name, COUNT(*) AS items
  FROM `{dataset}.predictions` AS p, UNNEST(p.scores) AS s
  WHERE p.processed_at >= @since GROUP BY 1, 2, 3
  UNION ALL
  SELECT 'reason' AS kind, '' AS model, reason AS name, COUNT(*) AS items
  FROM `{dataset}.dead_letters` WHERE failed_at >= @since GROUP BY 1, 2, 3
  UNION ALL
  SELECT 'failing tenant' AS kind, '' AS model, tenant_id AS name, COUNT(*) AS items
  FROM `{dataset}.dead_letters` WHERE failed_at >= @since GROUP BY 1, 2, 3
)
WHERE name <> ''
ORDER BY items DESC, kind, model, name
LIMIT 400
"""

SPAN = """
SELECT MIN(at) AS first_at, MAX(at) AS last_at
FROM (
  SELECT processed_at AS at FROM `{dataset}.predictions` WHERE processed_at >= @since
  UNION ALL
  SELECT failed_at AS at FROM `{dataset}.dead_letters` WHERE failed_at >= @since
)
"""

# A row a step of so many seconds, and one of all of them, whose `step` is null.
PULSE = """
SELECT
  step,
  COUNTIF(latency_ms IS NOT NULL) AS predicted,
  COUNTIF(latency_ms IS NULL) AS dead_letters,
  APPROX_QUANTILES(latency_ms, 100)[OFFSET(50)] / 1000 AS p50_s,
  APPROX_QUANTILES(latency_ms, 100)[OFFSET(95)] / 1000 AS p95_s
FROM (
  SELECT
    DIV(UNIX_MILLIS(processed_at), @step_ms) AS step,
    TIMESTAMP_DIFF(processed_at, publish_time, MILLISECOND) AS latency_ms
  FROM `{dataset}.predictions` WHERE processed_at >= @since
  UNION ALL
  SELECT DIV(UNIX_MILLIS(failed_at), @step_ms) AS step, CAST(NULL AS INT64) AS latency_ms
  FROM `{dataset}.dead_letters` WHERE failed_at >= @since
)
GROUP BY ROLLUP (step)
ORDER BY step
LIMIT 200
"""

# Items that both releases scored, each with its latest prediction by either.
COMPARED = """
WITH scored AS (
  SELECT tenant_id, item_id, release, processed_at, payload_uri, scores
  FROM `{dataset}.predictions`
  WHERE processed_at >= @since
    AND release IN (@release, @other)
    AND (@tenant = '' OR tenant_id = @tenant)
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY tenant_id, item_id, release
    ORDER BY
      COALESCE(event_time, publish_time) DESC,
      publish_time DESC,
      LENGTH(message_id) DESC,
      message_id DESC,
      processed_at DESC
  ) = 1
),
likeliest AS (
  SELECT tenant_id, item_id, release, model, label
  FROM (
    SELECT p.tenant_id, p.item_id, p.release, s.model, s.label
    FROM scored AS p, UNNEST(p.scores) AS s
    WHERE s.chosen IS NULL
    QUALIFY ROW_NUMBER() OVER (
      PARTITION BY p.tenant_id, p.item_id, p.release, s.model ORDER BY s.score DESC, s.label
    ) = 1
  )
  UNION ALL
  SELECT
    p.tenant_id, p.item_id, p.release, s.model,
    COALESCE(STRING_AGG(IF(s.chosen, s.label, NULL), ', ' ORDER BY s.label), '') AS label
  FROM scored AS p, UNNEST(p.scores) AS s
  WHERE s.chosen IS NOT NULL
  GROUP BY 1, 2, 3, 4
),
compared AS (
  SELECT a.tenant_id, a.item_id, COUNTIF(a.label <> b.label) AS differing
  FROM likeliest AS a
  JOIN likeliest AS b
    ON b.tenant_id = a.tenant_id AND b.item_id = a.item_id AND b.model = a.model
  WHERE a.release = @release AND b.release = @other
  GROUP BY 1, 2
)
SELECT
  c.tenant_id, c.item_id, c.differing, a.processed_at, a.payload_uri, a.scores,
  b.scores AS other_scores, CONCAT(c.tenant_id, '/', c.item_id) AS place
FROM compared AS c
JOIN scored AS a ON a.tenant_id = c.tenant_id AND a.item_id = c.item_id AND a.release = @release
JOIN scored AS b ON b.tenant_id = c.tenant_id AND b.item_id = c.item_id AND b.release = @other
WHERE (@differing = '' OR c.differing > 0)
  AND (
    a.processed_at < @until
    OR a.processed_at = @until AND CONCAT(c.tenant_id, '/', c.item_id) > @after
  )
ORDER BY a.processed_at DESC, place
LIMIT 25
"""

STORY = statements("queries")["item"]
