package cases

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// archiveMost is how large a file of an archive may be: days of 400 days and a dozen connectors are 2 MB.
const archiveMost = 64 << 20

// VerifyArchive verifies the archive of a case by itself alone: every file against SHA256SUMS, the dossier, and
// each entry of the record. It does not tell whether entries are missing: the record is one over all cases, and
// the platform's audit tells that.
func VerifyArchive(z *zip.Reader) error {
	files := make(map[string][]byte)
	for _, f := range z.File {
		text, err := readArchived(f)
		if err != nil {
			return fmt.Errorf("read %s: %w", f.Name, err)
		}
		files[f.Name] = text
	}
	summed := make(map[string]bool)
	for line := range strings.Lines(string(files["SHA256SUMS"])) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if text, there := files[name]; !ok || !there || digest(text) != sum {
			return fmt.Errorf("%s is not what SHA256SUMS says", name)
		}
		summed[name] = true
	}
	for name := range files {
		if name != "SHA256SUMS" && !summed[name] {
			return fmt.Errorf("%s is not in SHA256SUMS", name)
		}
	}
	_, hash, err := Thaw(files["dossier.json"])
	if err != nil {
		return fmt.Errorf("dossier.json: %w", err)
	}
	frozen := false
	for line := range bytes.Lines(files["record.jsonl"]) {
		e, err := ReadEntry(line)
		if err != nil {
			return fmt.Errorf("record.jsonl: %w", err)
		}
		if err := VerifyEntry(e); err != nil {
			return fmt.Errorf("record.jsonl: %w", err)
		}
		for _, ev := range e.Evidence {
			frozen = frozen || ev.SHA256 == hash
		}
	}
	if !frozen {
		return fmt.Errorf("record.jsonl names no dossier with the hash of dossier.json, %s", hash)
	}
	return nil
}

func readArchived(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // only read from
	return io.ReadAll(io.LimitReader(r, archiveMost))
}
