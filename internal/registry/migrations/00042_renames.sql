-- +goose Up

-- Townships that were renamed, or merged into another one: what was known of the old code goes on under the new one.
CREATE TABLE township_renames (
    old      TEXT NOT NULL PRIMARY KEY,
    new      TEXT NOT NULL,
    date     TEXT NOT NULL,    -- by the document, 2006-01-02
    from_day INTEGER NOT NULL, -- from which it holds here, days since 1970-01-01: never before the day after it was entered
    document TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX township_renames_new ON township_renames (new);
INSERT INTO table_revision (name, rev) VALUES ('renames', 0);

-- +goose Down
DELETE FROM table_revision WHERE name = 'renames';
DROP TABLE township_renames;
