-- All that became of one item, as it happened: --item, and --tenant where several have that id.
SELECT
  happened_at, tenant_id, what, release, attempt, message_id, detail, fields
FROM (
  SELECT
    processed_at AS happened_at,
    tenant_id,
    item_id,
    'predicted' AS what,
    release,
    attempt,
    message_id,
    (
      SELECT STRING_AGG(
        CONCAT(
          s.model,
          ' ',
          COALESCE(CONCAT(s.label, ' ', CAST(ROUND(s.score, 3) AS STRING)), CAST(s.value AS STRING))
        ),
        ', ' ORDER BY s.model, s.label
      )
      FROM UNNEST(scores) AS s
      WHERE s.chosen OR s.chosen IS NULL AND NOT EXISTS (
        SELECT 1 FROM UNNEST(scores) AS o
        WHERE o.model = s.model
          AND (o.score > s.score OR o.score = s.score AND o.label < s.label)
      )
    ) AS detail,
    fields
  FROM `{dataset}.predictions`
  UNION ALL
  SELECT failed_at, tenant_id, item_id, CONCAT('failed: ', reason), release, attempt, message_id, detail, fields
  FROM `{dataset}.dead_letters`
  UNION ALL
  SELECT replayed_at, tenant_id, item_id, 'replayed', '', attempt, replay_message_id, CONCAT('after ', reason), CAST(NULL AS STRING)
  FROM `{dataset}.replays`
)
WHERE item_id = @item_id AND (@tenant_id = '' OR tenant_id = @tenant_id)
ORDER BY happened_at, LENGTH(message_id), message_id
