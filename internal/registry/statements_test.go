package registry

import (
	"errors"
	"go/ast"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// statements gives every whole statement that the package's code says, by where it stands. Those that are put together while it runs
// are tested where they are used.
func statements(t *testing.T) map[token.Position]string {
	t.Helper()
	fset := token.NewFileSet()
	parsed, err := parser.ParseDir(fset, ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0) //nolint:staticcheck // no build tags here
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, f := range parsed["registry"].Files {
		files = append(files, f)
	}
	info := types.Info{Types: make(map[ast.Expr]types.TypeAndValue)}
	// What is imported is not looked at: constants of this package suffice.
	lenient := types.Config{Importer: importer.Default(), Error: func(error) {}}
	_, _ = lenient.Check("registry", fset, files, &info)
	found := make(map[token.Position]string)
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			e, ok := n.(ast.Expr)
			if !ok {
				return true
			}
			if v := info.Types[e].Value; v != nil && v.Kind() == constant.String {
				if text := constant.StringVal(v); isStatement(text) {
					found[fset.Position(e.Pos())] = text
				}
				return false
			}
			_, put := e.(*ast.BinaryExpr)
			return !put
		})
	}
	return found
}

func isStatement(text string) bool {
	verb, rest, _ := strings.Cut(text, " ")
	if strings.Contains(text, "%") || strings.Contains(text, "sqlite_master") {
		return false
	}
	switch verb {
	case "SELECT", "UPDATE", "DELETE", "WITH":
		return rest != ""
	case "INSERT": // and not the begin of one that many rows follow
		return strings.Contains(rest, "VALUES") || strings.Contains(rest, "SELECT")
	}
	return false
}

// indeterminateDatatype is PostgreSQL's code (appendix A) for a parameter whose type it cannot tell.
const indeterminateDatatype = "42P18"

// A statement that only a running platform reaches is seen here before PostgreSQL refuses it there.
func TestPostgreSQLUnderstandsEveryStatement(t *testing.T) {
	if onPostgres.server == nil {
		t.Skip("is PostgreSQL's")
	}
	conn, err := pgx.Connect(t.Context(), databaseFor(t, t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	all := statements(t)
	if len(all) < 200 {
		t.Errorf("only %d statements are found", len(all))
	}
	for at, text := range all {
		translated, _ := translate(text, nil)
		_, err := conn.Prepare(t.Context(), "", translated)
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == indeterminateDatatype {
			continue // the arguments will tell
		}
		if err != nil {
			t.Errorf("%s: %v: %s", at, err, translated)
		}
	}
}
