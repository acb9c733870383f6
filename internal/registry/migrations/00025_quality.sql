-- +goose Up

-- What came of an operator's messages in a month, numbered from January of the year 0 (year*12 + month - 1),
-- Asia/Shanghai, by the time of the gateway.
CREATE TABLE quality_month (
    month     INTEGER NOT NULL,
    operator  TEXT NOT NULL,
    messages  INTEGER NOT NULL,
    late      INTEGER NOT NULL, -- longer under way than the policy's lateness limit
    off_clock INTEGER NOT NULL, -- its clock was so wrong that the gateway's counts
    numbered  INTEGER NOT NULL, -- told a seq
    missing   INTEGER NOT NULL,
    twice     INTEGER NOT NULL,
    restarts  INTEGER NOT NULL,
    delays    TEXT NOT NULL,    -- JSON: how many by each bound of registry.DelayBounds, and beyond
    rejects   TEXT NOT NULL,    -- JSON: messages by reason
    PRIMARY KEY (month, operator)
) STRICT, WITHOUT ROWID;

-- Connectors whose alarms told of faults near a status told offline, and that never told a fault since.
CREATE TABLE fault_as_offline (
    month     INTEGER NOT NULL,
    operator  TEXT NOT NULL,
    pile      TEXT NOT NULL,
    connector TEXT NOT NULL,
    first     INTEGER NOT NULL,
    last      INTEGER NOT NULL,
    times     INTEGER NOT NULL,
    PRIMARY KEY (month, operator, pile, connector)
) STRICT, WITHOUT ROWID;

ALTER TABLE excuses ADD COLUMN why TEXT NOT NULL DEFAULT ''; -- of the decision

-- +goose Down
ALTER TABLE excuses DROP COLUMN why;
DROP TABLE fault_as_offline;
DROP TABLE quality_month;
