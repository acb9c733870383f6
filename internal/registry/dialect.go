package registry

import (
	"database/sql/driver"
	"regexp"
	"strconv"
	"strings"
)

// What the registry says to its database is written once, in SQLite's words; a PostgreSQL is told the
// same by a connection that says it in PostgreSQL's (postgres_conn.go). So a migration and a query are
// one text for both. What both read alike stays as it is. Beyond that may be used:
//
//	in a query      ? and ?1; INDEXED BY and CROSS JOIN … ON, which hold SQLite's planner; LIKE, in either
//	                case; max(a, b) and min(a, b); json ->> 'member'
//	in a migration  INTEGER, REAL, TEXT, BLOB; INTEGER NOT NULL PRIMARY KEY [AUTOINCREMENT]; COLLATE NOCASE;
//	                STRICT, WITHOUT ROWID; triggers that only raise
//
// And not: INSERT OR …, which ON CONFLICT says in both (upsert writes it); a number where a condition
// is wanted; a column of ON CONFLICT … SET without its table where excluded has it too; a FROM
// (SELECT …) without a name; x'…'. TestSchemaIsTheSameInBoth and the tests that run on both find them.

// translate gives a statement in PostgreSQL's words. Where args are known, numbers among them are named as such,
// since PostgreSQL would guess from what stands beside them. ours is false of a statement with
// PostgreSQL's own placeholders: it was not ours.
func translate(query string, args []driver.NamedValue) (text string, ours bool) {
	tokens := tokenize(query)
	first := 0
	for first < len(tokens) && tokens[first].blank() {
		first++
	}
	if first == len(tokens) {
		return query, false
	}
	switch tokens[first].text {
	case "CREATE":
		if m := abortTrigger.FindStringSubmatch(query); m != nil {
			return "CREATE TRIGGER " + m[1] + " FOR EACH ROW EXECUTE FUNCTION raise_abort(" + m[2] + ")", false
		}
		return translateSchema(tokens[first:]), false
	case "ALTER":
		return translateSchema(tokens[first:]), false
	}
	return translateQuery(tokens, args)
}

// abortTrigger is a trigger that only raises.
var abortTrigger = regexp.MustCompile(`(?s)^.*?CREATE TRIGGER (\w+ BEFORE (?:INSERT|UPDATE|DELETE) ON \w+) BEGIN SELECT RAISE\(ABORT, ('[^']*')\); END;?\s*$`)

// An sqlToken is a word, a placeholder, a string, blanks, a comment or one other character.
type sqlToken struct {
	kind byte // w, ?, ', blank, #, or the character
	text string
}

func (t sqlToken) blank() bool { return t.kind == ' ' || t.kind == '#' }

func tokenize(query string) []sqlToken {
	var tokens []sqlToken
	for len(query) > 0 {
		kind, n := nextToken(query)
		tokens = append(tokens, sqlToken{kind, query[:n]})
		query = query[n:]
	}
	return tokens
}

