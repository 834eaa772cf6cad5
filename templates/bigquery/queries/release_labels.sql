-- What each release says: share and score of each label.
SELECT * FROM `{dataset}.release_labels` ORDER BY model, label, release
