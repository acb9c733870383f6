-- +goose Up

-- What a station is judged by, from which day on (00:00 Asia/Shanghai); the newest is the station's own
-- row. A station that never changed has none here.
CREATE TABLE station_terms (
    station_id INTEGER NOT NULL REFERENCES stations (id),
    from_day   INTEGER NOT NULL, -- 0: from the beginning
    township   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    area       TEXT NOT NULL,
    access     TEXT NOT NULL,
    hours      TEXT NOT NULL,
    seasons    TEXT NOT NULL,
    mobile     INTEGER NOT NULL,
    entered    INTEGER,          -- NULL: with the station
    PRIMARY KEY (station_id, from_day)
) STRICT, WITHOUT ROWID;

-- What an import asks for and an officer must confirm; until then what was before stands.
CREATE TABLE confirmations (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    operator  TEXT NOT NULL,
    station   TEXT NOT NULL, -- '' where it is of a pile
    pile      TEXT NOT NULL, -- '' where it is of a station
    connector TEXT NOT NULL, -- '' where it is of the whole pile or station
    field     TEXT NOT NULL, -- the file's column
    before    TEXT NOT NULL,
    value     TEXT NOT NULL,
    reason    TEXT NOT NULL,
    entered   INTEGER NOT NULL,
    state     TEXT NOT NULL, -- pending, confirmed, refused, withdrawn
    decided   INTEGER,
    judge     TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX confirmations_pending ON confirmations (operator, station, pile, connector, field) WHERE state = 'pending';

-- The same machine under another name: by a transfer, or by its serial number. Its clocks and cases go on.
CREATE TABLE pile_links (
    operator     TEXT NOT NULL,
    pile         TEXT NOT NULL,
    was_operator TEXT NOT NULL,
    was_pile     TEXT NOT NULL,
    from_day     INTEGER NOT NULL,
    why          TEXT NOT NULL, -- serial, transfer
    document     TEXT NOT NULL,
    PRIMARY KEY (operator, pile, was_operator, was_pile)
) STRICT, WITHOUT ROWID;
CREATE INDEX pile_links_was ON pile_links (was_operator, was_pile);
CREATE INDEX connectors_serial ON connectors (serial) WHERE serial <> '';

-- +goose Down
DROP INDEX connectors_serial;
DROP TABLE pile_links;
DROP TABLE confirmations;
DROP TABLE station_terms;
