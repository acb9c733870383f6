-- +goose Up

-- Stations that passed to another operator with their piles. The row under the old name is closed, the
-- one under the new name begins on the day, and the machines are linked (pile_links).
CREATE TABLE transfers (
    from_operator TEXT NOT NULL REFERENCES operators (operator),
    to_operator   TEXT NOT NULL REFERENCES operators (operator),
    station       TEXT NOT NULL,
    date          TEXT NOT NULL,    -- by the document, 2006-01-02
    from_day      INTEGER NOT NULL, -- from which it holds, 00:00 Asia/Shanghai: never before the day after it was entered
    document      TEXT NOT NULL,
    entered       INTEGER NOT NULL,
    PRIMARY KEY (from_operator, station)
) STRICT, WITHOUT ROWID;
INSERT INTO table_revision (name, rev) VALUES ('transfers', 0);

-- When the machine was opened under its first name; NULL where that is opened.
ALTER TABLE stations ADD COLUMN first_opened INTEGER;
ALTER TABLE connectors ADD COLUMN first_opened INTEGER;

-- +goose Down
ALTER TABLE connectors DROP COLUMN first_opened;
ALTER TABLE stations DROP COLUMN first_opened;
DELETE FROM table_revision WHERE name = 'transfers';
DROP TABLE transfers;
