-- +goose Up

ALTER TABLE township_state ADD COLUMN proven INTEGER NOT NULL DEFAULT 0;

-- Of whoever wrote last: one that comes with a lower epoch has lost the partition.
ALTER TABLE health_partition ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE health_partition DROP COLUMN epoch;
ALTER TABLE township_state DROP COLUMN proven;
