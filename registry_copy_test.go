package main

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pilewatch/internal/testprog"
)

// A registry that began as a file moves to PostgreSQL, and all that has the settings works on it.
func TestRegistryMovesToPostgres(t *testing.T) {
	server := testprog.Postgres(t)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	address, err := url.Parse(server.Database(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := address.User.Password()
	secret, wrong := file("password", password+"\n"), file("wrong", "not "+password+"\n")
	address.User = url.User(address.User.Username())
	there := address.String()
	if err := runRegistry(t, dir, "import", "operators", file("operators.csv", "operator,name\nMA3CLQP01,曹州充电\n")); err != nil {
		t.Fatal(err)
	}
	if err := runRegistry(t, dir, "copy", "--to", there, "--to-password-file", wrong); err == nil || strings.Contains(err.Error(), password) ||
		!strings.Contains(err.Error(), "open registry in PostgreSQL 127.0.0.1:") {
		t.Errorf("copy with a wrong password: got %v", err)
	}
	if err := runRegistry(t, dir, "copy", "--to", there, "--to-password-file", secret); err != nil {
		t.Fatal(err)
	}
	if err := runRegistry(t, dir, "copy", "--to", there, "--to-password-file", secret); err == nil || !strings.Contains(err.Error(), "holds a registry already") {
		t.Errorf("copy again: got %v, want that there is one", err)
	}
	empty := t.TempDir()
	settings := []string{"--registry-url", there, "--registry-password-file", secret}
	out := filepath.Join(empty, "operators.csv")
	if err := runRegistry(t, empty, append(settings, "export", "operators", out)...); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(out); err != nil || !strings.Contains(string(text), "MA3CLQP01,曹州充电") {
		t.Errorf("exported from PostgreSQL: got %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(empty, "registry.db")); err == nil {
		t.Error("a file was made beside the PostgreSQL")
	}
	said, err := runCheck(t, empty, append(settings, "--log-min-free", "1")...)
	if err != nil {
		t.Errorf("check: %v", err)
	}
	expectSaid(t, said, "registry", "ok", "PostgreSQL: ")
	said, err = runCheck(t, empty, "--registry-url", there, "--registry-password-file", wrong, "--log-min-free", "1")
	if err == nil {
		t.Error("check with a wrong password: got no error")
	}
	expectSaid(t, said, "registry", "WRONG", "password authentication failed")
	back := filepath.Join(dir, "back.db")
	if err := runRegistry(t, empty, append(settings, "copy", "--to", back)...); err != nil {
		t.Errorf("copy back to a file: %v", err)
	}
}
