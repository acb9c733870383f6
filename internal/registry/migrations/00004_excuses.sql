-- +goose Up

CREATE TABLE excuses (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    state    TEXT NOT NULL, -- claimed, granted, refused
    operator TEXT NOT NULL, -- '' where it is of a division
    pile     TEXT NOT NULL, -- '' where it is of the whole operator or of a division
    division TEXT NOT NULL, -- '' where it is of a pile or an operator
    begins   INTEGER NOT NULL,
    ends     INTEGER NOT NULL,
    cause    TEXT NOT NULL,
    document TEXT NOT NULL,
    entered  INTEGER NOT NULL,
    by_whom  TEXT NOT NULL,
    decided  INTEGER,
    judge    TEXT NOT NULL
) STRICT;
CREATE INDEX excuses_of ON excuses (operator, pile, division, begins);
CREATE INDEX excuses_state ON excuses (state, begins);
INSERT INTO table_revision (name, rev) VALUES ('excuses', 0);

-- +goose Down
DELETE FROM table_revision WHERE name = 'excuses';
DROP TABLE excuses;