func nextToken(s string) (kind byte, n int) {
	span := func(from int, in func(byte) bool) int {
		for from < len(s) && in(s[from]) {
			from++
		}
		return from
	}
	switch c := s[0]; {
	case c == ' ' || c == '\n' || c == '\t' || c == '\r':
		return ' ', span(1, func(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' })
	case strings.HasPrefix(s, "--"):
		return '#', span(2, func(c byte) bool { return c != '\n' })
	case c == '\'' || c == '"':
		if end := strings.IndexByte(s[1:], c); end >= 0 {
			return '\'', end + 2 // a doubled quote is two strings beside each other
		}
		return '\'', len(s)
	case c == '?':
		return '?', span(1, isDigit)
	case isWord(c):
		return 'w', span(1, func(c byte) bool { return isWord(c) || isDigit(c) })
	default:
		return c, 1
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool { return c == '_' || c == '$' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80 }

// wordAfter gives the next word behind i and where it is; "" where something else follows.
func wordAfter(tokens []sqlToken, i int) (word string, at int) {
	for i++; i < len(tokens); i++ {
		if tokens[i].kind == 'w' {
			return tokens[i].text, i
		}
		if !tokens[i].blank() {
			break
		}
	}
	return "", i
}

func translateQuery(tokens []sqlToken, args []driver.NamedValue) (text string, ours bool) {
	var b strings.Builder
	next, values := 0, false
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t.kind == '?':
			ours = true
			number, _ := strconv.Atoi(t.text[1:])
			if number == 0 {
				next++
				number = next
			}
			b.WriteString("$" + strconv.Itoa(number))
			if !values && number <= len(args) {
				b.WriteString(castOf(args[number-1].Value))
			}
		case t.kind != 'w':
			b.WriteString(t.text)
		case t.text == "VALUES":
			values = true // each has its column's type
			b.WriteString(t.text)
		case t.text == "LIKE":
			b.WriteString("ILIKE")
		case t.text == "CROSS":
			// The JOIN that follows, with its ON.
		case t.text == "INDEXED":
			_, by := wordAfter(tokens, i)
			_, i = wordAfter(tokens, by)
		default:
			b.WriteString(t.text)
		}
	}
	return b.String(), ours
}

// castOf names a number's type. Text is left to PostgreSQL: it takes it as whatever the place wants.
func castOf(value driver.Value) string {
	switch value.(type) {
	case int64, bool:
		return "::bigint"
	case float64:
		return "::float8"
	}
	return ""
}

func translateSchema(tokens []sqlToken) string {
	table, _ := wordAfter(tokens, 0)
	var b strings.Builder
	depth := 0
	for i, t := range tokens {
		switch t.kind {
		case '(':
			depth++
		case ')':
			depth--
			if depth == 0 && table == "TABLE" && tokens[0].text == "CREATE" {
				b.WriteString(")") // STRICT, WITHOUT ROWID
				return b.String()
			}
		case 'w':
			t.text = translateType(tokens, i)
		case '#':
			continue
		}
		b.WriteString(t.text)
	}
	return b.String()
}

func translateType(tokens []sqlToken, i int) string {
	switch tokens[i].text {
	case "INTEGER":
		if isRowID(tokens, i) {
			return "bigint GENERATED BY DEFAULT AS IDENTITY"
		}
		return "bigint"
	case "REAL":
		return "double precision"
	case "BLOB":
		return "bytea"
	case "TEXT":
		if hasCollation(tokens[i:]) {
			return "text"
		}
		return `text COLLATE "C"` // by bytes, as SQLite compares
	case "AUTOINCREMENT":
		return ""
	}
	return tokens[i].text
}

// isRowID tells whether NOT NULL PRIMARY KEY follows: then SQLite gives a number by itself.
func isRowID(tokens []sqlToken, i int) bool {
	for _, want := range []string{"NOT", "NULL", "PRIMARY", "KEY"} {
		word, at := wordAfter(tokens, i)
		if word != want {
			return false
		}
		i = at
	}
	return true
}

func hasCollation(column []sqlToken) bool {
	depth := 0
	for _, t := range column {
		if t.text == "COLLATE" {
			return true
		}
		switch t.kind {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth < 0 || depth == 0 && t.kind == ',' {
			break
		}
	}
	return false
}

// upsert is an INSERT that replaces the row with the same key. Only the first columns, as many as keys says, are the key.
func upsert(table string, keys int, columns ...string) string {
	return "INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(columns)-1) + ") " +
		onConflict(keys, columns...)
}

func onConflict(keys int, columns ...string) string {
	set := make([]string, 0, len(columns)-keys)
	for _, c := range columns[keys:] {
		set = append(set, c+" = excluded."+c)
	}
	return "ON CONFLICT (" + strings.Join(columns[:keys], ", ") + ") DO UPDATE SET " + strings.Join(set, ", ")
}
