-- +goose Up

-- What the dossier of a case holds beside days. Changes between usable, told offline, told a fault (which), silent and
-- a status that holds no longer; what is told of cars coming and going is none. Months and days as in 00005_days.sql.
CREATE TABLE standing_change (
    month     INTEGER NOT NULL,
    operator  TEXT NOT NULL,
    pile      TEXT NOT NULL,
    connector TEXT NOT NULL,
    log_seq   INTEGER NOT NULL, -- of the message of the log that brought it
    nth       INTEGER NOT NULL, -- of those that one message brought
    partition INTEGER NOT NULL,
    told      INTEGER,          -- Unix ms, by the pile's clock; NULL where time alone brought it
    received  INTEGER NOT NULL, -- Unix ms, by the gateway's
    standing  TEXT NOT NULL,
    status    INTEGER NOT NULL, -- T/CEC 102
    fault     TEXT NOT NULL,
    PRIMARY KEY (month, operator, pile, connector, log_seq, nth)
) STRICT, WITHOUT ROWID;

-- Messages of a registered pile that could not be used, by the day of the gateway's clock.
CREATE TABLE pile_reject (
    day      INTEGER NOT NULL,
    operator TEXT NOT NULL,
    pile     TEXT NOT NULL,
    reason   TEXT NOT NULL,
    messages INTEGER NOT NULL,
    PRIMARY KEY (day, operator, pile, reason)
) STRICT, WITHOUT ROWID;
CREATE INDEX pile_reject_pile ON pile_reject (operator, pile, day);

-- When no gateway spoke to a partition: the platform's own fault.
CREATE TABLE platform_outage (
    partition INTEGER NOT NULL,
    begins    INTEGER NOT NULL, -- Unix ms
    ends      INTEGER NOT NULL,
    PRIMARY KEY (partition, begins)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE platform_outage;
DROP TABLE pile_reject;
DROP TABLE standing_change;
