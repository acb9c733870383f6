-- +goose Up

-- How often faults were told in a month (numbered from January of the year 0, Asia/Shanghai), by the gateway's time.
CREATE TABLE fault_month (
    month     INTEGER NOT NULL,
    operator  TEXT NOT NULL,
    pile      TEXT NOT NULL,
    connector TEXT NOT NULL,
    fault     TEXT NOT NULL, -- by our names
    code      TEXT NOT NULL, -- the sender's own; '' where that is the same
    faults    INTEGER NOT NULL, -- times that a status of 255 began with it
    alarms    INTEGER NOT NULL,
    danger    INTEGER NOT NULL, -- of the alarms: of level danger
    first     INTEGER NOT NULL, -- Unix ms
    last      INTEGER NOT NULL,
    PRIMARY KEY (month, operator, pile, connector, fault, code)
) STRICT, WITHOUT ROWID;

-- +goose Down
DROP TABLE fault_month;
