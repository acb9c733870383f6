-- +goose Up

-- Versions of the policy as they were imported; none is ever changed or removed. The one that the
-- program carries is not here.
CREATE TABLE policies (
    id       INTEGER NOT NULL PRIMARY KEY,
    version  TEXT NOT NULL UNIQUE,
    from_day INTEGER NOT NULL, -- 00:00 Asia/Shanghai of the first day
    file     TEXT NOT NULL,
    entered  INTEGER NOT NULL
) STRICT;
INSERT INTO table_revision (name, rev) VALUES ('policies', 0);

-- +goose Down
DELETE FROM table_revision WHERE name = 'policies';
DROP TABLE policies;
