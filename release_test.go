package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Two builds of one source are the same bytes, from whatever directory, and say which version they are.
func TestABuildIsTheSameAnywhere(t *testing.T) {
	if testing.Short() {
		t.Skip("left out under -short: links the program twice")
	}
	elsewhere := t.TempDir()
	if err := os.CopyFS(elsewhere, sourceOnly{os.DirFS(".")}); err != nil {
		t.Fatal(err)
	}
	var sums [2][sha256.Size]byte
	for i, dir := range []string{".", elsewhere} {
		file := filepath.Join(t.TempDir(), "pilewatch")
		cmd := exec.CommandContext(t.Context(), "sh", "deploy/build.sh", "v1.2.3-test", "amd64", file)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		binary, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sums[i] = sha256.Sum256(binary)
		if here, err := os.Getwd(); err != nil || bytes.Contains(binary, []byte(here)) || !bytes.Contains(binary, []byte("v1.2.3-test")) {
			t.Errorf("the program holds where it was built, or no version: %v", err)
		}
	}
	if sums[0] != sums[1] {
		t.Errorf("two builds differ: %x, %x", sums[0], sums[1])
	}
}

// sourceOnly leaves out what is not source: data, tools and what git keeps.
type sourceOnly struct{ fs.FS }

func (s sourceOnly) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(s.FS, name)
	kept := all[:0]
	for _, e := range all {
		if n := e.Name(); name != "." || !strings.HasPrefix(n, ".") && n != "data" && n != "dist" && n != "stack" {
			kept = append(kept, e)
		}
	}
	return kept, err
}

// The look for vulnerabilities passes where the database is away, and says so; it does not pass for any other failure.
func TestAnUnreachableDatabaseIsToldAndAVulnerabilityFails(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		code       int
		passes     bool
		want       string
	}{
		{"nothing is known", "No vulnerabilities found.", 0, true, "No vulnerabilities found."},
		{"the database is away", `fetching vulnerabilities: Get "https://vuln.go.dev/index/modules.json.gz": dial tcp: lookup vuln.go.dev: no such host`, 1, true, "NOT CHECKED"},
		{"a vulnerability", "Vulnerability #1: GO-2026-0001\n  More info: https://pkg.go.dev/vuln/GO-2026-0001", 3, false, "GO-2026-0001"},
		{"it fails by itself", "loading packages: no required module provides package", 1, false, "loading packages"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fake := filepath.Join(t.TempDir(), "govulncheck")
			script := fmt.Sprintf("#!/bin/sh\ncat <<'SAID'\n%s\nSAID\nexit %d\n", tt.says, tt.code)
			if err := os.WriteFile(fake, []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "deploy/vulncheck.sh")
			cmd.Env = append(os.Environ(), "GOVULNCHECK="+fake)
			out, err := cmd.CombinedOutput()
			if (err == nil) != tt.passes || !strings.Contains(string(out), tt.want) {
				t.Errorf("got %v, %q; want passing %v with %q", err, out, tt.passes, tt.want)
			}
		})
	}
}

// Licences that may be in the program, by words that only they have.
var licences = regexp.MustCompile(`(?i)apache license\s+version 2\.0|permission is hereby granted, free of charge|` +
	`redistribution and use in source and binary forms|mozilla public license,? version 2\.0|permission to use, copy, modify, and/or distribute|` +
	`eclipse public license|permission to use, copy, modify, and distribute`)

func TestEveryModuleInTheProgramHasALicenceThatLetsUs(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Dir}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		path, dir, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || seen[path] {
			continue
		}
		seen[path] = true
		found := false
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if name := strings.ToUpper(e.Name()); !strings.HasPrefix(name, "LICEN") && !strings.HasPrefix(name, "COPYING") || e.IsDir() {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found = found || licences.Match(text) && !bytes.Contains(text, []byte("GNU GENERAL PUBLIC LICENSE"))
		}
		if !found {
			t.Errorf("%s: no licence that is known to let us, in %s", path, filepath.Base(dir))
		}
	}
	if len(seen) < 10 {
		t.Errorf("only %d modules", len(seen))
	}
}
