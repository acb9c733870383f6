package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// healthFigure runs a benchmark of the judges, which are ingest's own, and gives its metric.
func healthFigure(name, unit string) func(*testing.B) float64 {
	return func(b *testing.B) float64 {
		b.Helper()
		cmd := exec.CommandContext(b.Context(), "go", "test", "-run", "^$", "-bench", "^Benchmark"+name+"$", "-benchtime", "1x", "-timeout", "30m", "./ingest")
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			b.Fatalf("go test -bench %s: %v\n%s", name, err, out)
		}
		found := regexp.MustCompile(`\s([0-9.e+]+) ` + unit + `\s`).FindSubmatch(out)
		if found == nil {
			b.Fatalf("no %s in what %s tells:\n%s", unit, name, out)
		}
		b.Logf("%s", out)
		v, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
}
