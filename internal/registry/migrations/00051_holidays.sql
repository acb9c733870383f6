-- +goose Up

-- Public holidays and the weekend days that are worked instead, beside those that the program carries or, for a year
-- of which there are any, in their place.
CREATE TABLE holidays (
    date     TEXT NOT NULL PRIMARY KEY, -- 2006-01-02
    kind     TEXT NOT NULL,             -- off, work
    name     TEXT,
    document TEXT
) STRICT, WITHOUT ROWID;
INSERT INTO table_revision (name, rev) VALUES ('holidays', 0);

-- +goose Down
DELETE FROM table_revision WHERE name = 'holidays';
DROP TABLE holidays;
