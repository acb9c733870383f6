package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport is the map of the code: what each package may import of ours, beside what lies inside it.
// Services never import each other; main puts them together.
var mayImport = map[string][]string{
	"":                      {"gateway", "ingest", "ingest/longfailed", "dashboard", "simulator", "internal/charge", "internal/wire", "internal/journal", "internal/policy", "internal/registry", "internal/series", "internal/cases"},
	"gateway":               {"internal/charge", "internal/wire", "internal/journal", "internal/registry"},
	"ingest":                {"internal/charge", "internal/journal", "internal/series", "internal/policy", "internal/registry", "internal/availability", "internal/cases", "internal/quality"},
	"ingest/health":         {"internal/charge", "internal/policy"},
	"ingest/coverage":       {"internal/charge", "internal/policy"},
	"ingest/load":           {"internal/charge"},
	"ingest/longfailed":     {"internal/charge", "internal/policy"},
	"dashboard":             {"internal/charge", "internal/journal", "internal/series", "internal/policy", "internal/registry", "internal/availability", "internal/cases", "internal/projection", "internal/quality", "internal/ranking"},
	"dashboard/web":         {},
	"simulator":             {"internal/charge", "internal/wire", "internal/journal", "internal/registry", "internal/series"},
	"internal/charge":       {},
	"internal/availability": {"internal/charge"},
	"internal/cases":        {"internal/charge"},
	"internal/inspection":   {},
	"internal/projection":   {"internal/charge"},
	"internal/quality":      {"internal/charge"},
	"internal/ranking":      {"internal/charge"},
	"internal/wire":         {"internal/charge"},
	"internal/journal":      {"internal/charge"},
	"internal/series":       {"internal/charge"},
	"internal/policy":       {"internal/charge"},
	"internal/registry":     {"internal/charge", "internal/policy", "internal/cases", "internal/inspection"},
	"internal/testprog":     {},
}

func TestImportsKeepToTheMap(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	of := func(path string) (string, bool) {
		if path == "pilewatch" {
			return "", true
		}
		return strings.CutPrefix(path, "pilewatch/")
	}
	for all := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := all.Decode(&p); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		name, _ := of(p.ImportPath)
		allowed, known := mayImport[name]
		if !known {
			t.Errorf("package %q is not on the map: draw it in, in one step with the code", name)
			continue
		}
		check := func(imports []string, more ...string) {
			for _, path := range imports {
				other, ours := of(path)
				if ours && !slices.Contains(allowed, other) && !slices.Contains(more, other) && !strings.HasPrefix(other, name+"/") {
					t.Errorf("%s imports %s, which the map does not allow", p.ImportPath, path)
				}
			}
		}
		check(p.Imports)
		more := []string{name, "internal/testprog"}
		if name == "" {
			more = append(more, "internal/wire") // main's tests send what piles send
		}
		check(slices.Concat(p.TestImports, p.XTestImports), more...)
	}
}
