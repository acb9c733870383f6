package main

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"pilewatch/internal/registry"
)

func TestAccountCommands(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		args []string
		want string // in the error; "" is none
	}{
		{"add", []string{"add", "wang", "officer:371721", "--full-name", "王芳"}, ""},
		{"add again", []string{"add", "wang", "viewer:37"}, "has this name already"},
		{"a role that is none", []string{"add", "li", "king:37"}, "none of viewer, officer"},
		{"a division that is none", []string{"add", "li", "viewer:99"}, "no division 99"},
		{"list", []string{"list"}, ""},
		{"grant", []string{"grant", "wang", "viewer:3717"}, ""},
		{"reset", []string{"reset", "wang"}, ""},
		{"disable", []string{"disable", "wang"}, ""},
		{"disable nobody", []string{"disable", "nobody"}, "unknown account"},
		{"enable", []string{"enable", "wang"}, ""},
		{"a token", []string{"token", "issue", "大屏", "viewer:37", "--days", "30"}, ""},
		{"a token of the past", []string{"token", "issue", "大屏", "viewer:37", "--days=-1"}, "--days -1"},
		{"tokens", []string{"token", "list"}, ""},
		{"revoke", []string{"token", "revoke", "1"}, ""},
		{"revoke none", []string{"token", "revoke", "9"}, "unknown token"},
		{"log", []string{"log"}, ""},
	} {
		err := runRegistry(t, dir, append([]string{"account"}, tt.args...)...)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	r, err := registry.Open(t.Context(), filepath.Join(dir, "registry.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	notes, err := r.AccountLog(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var did []string
	for _, n := range notes {
		if n.Who != "shell" {
			t.Errorf("%+v: got %q, want the shell", n, n.Who)
		}
		did = append(did, n.Action)
	}
	if got := strings.Join(did, " "); got != "revoke token enable disable reset grant add" {
		t.Errorf("the log, newest first: got %s", got)
	}
}
