-- +goose Up

-- What was told too late for a day that is frozen: beside the day, and never in it. Of each status that a
-- connector told of a day the first to come.
CREATE TABLE correction (
    day       INTEGER NOT NULL, -- from 1970-01-01, Asia/Shanghai
    operator  TEXT NOT NULL,
    pile      TEXT NOT NULL,
    connector TEXT NOT NULL,
    status    INTEGER NOT NULL, -- T/CEC 102
    told      INTEGER NOT NULL, -- Unix ms, by the pile's clock
    received  INTEGER NOT NULL, -- Unix ms, by the gateway's
    PRIMARY KEY (operator, pile, connector, day, status)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE correction;
