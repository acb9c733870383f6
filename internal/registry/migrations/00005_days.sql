-- +goose Up

-- Days are numbered from 1970-01-01 and months from January of the year 0 (year*12 + month - 1), both
-- Asia/Shanghai. A month's days are packed (daycode.go). The month comes first in the key, so that what
-- is written today lies together, and old months go as one range.
CREATE TABLE connector_month (
    month     INTEGER NOT NULL,
    operator  TEXT NOT NULL,
    pile      TEXT NOT NULL,
    connector TEXT NOT NULL,
    days      BLOB NOT NULL,
    log_seq   INTEGER NOT NULL,
    PRIMARY KEY (month, operator, pile, connector)
) STRICT, WITHOUT ROWID;

CREATE TABLE pile_month (
    month    INTEGER NOT NULL,
    operator TEXT NOT NULL,
    pile     TEXT NOT NULL,
    days     BLOB NOT NULL,
    log_seq  INTEGER NOT NULL,
    PRIMARY KEY (month, operator, pile)
) STRICT, WITHOUT ROWID;

CREATE TABLE day_sum (
    day        INTEGER NOT NULL,
    partition  INTEGER NOT NULL,
    county     TEXT NOT NULL,
    operator   TEXT NOT NULL,
    kind       TEXT NOT NULL,
    rural      INTEGER NOT NULL,
    dc         INTEGER NOT NULL,
    frozen     INTEGER NOT NULL,
    connectors INTEGER NOT NULL,
    usable     INTEGER NOT NULL, -- minutes, as the three below
    excused    INTEGER NOT NULL,
    out        INTEGER NOT NULL,
    unknown    INTEGER NOT NULL,
    fault      INTEGER NOT NULL,
    blocked    INTEGER NOT NULL,
    energy_wh  INTEGER NOT NULL,
    sessions   INTEGER NOT NULL,
    log_seq    INTEGER NOT NULL,
    PRIMARY KEY (day, partition, county, operator, kind, rural, dc)
) STRICT, WITHOUT ROWID;

CREATE TABLE township_day (
    township     TEXT NOT NULL,
    day          INTEGER NOT NULL,
    state        TEXT NOT NULL,
    reason       TEXT NOT NULL,
    not_observed INTEGER NOT NULL,
    proven       INTEGER NOT NULL,
    log_seq      INTEGER NOT NULL,
    PRIMARY KEY (township, day)
) STRICT, WITHOUT ROWID;
CREATE INDEX township_day_day ON township_day (day, township);

-- The sums of township_day over provinces, cities and counties, kept with it.
CREATE TABLE coverage_day (
    division     TEXT NOT NULL,
    scope        TEXT NOT NULL, -- towns, streets, all
    day          INTEGER NOT NULL,
    effective    INTEGER NOT NULL,
    failing      INTEGER NOT NULL,
    unverified   INTEGER NOT NULL,
    starting     INTEGER NOT NULL,
    none         INTEGER NOT NULL,
    proven       INTEGER NOT NULL,
    not_observed INTEGER NOT NULL,
    PRIMARY KEY (division, scope, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE coverage_event (
    id       TEXT NOT NULL PRIMARY KEY,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    township TEXT NOT NULL,
    operator TEXT NOT NULL,
    station  TEXT NOT NULL, -- its name
    before   TEXT NOT NULL,
    after    TEXT NOT NULL,
    reason   TEXT NOT NULL,
    share    REAL           -- of the time effective, where the township is unsteady
) STRICT, WITHOUT ROWID;
CREATE INDEX coverage_event_at ON coverage_event (at);
CREATE INDEX coverage_event_township ON coverage_event (township, at);

-- +goose Down
DROP TABLE coverage_event;
DROP TABLE coverage_day;
DROP TABLE township_day;
DROP TABLE day_sum;
DROP TABLE pile_month;
DROP TABLE connector_month;
