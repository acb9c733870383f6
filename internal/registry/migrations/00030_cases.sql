-- +goose Up

-- Cases of long-failed piles (docs/cases.md). Times are Unix milliseconds. What a case rests on is its
-- record; the row is where the record has brought it, so that a list need not read it.
CREATE TABLE cases (
    id              TEXT NOT NULL PRIMARY KEY, -- LF-2026-0001
    operator        TEXT NOT NULL,
    pile            TEXT NOT NULL,
    serial          TEXT NOT NULL,
    township        TEXT NOT NULL,
    state           TEXT NOT NULL,
    since           INTEGER NOT NULL,
    opened          INTEGER NOT NULL,
    suspected       INTEGER NOT NULL, -- the end of the day on which the rule held: time before it proves no repair
    grounds         TEXT NOT NULL,    -- JSON
    policy          TEXT NOT NULL,    -- in force when it opened
    period_days     INTEGER NOT NULL,
    served          INTEGER,
    deadline        INTEGER,
    extended        INTEGER NOT NULL,
    escalated       INTEGER NOT NULL, -- in this state
    relapses        INTEGER NOT NULL,
    confirmed_by    TEXT NOT NULL,
    dismissed_until INTEGER,
    decommissioned  INTEGER,
    proved          INTEGER,          -- the day that completed the proof of repair after decommissioning
    step            INTEGER NOT NULL  -- the record's number of the last step that was not a reading
) STRICT, WITHOUT ROWID;
-- A pile has at most one case that is not at its end.
CREATE UNIQUE INDEX cases_running ON cases (operator, pile)
    WHERE state IN ('check', 'suspected', 'notified', 'overdue', 'confirmed', 'reviewed', 'decommissioned');
CREATE INDEX cases_pile ON cases (operator, pile, opened);
CREATE INDEX cases_state ON cases (state, deadline);
CREATE INDEX cases_township ON cases (township, state);

-- One chain over all cases. Rows are never changed: the triggers keep honest hands from it, the hashes tell of others.
CREATE TABLE case_record (
    seq     INTEGER NOT NULL PRIMARY KEY,
    case_id TEXT NOT NULL,
    entry   TEXT NOT NULL -- JSON
) STRICT;
CREATE INDEX case_record_case ON case_record (case_id, seq);
CREATE TRIGGER case_record_stays BEFORE UPDATE ON case_record BEGIN SELECT RAISE(ABORT, 'the record of cases is append-only'); END;
CREATE TRIGGER case_record_remains BEFORE DELETE ON case_record BEGIN SELECT RAISE(ABORT, 'the record of cases is append-only'); END;

CREATE TABLE case_dossier (
    case_id TEXT NOT NULL,
    sha256  TEXT NOT NULL,
    frozen  INTEGER NOT NULL,
    file    BLOB NOT NULL,
    PRIMARY KEY (case_id, frozen)
) STRICT, WITHOUT ROWID;

-- What is to be sent out, and whether it arrived.
CREATE TABLE case_delivery (
    id        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind      TEXT NOT NULL, -- head, reminder
    about     TEXT NOT NULL, -- a day, a case
    way       TEXT NOT NULL, -- email, webhook
    address   TEXT NOT NULL,
    body      TEXT NOT NULL,
    created   INTEGER NOT NULL,
    attempts  INTEGER NOT NULL,
    next      INTEGER,       -- NULL: delivered or given up
    delivered INTEGER,
    error     TEXT NOT NULL,
    UNIQUE (kind, about, way, address)
) STRICT;
CREATE INDEX case_delivery_next ON case_delivery (next) WHERE next IS NOT NULL;

-- The newest frozen day that has been looked at.
CREATE TABLE case_progress (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    day INTEGER NOT NULL
) STRICT;

ALTER TABLE piles ADD COLUMN decommissioned TEXT NOT NULL DEFAULT ''; -- by which case
DROP INDEX piles_station;
CREATE INDEX piles_station ON piles (station_id, opened, closed, typed, dc, decommissioned); -- covers the count of piles that count

-- +goose Down
DROP INDEX piles_station;
CREATE INDEX piles_station ON piles (station_id, opened, closed, typed, dc);
ALTER TABLE piles DROP COLUMN decommissioned;
DROP TABLE case_progress;
DROP TABLE case_delivery;
DROP TABLE case_dossier;
DROP TABLE case_record;
DROP TABLE cases;
