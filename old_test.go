package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pilewatch/internal/charge"
	"pilewatch/internal/journal"
	"pilewatch/internal/series"
)

var keepData = flag.String("keep-data", "", "version: keep a data directory of this one in testdata, for later ones to open")

// TestKeepADataDirectory makes testdata/data-VERSION.tar.gz: go test -run TestKeepADataDirectory -keep-data VERSION . Do so
// at each release whose registry, log or history is written in another way.
func TestKeepADataDirectory(t *testing.T) {
	if *keepData == "" {
		t.Skip("only with -keep-data")
	}
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, args := range [][]string{
		{"import", "divisions", file("divisions.csv", "code,name,kind\n37,山东省,\n3717,菏泽市,\n371721,曹县,\n371721101,庄寨镇,town\n"), "--as-of", "2025-06-30"},
		{"import", "operators", file("operators.csv", "operator,name\nMA3CLQP01,曹州充电\n")},
		{"import", "stations", file("stations.csv", "operator,station,name,township,kind,opened\nMA3CLQP01,S1,庄寨站,371721101,public,2023-05-01\n")},
		{"import", "piles", file("piles.csv", "operator,station,pile,connector,power_kw,opened\nMA3CLQP01,S1,P1,1,60,2023-05-01\n")},
	} {
		if err := runRegistry(t, dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	r, d := openRegistry(t, dir)
	token := issueTokens(t, r, d)["MA3CLQP01"]
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, dir: dir, http: freeAddr(t), mqtt: freeAddr(t)}
	p.args = []string{"serve", "--data", dir, "--http", p.http, "--mqtt", p.mqtt, "--public"}
	p.start()
	t.Cleanup(p.kill)
	p.ready(patience)
	begun := time.Now()
	for n := range 5 {
		mosquittoPub(t, p.mqtt, "MA3CLQP01", token, "evcs/v1/MA3CLQP01/P1/status", []byte(status("1", begun.Add(time.Duration(n)*time.Second), 1+2*(n%2))))
	}
	pile := charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}
	if err := eventually(t.Context(), patience, func() error {
		rows, err := readRaw(t.Context(), p.http, p.token, pile, begun.Add(-time.Minute), begun.Add(time.Hour))
		if err == nil && len(rows) < 5 {
			err = fmt.Errorf("%d readings", len(rows))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	p.stop()
	pack(t, dir, filepath.Join("testdata", "data-"+*keepData+".tar.gz"))
}

func pack(t *testing.T, dir, to string) {
	t.Helper()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	packed := gzip.NewWriter(out)
	archive := tar.NewWriter(packed)
	err = archive.AddFS(withoutSecrets{os.DirFS(dir)})
	if err := errors.Join(err, archive.Close(), packed.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
}

// withoutSecrets leaves out tokens and keys, which are made anew where they are missing.
type withoutSecrets struct{ fs.FS }

func (w withoutSecrets) ReadDir(name string) ([]fs.DirEntry, error) {
	all, err := fs.ReadDir(w.FS, name)
	kept := all[:0]
	for _, e := range all {
		if n := e.Name(); !strings.HasSuffix(n, ".token") && !strings.HasSuffix(n, ".key") && !strings.HasSuffix(n, ".lock") {
			kept = append(kept, e)
		}
	}
	return kept, err
}

func unpack(t *testing.T, from string) (dir string) {
	t.Helper()
	file, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	packed, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for archive := tar.NewReader(packed); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return root.Name()
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.FileInfo().IsDir() {
			err = root.MkdirAll(h.Name, 0o700)
		} else {
			var text []byte
			if text, err = io.ReadAll(archive); err == nil {
				if err = root.MkdirAll(filepath.Dir(h.Name), 0o700); err == nil {
					err = root.WriteFile(h.Name, text, 0o600)
				}
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Data directories that earlier versions left are opened with all that is in them: registry, log and history.
func TestDataDirectoriesOfEarlierVersionsOpen(t *testing.T) {
	kept, err := filepath.Glob("testdata/data-*.tar.gz")
	if err != nil || len(kept) == 0 {
		t.Fatalf("no data directories in testdata: %v", err)
	}
	for _, path := range kept {
		t.Run(filepath.Base(path), func(t *testing.T) {
			dir, quiet := unpack(t, path), slog.New(slog.DiscardHandler)
			r, d := openRegistry(t, dir)
			if _, ok := d.Pile(charge.PileID{Operator: "MA3CLQP01", Equipment: "P1"}); !ok {
				t.Error("the pile is not in the registry")
			}
			if states, err := r.TownshipStates(t.Context()); err != nil || len(states) != 1 {
				t.Errorf("townships judged: %+v, %v, want one", states, err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			log, err := journal.Open(t.Context(), journal.Embedded(dir), quiet)
			if err != nil {
				t.Fatal(err)
			}
			enough, readings := errors.New("read up to the end"), 0
			for partition := range log.Partitions() {
				if err := log.FollowPartition(t.Context(), partition, 0, func(b journal.Batch, pending uint64) error {
					if readings += len(b.Readings); pending == 0 {
						return enough
					}
					return nil
				}); !errors.Is(err, enough) {
					t.Fatal(err)
				}
			}
			if readings != 5 {
				t.Errorf("%d readings in the log, want 5", readings)
			}
			if err := log.Close(); err != nil {
				t.Error(err)
			}
			h, err := series.OpenEmbedded(t.Context(), filepath.Join(dir, "history.db"), quiet)
			if err != nil {
				t.Fatal(err)
			}
			if n, _, err := h.Count(t.Context(), series.Place{}); err != nil || n != 5 {
				t.Errorf("%d readings in the history, %v, want 5", n, err)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
			p := &program{t: t, dir: dir, http: freeAddr(t), mqtt: freeAddr(t)}
			p.args = []string{"serve", "--data", dir, "--http", p.http, "--mqtt", p.mqtt, "--public"}
			p.start()
			t.Cleanup(p.kill)
			p.ready(2 * patience)
			p.stop()
		})
	}
}
