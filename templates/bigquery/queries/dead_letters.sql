-- Dead letters by reason: open, replayed, superseded by a later one of the item, predicted since.
SELECT
  reason,
  COUNT(*) AS dead_letters,
  COUNTIF(state = 'open') AS open,
  COUNTIF(state = 'replayed') AS replayed,
  COUNTIF(state = 'superseded') AS superseded,
  COUNTIF(state = 'predicted') AS predicted_since
FROM `{dataset}.dead_letter_states`
GROUP BY reason
ORDER BY dead_letters DESC, reason
