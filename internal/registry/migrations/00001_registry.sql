-- +goose Up

-- One counter for the whole registry: every import and every change of a credential adds one
-- and marks its rows with it, so that readers ask for what is newer than what they have.
CREATE TABLE revision (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    rev INTEGER NOT NULL
) STRICT;
INSERT INTO revision (one, rev) VALUES (1, 0);

-- The last rev that touched a table; small tables are read anew as a whole when it moves.
CREATE TABLE table_revision (
    name TEXT NOT NULL PRIMARY KEY,
    rev  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO table_revision (name, rev) VALUES
    ('divisions', 0), ('operators', 0), ('stations', 0), ('piles', 0), ('credentials', 0);

CREATE TABLE setting (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE divisions (
    code   TEXT NOT NULL PRIMARY KEY,
    name   TEXT NOT NULL,
    level  TEXT NOT NULL,
    parent TEXT NOT NULL,
    kind   TEXT NOT NULL,
    rev    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operators (
    operator TEXT NOT NULL PRIMARY KEY,
    name     TEXT NOT NULL,
    contact  TEXT NOT NULL,
    email    TEXT NOT NULL,
    webhook  TEXT NOT NULL,
    rev      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Times are Unix milliseconds; what is not known is NULL, never 0.
CREATE TABLE stations (
    id              INTEGER NOT NULL PRIMARY KEY,
    operator        TEXT NOT NULL REFERENCES operators (operator),
    station         TEXT NOT NULL,
    name            TEXT NOT NULL,
    township        TEXT NOT NULL REFERENCES divisions (code),
    kind            TEXT NOT NULL,
    area            TEXT NOT NULL,
    site            TEXT NOT NULL,
    access          TEXT NOT NULL,
    hours           TEXT NOT NULL,
    seasons         TEXT NOT NULL,
    mobile          INTEGER NOT NULL,
    lng             REAL,
    lat             REAL,
    address         TEXT NOT NULL,
    spaces          INTEGER,
    fast_spaces     INTEGER,
    reserved_spaces INTEGER,
    capacity_kva    REAL,
    pv_kw           REAL,
    storage_kwh     REAL,
    opened          INTEGER NOT NULL,
    closed          INTEGER,
    rev             INTEGER NOT NULL,
    UNIQUE (operator, station)
) STRICT;
CREATE INDEX stations_rev ON stations (rev);
CREATE INDEX stations_text ON stations (township, name, address); -- covers the search by name and address

-- The township is the station's, kept here as well so that a page of piles is one index range.
CREATE TABLE piles (
    operator   TEXT NOT NULL,
    pile       TEXT NOT NULL,
    station_id INTEGER NOT NULL REFERENCES stations (id),
    township   TEXT NOT NULL,
    opened     INTEGER NOT NULL, -- the first of its connectors
    closed     INTEGER,          -- the last of its connectors, NULL while one is open
    typed      INTEGER NOT NULL, -- of one connector at least the equipment type is known
    dc         INTEGER NOT NULL, -- and it is DC (1) or AC/DC (3)
    rev        INTEGER NOT NULL, -- the newest of the pile and its connectors
    PRIMARY KEY (operator, pile)
) STRICT, WITHOUT ROWID;
CREATE INDEX piles_rev ON piles (rev);
CREATE INDEX piles_station ON piles (station_id, opened, closed, typed, dc); -- covers the count of piles in service
CREATE INDEX piles_place ON piles (township, operator, pile);
CREATE INDEX piles_operator ON piles (operator, township, pile);
CREATE INDEX piles_pile ON piles (pile, township, operator);

CREATE TABLE connectors (
    operator       TEXT NOT NULL,
    pile           TEXT NOT NULL,
    connector      TEXT NOT NULL,
    serial         TEXT NOT NULL,
    replaces       TEXT NOT NULL,
    equipment_type INTEGER NOT NULL, -- 0: not known
    connector_type INTEGER NOT NULL, -- 0: not known
    power_kw       REAL NOT NULL,
    report_s       INTEGER NOT NULL, -- 0: not declared
    opened         INTEGER NOT NULL,
    closed         INTEGER,
    rev            INTEGER NOT NULL,
    PRIMARY KEY (operator, pile, connector)
) STRICT, WITHOUT ROWID;

CREATE TABLE credentials (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    operator TEXT NOT NULL REFERENCES operators (operator),
    pile     TEXT NOT NULL, -- '': the whole operator
    sha256   BLOB NOT NULL UNIQUE,
    created  INTEGER NOT NULL,
    revoked  INTEGER
) STRICT;

-- What health knows of a connector. A row is made with the connector, so that "never seen" is a
-- state like the others and every state is one index range.
CREATE TABLE connector_state (
    operator    TEXT NOT NULL,
    pile        TEXT NOT NULL,
    connector   TEXT NOT NULL,
    township    TEXT NOT NULL,
    shown       INTEGER NOT NULL, -- the status as it is filtered by: T/CEC 102's code, or -1 unseen, -2 silent
    told        INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    fault       TEXT NOT NULL,
    silent      INTEGER NOT NULL,
    since       INTEGER,
    last_heard  INTEGER,
    last_usable INTEGER,
    log_seq     INTEGER NOT NULL,
    PRIMARY KEY (operator, pile, connector)
) STRICT, WITHOUT ROWID;
CREATE INDEX connector_state_shown ON connector_state (shown, township, operator, pile);

CREATE TABLE township_state (
    township     TEXT NOT NULL PRIMARY KEY,
    state        TEXT NOT NULL,
    since        INTEGER,
    reason       TEXT NOT NULL,
    not_observed INTEGER NOT NULL,
    last_usable  INTEGER,
    stations     INTEGER NOT NULL,
    connectors   INTEGER NOT NULL,
    online       INTEGER NOT NULL,
    usable       INTEGER NOT NULL,
    charging     INTEGER NOT NULL,
    fault        INTEGER NOT NULL,
    power_kw     REAL NOT NULL,
    log_seq      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE health_partition (
    number  INTEGER NOT NULL PRIMARY KEY,
    log_seq INTEGER NOT NULL
) STRICT;

-- +goose Down
DROP TABLE health_partition;
DROP TABLE township_state;
DROP TABLE connector_state;
DROP TABLE credentials;
DROP TABLE connectors;
DROP TABLE piles;
DROP TABLE stations;
DROP TABLE operators;
DROP TABLE divisions;
DROP TABLE setting;
DROP TABLE table_revision;
DROP TABLE revision;
