-- +goose Up

-- Random inspections (双随机): what was drawn, with all that is needed to draw it again, and what was found.
CREATE TABLE inspection_draw (
    id         TEXT NOT NULL PRIMARY KEY, -- RI-2026-0001
    at         INTEGER NOT NULL,          -- Unix ms
    by_whom    TEXT NOT NULL,
    division   TEXT NOT NULL,
    seed       TEXT NOT NULL,
    count      INTEGER NOT NULL,
    piles      TEXT NOT NULL, -- drawn from: {operator}:{pile} a line
    inspectors TEXT NOT NULL  -- likewise, a name a line
) STRICT, WITHOUT ROWID;

CREATE TABLE inspection (
    draw       TEXT NOT NULL REFERENCES inspection_draw (id),
    operator   TEXT NOT NULL,
    pile       TEXT NOT NULL,
    nth        INTEGER NOT NULL,
    township   TEXT NOT NULL,
    inspectors TEXT NOT NULL, -- a name a line
    finding    TEXT,          -- JSON of cases.Inspection; NULL: not yet
    text       TEXT,
    recorded   INTEGER,
    by_whom    TEXT,
    case_id    TEXT,          -- to whose record it went, '' where the pile had none
    PRIMARY KEY (draw, operator, pile)
) STRICT, WITHOUT ROWID;
CREATE INDEX inspection_pile ON inspection (operator, pile, recorded);

-- +goose Down
DROP TABLE inspection;
DROP TABLE inspection_draw;
