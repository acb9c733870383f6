-- +goose Up

-- What offices know of townships, for the gap ranking; what is not known is NULL.
CREATE TABLE townships (
    township          TEXT NOT NULL PRIMARY KEY,
    lng               REAL,
    lat               REAL,
    crs               TEXT, -- wgs84 where there is a point
    population        INTEGER,
    grid_headroom_kva REAL,
    road_class        TEXT,
    tags              TEXT  -- separated by ;
) STRICT, WITHOUT ROWID;

CREATE TABLE statistics (
    division  TEXT NOT NULL,
    indicator TEXT NOT NULL,
    date      TEXT NOT NULL, -- 2006-01-02
    value     REAL NOT NULL,
    source    TEXT,
    PRIMARY KEY (division, indicator, date)
) STRICT, WITHOUT ROWID;

-- Targets beside those that the program carries, or in their place.
CREATE TABLE targets (
    division   TEXT NOT NULL,
    indicator  TEXT NOT NULL,
    year       INTEGER NOT NULL,
    value      REAL NOT NULL,
    kind       TEXT NOT NULL,
    comparison TEXT NOT NULL,
    document   TEXT,
    PRIMARY KEY (division, indicator, year)
) STRICT, WITHOUT ROWID;
INSERT INTO table_revision (name, rev) VALUES ('townships', 0), ('statistics', 0), ('targets', 0);

-- +goose Down
DELETE FROM table_revision WHERE name IN ('townships', 'statistics', 'targets');
DROP TABLE targets;
DROP TABLE statistics;
DROP TABLE townships;
